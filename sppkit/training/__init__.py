"""What the papers' networks are trained with, beside what torch has.

`clipping` has gradient clipping by value, norm and unit under one interface; `parameter_groups`
chooses by name what is decayed, clipped and slowed; `recipes` holds the published settings by name,
`schedules` their learning rates, and `optimizers` makes of a recipe what a training loop needs.
"""
