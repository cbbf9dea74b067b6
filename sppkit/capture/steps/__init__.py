"""Step by step: what is recorded in which step of a run, and when it is read.

`session` runs a step and yields its readings, by the plan that `planning` makes of the first pass.
`schedule` and `turns` say of which steps and layers, `loop` hears the optimiser. What belongs to
layers is read by a `parameter_reader`, what the optimiser changed by `updates`. `state` puts back
what a probe touched.
"""
