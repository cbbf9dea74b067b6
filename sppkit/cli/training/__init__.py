"""What `sppkit train` does: from its flags to runs, and to what is said of them.

`flags` and `entries` (the networks, and what an experiment of a paper brings) become `tasks`. They
run here, in `processes`, over `ray` or in `ranks`, by `orders` that another process understands,
with a bar each (`progress`). `summary`, `plots` and `reproduction_summary` tell how they ended,
`presets` what could be asked for.
"""
