"""Networks of different shapes on one axis, and how far each is from the first."""

from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sppkit.errors import NothingObservedError
from sppkit.plots import canvas, headings, marks, style
from sppkit.plots.circumstances import footer, steps_shown
from sppkit.plots.frames import BLOCK, VARIANCE, at_step, joined, places_on_axis
from sppkit.recording import STATISTIC_COLUMNS, Recording
from sppkit.signals import Signal, label

Axis = Literal["auto", "block", "depth"]

_NAMES = {
    "block": "Residual block (0 = stem)",
    "depth": "Depth, from the first place (0) to the last (1)",
}


def plot_comparison(
    *recordings: Recording,
    signal: Signal | str = Signal.ACTIVATION,
    statistic: str = VARIANCE,
    step: int | None = None,
    axis: Axis = "auto",
    theme: style.ThemeName = "light",
    width: style.Width = "screen",
) -> Figure:
    """Draw a statistic of several runs over each other, and below their ratio to the first run.

    Places are residual blocks, or in a network without any its weighted layers. Networks of
    different depth are laid on one axis from 0 to 1:

        depth of place i of n = (i - first) / (last - first)

    and ratios are taken at the places of each run, between which the first run is interpolated
    linearly in its logarithm. Of several seeds a line is the geometric mean, and the band reaches
    from the 10 % to the 90 % quantile.

    Args:
        recordings: two runs at least, the first of which is what others are compared with.
        signal: "activation" or "gradient".
        statistic: a column of the table with values of 0 or more.
        step: which step, by default the last one that all runs have recorded.
        axis: "block", where all runs have residual blocks; "depth"; or "auto": blocks where all
            runs have as many of them.
        theme: "light" or "dark".
        width: "screen"; "column" or "page" of a paper (3.25 and 6.75 inches); or inches.

    Returns:
        The figure; it is not shown, and pyplot does not know it.

    Raises:
        NothingObservedError: there is no such signal of a block or a weighted layer.
        ValueError: fewer than two runs, no common step, or an unknown word.
    """
    if statistic not in STATISTIC_COLUMNS:
        raise ValueError(
            f"there is no statistic {statistic!r}; there are: {', '.join(STATISTIC_COLUMNS)}"
        )
    if axis not in ("auto", *_NAMES):
        raise ValueError(f"axis={axis!r} is not known; there are: auto, {', '.join(_NAMES)}")
    recording = joined(recordings) if recordings else Recording()
    if len(recording.runs) < 2:
        raise ValueError(
            f"a comparison needs two runs or more, and there is {len(recording.runs)}. "
            "A single one is drawn by plot_signal_propagation, or sppkit plot."
        )
    table = recording.table()
    table = at_step(table, last_common_step(table) if step is None else step)
    frame, kind = comparable(table, recording.structure(), Signal(signal), statistic, axis)
    with style.house_style(theme, width):
        return _draw(frame, recording, table, kind, statistic, Signal(signal))


def last_common_step(table: pd.DataFrame) -> int:
    """Find the last step that all runs have recorded.

    Raises:
        NothingObservedError: the recording is empty.
        ValueError: there is none.
    """
    steps = [set(rows["step"]) for _, rows in table.groupby("run", observed=True)]
    if not steps:
        raise NothingObservedError("the recordings are empty: there is nothing to compare.")
    if common := set.intersection(*steps):
        return int(max(common))
    raise ValueError("the runs have recorded no step in common; record them with one --every.")


def comparable(
    table: pd.DataFrame, structure: pd.DataFrame, signal: Signal, statistic: str, axis: Axis
) -> tuple[pd.DataFrame, str]:
    """Lay runs on one axis.

    Returns:
        Columns run, x, mean (geometric, over seeds), low, high, ratio (to the first run, NaN
        outside of what it covers), sorted by run and x; and what x is, "block" or "depth".
    """
    placed = places_on_axis(table, structure, signal)
    placed = placed[placed["panel"] == VARIANCE]  # the chain, once
    kind = _kind_of_axis(placed, axis)
    if kind == "depth":
        by_run = placed.groupby("run", observed=True)["x"]
        first, last = by_run.transform("min"), by_run.transform("max")
        placed = placed.assign(x=(placed["x"] - first) / (last - first).where(last > first, 1.0))
    groups = placed.groupby(["run", "x"], observed=True)[statistic]
    frame = groups.agg(
        mean=_geometric_mean,
        low=lambda v: v.quantile(0.1),
        high=lambda v: v.quantile(0.9),
    )
    frame = frame.assign(layer=placed.groupby(["run", "x"], observed=True)["layer"].first())
    frame = frame.reset_index()
    frame["run"] = frame["run"].astype(str)
    reference = frame[frame["run"] == _first_run(table, structure)]
    return frame.assign(ratio=frame["mean"] / _interpolated(reference, frame["x"])), kind


def _first_run(table: pd.DataFrame, structure: pd.DataFrame) -> str:
    return str(structure["run"].iloc[0]) if len(structure) else str(table["run"].iloc[0])


def _kind_of_axis(placed: pd.DataFrame, axis: Axis) -> str:
    each = [rows for _, rows in placed.groupby("run", observed=True)]
    have_blocks = all((rows["kind"] == BLOCK).all() for rows in each)
    if axis == "block" and not have_blocks:
        raise ValueError("axis='block' needs residual blocks in all runs; 'depth' suits any.")
    alike = have_blocks and len({tuple(sorted(set(rows["x"]))) for rows in each}) == 1
    return "block" if axis == "block" or (axis == "auto" and alike) else "depth"


def _geometric_mean(values: pd.Series) -> float:
    """Average logarithms: 0 where a value is 0, NaN where one is not finite."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.exp(np.log(values.to_numpy(float)).mean()))


def _interpolated(reference: pd.DataFrame, x: pd.Series) -> np.ndarray:
    """Read the first run at places of others; NaN beyond its ends or beside a value without one."""
    positive = reference["mean"].where(reference["mean"] > 0)
    logarithms = np.log(positive.to_numpy(float))
    found: np.ndarray = np.exp(np.interp(x, reference["x"], logarithms, left=np.nan, right=np.nan))
    return found


def _draw(
    frame: pd.DataFrame,
    recording: Recording,
    table: pd.DataFrame,
    kind: str,
    statistic: str,
    signal: Signal,
) -> Figure:
    figure, grid = canvas.new_figure(
        2, 1, (6.4, 2.25), sharex=True, gridspec_kw={"height_ratios": [2.2, 1.0]}
    )
    above, below = grid[:, 0]
    styles = style.run_styles(recording.runs)
    log = style.wants_log(list(frame["mean"]))
    for axes, column in ((above, "mean"), (below, "ratio")):
        is_log = log if column == "mean" else style.wants_log(list(frame["ratio"]))
        canvas.set_scale(axes, is_log=is_log)
        for run in recording.runs:
            curve = frame[frame["run"] == run]
            is_mean = column == "mean"
            marks.draw_curve(axes, curve, run, styles[run], value=column, band=is_mean)
    name = label(statistic)
    above.set_title(name if signal == Signal.ACTIVATION else f"{str(signal).capitalize()}: {name}")
    above.set_ylabel("log scale" if log else "")
    _finish_ratios(below, recording.runs[0], kind)
    headings.add_footer(figure, footer(recording.metadata, steps_shown(table)))
    headings.add_heading(figure, above, recording.runs, {})
    return figure


def _finish_ratios(axes: Axes, reference: str, kind: str) -> None:
    is_log = axes.get_yscale() == "log"
    axes.set_ylabel("ratio" + (", log scale" if is_log else ""))
    axes.set_title(f"Ratio to {headings.shortened(reference)}", parse_math=False)
    axes.set_xlabel(_NAMES[kind])
    if kind == "block":
        canvas.integer_ticks(axes)
