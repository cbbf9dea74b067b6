"""From the values of a step to the rows of the table.

A `reading` is what became of one point; `merging` joins those of several passes. `scaling` takes
out a gradient scaler's factor, `totals` adds up channels, `rows` makes the table's rows. Steps like
an earlier one become rows by its recipe (`recipes`), once their numbers have come
(`repeated_steps`).
"""
