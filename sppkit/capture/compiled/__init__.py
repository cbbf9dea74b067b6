"""Recording of compiled models, without a break in their graph.

`observe` is an operator that hands tensors of compiled code to Python, `hooks` put it behind the
modules, and a `session` here does what that of eager models does.
"""
