"""Measure cases with sppkit itself; those of one network and input share a recording."""

import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import pandas as pd

import sppkit
from benchmarks.references.case import Case
from sppkit.models import build
from sppkit.recording import Recording


def measure(cases: Sequence[Case]) -> Iterator[pd.DataFrame]:
    """Yield one frame per case: a row per block, with the mean over seeds and what is published."""
    recordings: dict[tuple[Any, ...], Recording] = {}
    for case in cases:
        if case.probe() not in recordings:
            recordings.clear()  # cases that share one follow each other
            recordings[case.probe()] = _record(case)
        yield _compare(case, recordings[case.probe()])


def _record(case: Case) -> Recording:
    return sppkit.probe(
        partial(build, case.reference, **case.arguments),
        input_size=case.input_size,
        input=case.input,
        seeds=case.seeds,
        batch_size=case.batch_size,
        activate=case.activate,
        signals=("activation",),
        run=case.reference,
    )


def _compare(case: Case, recording: Recording) -> pd.DataFrame:
    table = recording.table()
    rows = table[(table["signal"] == "activation") & (table["tap"] == case.tap)]
    by_block = rows.groupby("block")[case.statistic]
    frame = pd.DataFrame({"measured": by_block.mean(), "spread": by_block.std()}).reset_index()
    published = pd.Series(case.published, dtype=float).reindex(range(len(frame)))
    frame["published"] = published.to_numpy()
    described = {"case": case.title(), "tap": case.tap, "statistic": case.statistic}
    tolerance = math.nan if case.tolerance is None else case.tolerance
    return frame.assign(**described, tolerance=tolerance, source=case.source)
