"""The numbers of a signal propagation plot in a few lines: what is printed below its path."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import pandas as pd
from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from sppkit.escaping import one_line
from sppkit.plots.frames import BLOCK, RESIDUAL, VARIANCE, at_step, curves, places_on_axis
from sppkit.recording import Recording
from sppkit.signals import Role, Signal

_HEADINGS = ("run", "depth", "first -> last", "range", "residual\nbranches", "not\ncaptured")


@dataclass(frozen=True)
class RunSummary:
    """What one run shows.

    Attributes:
        run: its name.
        places: "9 blocks", or "8 layers" where there are no blocks.
        variance: average channel variance, from the first block (layer) to the last.
        branches: average channel variance at the residual branch ends; empty without any.
        constant: the first block or layer whose output does not vary, if there is one.
        nonfinite: layers with values that are not finite, in order of execution.
        not_captured: how many things were not measured.
    """

    run: str
    places: str
    variance: tuple[float, ...]
    branches: tuple[float, ...]
    constant: str | None
    nonfinite: tuple[str, ...]
    not_captured: int


def summarize_runs(recording: Recording, step: int | None = None) -> list[RunSummary]:
    """Summarise each run at one step, its first by default, as the plot shows it.

    Raises:
        NothingObservedError: there is nothing to draw.
    """
    table = at_step(recording.table(), step)
    frame = curves(places_on_axis(table, recording.structure(), Signal.ACTIVATION))
    return [_summarize(run, recording, table, frame) for run in recording.runs]


def summary_table(summaries: Sequence[RunSummary], width: int) -> Table:
    """Lay the summaries out: a line for each run, or for each number where lines are too short."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.title, table.title_justify, table.title_style = "average channel variance", "left", ""
    rows = [_cells(summary) for summary in summaries]
    if _width([_HEADINGS, *rows]) > width:
        return _in_lines(table, rows)
    for heading in _HEADINGS:
        table.add_column(heading, no_wrap=True, vertical="bottom")
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def _width(rows: Iterable[Sequence[str]]) -> int:
    """Count the cells that a table takes, with two between its columns."""
    columns = zip(*rows, strict=True)
    return sum(max(cell_len(line) for cell in c for line in cell.split("\n")) + 2 for c in columns)


def _in_lines(table: Table, rows: Iterable[Sequence[str]]) -> Table:
    table.show_header = False
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for row in rows:
        for heading, cell in zip(_HEADINGS, row, strict=True):
            table.add_row(heading.replace("\n", " "), Text(cell))
    return table


def numerical_remarks(summaries: Sequence[RunSummary]) -> Iterator[str]:
    """Say what the numbers of the table do not show."""
    for summary in summaries:
        name = f"{summary.run}: " if len(summaries) > 1 else ""
        if not summary.variance:
            yield f"{name}nothing was observed of a block or a layer"
        if summary.nonfinite:
            count = len(summary.nonfinite)
            yield (
                f"{name}{count} layer{'s' * (count > 1)} with values that are not finite, "
                f"the first is {summary.nonfinite[0] or 'the output'}"
            )
        if summary.constant:
            yield f"{name}the output of {summary.constant} does not vary (variance 0)"


def _cells(summary: RunSummary) -> tuple[str, ...]:
    ends = (summary.variance[0], summary.variance[-1]) if summary.variance else ()
    return (
        one_line(summary.run),
        summary.places,
        " -> ".join(map(_number, ends)) or "-",
        _range(summary.variance),
        _range(summary.branches),
        str(summary.not_captured),
    )


def _range(values: Sequence[float]) -> str:
    finite = [value for value in values if not pd.isna(value)]
    return f"{_number(min(finite))}..{_number(max(finite))}" if finite else "-"


def _number(value: float) -> str:
    return "not finite" if pd.isna(value) else f"{value:.3g}"


def _summarize(
    run: str, recording: Recording, table: pd.DataFrame, frame: pd.DataFrame
) -> RunSummary:
    curve = frame[(frame["run"] == run) & (frame["x"] >= 1)]
    chain = curve[curve["panel"] == VARIANCE]
    kind = "block" if (chain["kind"] == BLOCK).any() else "layer"
    constant = chain[chain["mean"] == 0]
    return RunSummary(
        run=run,
        places=f"{len(chain)} {kind}{'s' * (len(chain) != 1)}",
        variance=tuple(chain["mean"]),
        branches=tuple(curve.loc[(curve["panel"] == RESIDUAL), "mean"]),
        constant=_place(constant.iloc[0]) if len(constant) else None,
        nonfinite=_nonfinite_layers(table[table["run"] == run]),
        not_captured=sum(missing.run == run for missing in recording.not_captured),
    )


def _nonfinite_layers(rows: pd.DataFrame) -> tuple[str, ...]:
    rows = rows[(rows["signal"] == Signal.ACTIVATION) & (rows["nonfinite_fraction"] > 0)]
    leaves = rows[rows["role"] == Role.LEAF]
    return tuple(dict.fromkeys((leaves if len(leaves) else rows).sort_values("depth")["layer"]))


def _place(row: "pd.Series[str]") -> str:
    return ":".join(part for part in (row["layer"], row["operation"]) if part)
