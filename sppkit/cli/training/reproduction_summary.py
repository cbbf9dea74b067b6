"""What an experiment of a paper came to: the numbers in which its finding shows, run by run."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from rich.table import Table
from rich.text import Text

from sppkit.cli.runs.recordings import together
from sppkit.escaping import one_line
from sppkit.patterns import matcher
from sppkit.recording import Recording
from sppkit.training.reproduction import Quantity, Reproduction

_ORDER = ["depth", "layer"]


def quantities_table(reproduction: Reproduction, folders: Sequence[Path]) -> Table | None:
    """Lay out the quantities of each run at the first and the last recorded step.

    Several seeds are a geometric mean. None where nothing was recorded.
    """
    recordings = together(folders)
    if not recordings:
        return None
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("run", overflow="fold", vertical="bottom")
    for quantity in reproduction.quantities:
        table.add_column(_heading(quantity), no_wrap=True, vertical="bottom")
    for recording in recordings:
        table.add_row(*map(Text, _cells(reproduction.quantities, recording)))
    return table


def measure(quantity: Quantity, table: pd.DataFrame, step: int) -> float | None:
    """Measure a quantity at a step; None where no layer has it, NaN where one is not finite.

    Of the layers of each seed, what the quantity asks for; of the seeds, the geometric mean.
    """
    matches = matcher(quantity.layers)
    assert matches is not None  # a quantity has patterns
    rows = table[(table["signal"] == quantity.signal) & (table["step"] == step)]
    rows = rows[rows["tensor"] == quantity.tensor]
    rows = rows[np.array([matches(layer) for layer in rows["layer"]], dtype=bool)]
    if not len(rows):
        return None
    seeds = (values for _, values in rows.sort_values(_ORDER).groupby("seed", observed=True))
    return _geometric(
        np.array([_of_layers(quantity, of_seed[quantity.statistic]) for of_seed in seeds])
    )


def _of_layers(quantity: Quantity, of_layers: pd.Series) -> float:
    values = of_layers.to_numpy(float)
    if quantity.over == "largest":
        return float(np.max(values))
    if quantity.over == "mean":
        return _geometric(values)
    return float(values[0] / values[-1]) if values[-1] else math.nan


def _geometric(values: np.ndarray) -> float:
    with np.errstate(divide="ignore"):
        return float(np.exp(np.log(values).mean()))


def _heading(quantity: Quantity) -> str:
    of = "" if quantity.over == "first / last" else f"\n({quantity.over})"
    return f"{quantity.title}{of}\nfirst → last step"


def _cells(quantities: Sequence[Quantity], recording: Recording) -> Iterator[str]:
    table = recording.table()
    first, last = int(table["step"].min()), int(table["step"].max())
    yield one_line(recording.runs[0])
    for quantity in quantities:
        values = (measure(quantity, table, step) for step in (first, last))
        yield " → ".join("-" if value is None else f"{value:.2g}" for value in values)
