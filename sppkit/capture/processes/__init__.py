"""Recording over many processes as over one large batch.

`ranks` compare what they have read by `messages`; what all have alike becomes one `large_batch`.
They meet in a `side_group`, apart from the groups of the user, and wait for nobody for long.
"""
