"""Gradients that do not depend on the size of the batch."""

import pandas as pd

from sppkit.recording import Recording
from sppkit.signals import Signal
from sppkit.statistics import POWERS


def per_sample_gradients(recording: Recording) -> pd.DataFrame:
    """Give the gradients of layers' outputs as if every sample's loss stood for itself.

    A loss that is the mean over N samples divides each sample's gradient by N: its second moment
    falls with 1/N². Here the statistics are multiplied by N to the power of the unit they carry
    (mean: 1, variance: 2, fractions: 0), N = `batch` / `passes`. A sum over the samples needs none
    of it. Holds for losses that are a mean or a sum over the first axis of the first input.

    Returns:
        The rows of the table with the signal `gradient`.

    Raises:
        ValueError: the recording does not say what the loss of a run does with the samples.
    """
    table = recording.table()
    rows = table[table["signal"] == Signal.GRADIENT].copy()
    samples = (
        rows["run"]
        .astype("object")
        .map({run: _reduction(recording, run) == "mean" for run in recording.runs})
    )
    factor = (rows["batch"] / rows["passes"]).where(samples.astype(bool), 1.0)
    for column, power in POWERS.items():
        if column in rows:
            rows[column] = rows[column] * factor**power
    return rows


def _reduction(recording: Recording, run: str) -> str:
    metadata = recording.metadata[run]
    known = {"cross-entropy": "mean", "unit-gradient": "sum"}
    reduction = metadata.get("loss_reduction") or known.get(str(metadata.get("loss")))
    if reduction not in ("mean", "sum"):
        raise ValueError(
            f"run {run!r} does not say how its loss combines the samples: record it with "
            "loss_reduction='mean' or 'sum'"
        )
    return str(reduction)
