"""Recording over many processes as over one: `distributed` merges what the ranks have read.

They meet in a `side_group`, apart from the groups of the user, and wait for nobody for long.
"""
