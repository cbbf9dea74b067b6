"""Early warning: what the recording of a training says before the loss does.

    warning = sppkit.EarlyWarning(recording)

`watch` asks every rule of the `catalogue` about the rows of each recorded step: `courses` compare a
tensor with its own `history`, `steps` look at steps of the optimiser beside the weights, `outputs`
at units and logits, `numbers` at the ends of types. `series` number the rows, a `moment` is what
rules look at, an `event` what they say; `rates` reads learning rates off the optimiser.
"""
