"""What runs: the calls of a model's modules, and of functions between them, as they happen.

`watch` follows them (`module_tree` notices new modules) and `places` names their tensors. `depth`
tells a probe's calls from those of a recording around it; `compiled_modules` finds what of a model
is compiled and looks behind it.
"""
