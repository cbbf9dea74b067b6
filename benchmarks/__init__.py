"""What recording costs: sppkit against the plain training step, and against other collectors.

    python -m benchmarks run --workload mlp --variant every-step

`networks` and `workloads` say what is trained, `variants`, `naive` and `peers` what is put onto it.
`pairs` measures, with the clocks of `clocks` and the intervals of `spread`; `memory`, `reads` and
`profile` measure other things than time per step. `worker` runs one measurement in a process of
its own, `report` writes tables, `application` is the command line. See benchmarks/README.md.

Rooms of their own, with a command of their own: `python -m benchmarks.verdict` (is the verdict of
`sppkit check` right?) and `python -m benchmarks.flake` (is it the same for every seed?).
"""
