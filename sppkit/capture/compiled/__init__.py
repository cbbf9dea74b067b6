"""Recording of compiled models, without a break in their graph.

A `gate` stands before the outermost call. At the first one a `preparation` traces the model as it
is without being compiled, and `hooks` go on that hand tensors over through an operator, `observe`;
a `session` here does what that of eager models does.
"""
