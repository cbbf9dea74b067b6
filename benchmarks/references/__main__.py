"""`python -m benchmarks.references`."""

import fnmatch
import sys
from typing import Annotated

import pandas as pd
import typer

from benchmarks.references import (
    cases_binary,
    cases_efficientnet,
    cases_normalizer_free,
    cases_rescaling,
    cases_residual,
)
from benchmarks.references.measure import measure
from benchmarks.references.report import largest_difference, table, write

CASES = (
    *cases_residual.CASES,
    *cases_normalizer_free.CASES,
    *cases_rescaling.CASES,
    *cases_efficientnet.CASES,
    *cases_binary.CASES,
)


def main(
    match: Annotated[str, typer.Option(help="Networks to measure; files are written for all.")] = (
        "*"
    ),
) -> None:
    """Measure the reference networks beside what is published."""
    chosen = [case for case in CASES if fnmatch.fnmatch(case.reference, match)]
    if not chosen:
        raise typer.BadParameter(f"no case of a network that matches {match!r}")
    frames = []
    for frame in measure(chosen):
        frames.append(frame)
        print(f"{frame['case'].iloc[0]}: {frame['statistic'].iloc[0]}", file=sys.stderr)
    rows = pd.concat(frames, ignore_index=True)
    if match == "*":
        write(rows)
    print(table(rows))
    missed = [
        str(case)
        for (case, *_), group in rows.groupby(["case", "tap", "statistic"], sort=False)
        if largest_difference(group) > group["tolerance"].iloc[0]
    ]
    if missed:
        print(f"outside of their tolerance: {'; '.join(missed)}", file=sys.stderr)
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
