"""What runs: the calls of a model's modules, and of functions between them, as they happen.

`watch` follows them and tells listeners of each `module_call`; `functional` hears of functions,
`module_tree` notices new modules, `regions` says what cannot be followed. `places` names the
tensors. `depth` tells a probe's calls from those of a recording around it; `compiled_modules` finds
what of a model is compiled and looks behind it.
"""
