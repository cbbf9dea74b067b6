"""From the values of a step to the rows of the table.

A `reading` is what became of one point. `scaling` takes out a gradient scaler's factor, `totals`
adds up channels, `rows` makes the table's rows and `recipes` those of steps like an earlier one.
"""
