"""What the network is: which tensor came from which, and where its residual branches are.

`graph` is made of one traced pass, `merges` are where its paths meet again, `blocks` name the
branches and skip paths between them.
"""
