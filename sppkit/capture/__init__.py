"""Capture: watch a model run, plan what to record, write it to slots, turn it into rows.

What runs: `watch` follows module and function calls (`module_tree` notices new modules), `places`
names their tensors, `graph` finds out which tensor came from which, `channel_axis` where its
channels are. `planned_watch` is the short way of passes that go as planned.

What the network is: `merges` and `blocks` find residual branches, `structure` describes layers,
`gains` finds silent branches.

What is read: `options`, `plan` and `writer` decide and write, to the pages of `sheets`; `readable`,
`sampling` and `masks` say which values; `recomputation` pairs checkpointed calls; `parameters`,
`planned_parameters`, `weight_gradients` and `updates` read what belongs to layers.

Step by step: `session` runs a step and yields `reading`s, `schedule` and `turns` say of which
steps and layers, `loop` and `scaling` follow a training loop, `rows` makes the table's rows and
`recipes` those of steps like an earlier one; `record` makes a `recorder`, `circumstances` describe
it; `state` restores what a probe touched.

Elsewhere: `compiled`, `compiled_hooks`, `compiled_session` and `observe` for compiled models;
`distributed`, `sharding` and `side_group` for many processes.
"""
