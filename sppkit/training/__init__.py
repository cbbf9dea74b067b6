"""What the papers' networks are trained with, beside what torch has.

`clipping` has gradient clipping by value, norm and unit under one interface; `parameter_groups`
chooses by name what is decayed, clipped and slowed; `recipes` holds the published settings by name,
and `optimizers` makes of them an optimiser and a schedule.
"""
