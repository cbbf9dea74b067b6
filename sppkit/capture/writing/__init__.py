"""What a pass does: reduce each planned tensor, where it appears, to the slot it has.

`writer` serves passes that are traced, `planned_watch` those that go as planned, with one hook on
each tensor. `recomputation` pairs the calls that checkpointing repeats; `weight_gradients` and
`planned_parameters` read what belongs to layers.
"""
