"""The reference networks as papers measured them, and as we do.

    python -m benchmarks.references                  # everything: some minutes on one core
    python -m benchmarks.references --match 'nf_*'   # cases of some networks

Writes `results/measured.csv`, a row per case and block, and `results/report.md`, a row per case.
`case` says what a case is, `cases_*` list them, `measure` measures, `report` writes.
"""
