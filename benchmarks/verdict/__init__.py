"""Networks whose training outcome is known, and what the gate says of them beforehand.

`network` and `faults` say what a network is, `networks` holds the architectures, `catalogue` lists
the variants; `training` trains one, `labels` all of them.
"""
