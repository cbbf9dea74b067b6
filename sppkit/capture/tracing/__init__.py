"""What the network is: which tensor came from which, and where its residual branches are.

A `tracer` makes the `graph` of one pass, `axis_sources` follows the axes that it moves about.
`merges` are where paths meet again, `blocks` name the branches and skip paths between them.
"""
