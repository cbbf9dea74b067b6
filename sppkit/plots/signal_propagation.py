"""The signal propagation plot of Brock, De and Smith.

Three panels over the residual blocks: average channel squared mean, average channel variance, and
average channel variance at the end of the residual branch.

References:
    Characterizing signal propagation to close the performance gap in unnormalized ResNets,
    Brock, De, Smith, 2021, arXiv 2101.08692, section 3 and figures 1 to 3.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sppkit.expectation import expected_ladder
from sppkit.plots import style
from sppkit.plots.frames import (
    BLOCK,
    LAYER,
    RESIDUAL,
    SQUARED_MEAN,
    VARIANCE,
    WEIGHTED_LAYER,
    at_step,
    curves,
    joined,
    places_on_axis,
)
from sppkit.recording import Recording
from sppkit.signals import Signal, label

_TITLES = {
    SQUARED_MEAN: label(SQUARED_MEAN),
    VARIANCE: label(VARIANCE),
    RESIDUAL: f"{label(VARIANCE)},\nend of the residual branch",
}
_LADDER_FIELDS = {
    SQUARED_MEAN: SQUARED_MEAN,
    VARIANCE: VARIANCE,
    RESIDUAL: "residual_average_channel_variance",
}
_DEPTHS = {
    BLOCK: "Residual block (0 = stem)",
    WEIGHTED_LAYER: "Weighted layer, in order of execution",
    LAYER: "Layer, in order of execution",
}
_OFF_BY = 2.0  # a block beyond this factor of its expected variance is annotated


def plot_signal_propagation(
    *recordings: Recording, theory: bool = True, gradient: bool = False, step: int | None = None
) -> Figure:
    """Draw the signal propagation plot of one or several runs.

    The x axis counts residual blocks (0 is the stem; black dots end a stage) or, in a network
    without any, its weighted layers in order of execution. Lines are means over seeds, bands reach
    from the 10 % to the 90 % quantile. A value that is not finite leaves a gap and a triangle at
    the upper edge; a zero on a logarithmic axis is a triangle at the lower edge.

    Args:
        recordings: what to draw; several runs overlay.
        theory: draw what is expected as a thin dashed line, where the topology has a ladder or is
            a plain fully connected one, whose mean-field curve follows from its own weights. It is
            absolute for gaussian input and anchored at the first block or layer for any other.
        gradient: add a row with the same statistics of the gradients.
        step: which step, by default the first recorded one.

    Returns:
        The figure; it is not shown, and pyplot does not know it.

    Raises:
        NothingObservedError: there is no activation of a block or a weighted layer.
        ValueError: no recording was given, or the step was not recorded.
    """
    if not recordings:
        raise ValueError("give at least one recording, as sppkit.probe returns it")
    recording = joined(recordings)
    table = at_step(recording.table(), step)
    structure = recording.structure()
    drawn = curves(places_on_axis(table, structure, Signal.ACTIVATION))
    expected = _expected(recording, table, drawn) if theory else _nothing_expected()
    rows = [("Activations", drawn, expected)]
    if gradient:
        frame = curves(places_on_axis(table, structure, Signal.GRADIENT))
        rows.append(("Gradients", frame, _nothing_expected()))
    with style.house_style():
        return _draw(rows, recording, table)


def _nothing_expected() -> pd.DataFrame:
    return pd.DataFrame(columns=["run", "panel", "x", "value", "anchored"])


def _expected(recording: Recording, table: pd.DataFrame, drawn: pd.DataFrame) -> pd.DataFrame:
    """Lay out theory's ladders: one row per run, panel and block."""
    structure, parts = recording.structure(), [_nothing_expected()]
    for run in drawn["run"].unique():
        metadata = recording.metadata[run]
        ladder = expected_ladder(
            structure[structure["run"] == run], table[table["run"] == run], metadata
        )
        if ladder is None:
            continue
        anchored = metadata.get("input") != "gaussian noise"
        for panel, name in _LADDER_FIELDS.items():
            values = np.asarray(getattr(ladder, name))
            if not len(values):
                continue  # a plain network has no residual branches
            if anchored:
                values = values * _anchor(drawn, run, panel, values[0])
            x = np.arange(1, len(values) + 1, dtype=float)
            parts.append(
                pd.DataFrame(
                    {"run": run, "panel": panel, "x": x, "value": values, "anchored": anchored}
                )
            )
    return pd.concat([part for part in parts if len(part)] or parts, ignore_index=True)


def _anchored_at(drawn: pd.DataFrame) -> str:
    return ", anchored at " + ("block 1" if (drawn["kind"] == BLOCK).any() else "layer 1")


def _anchor(drawn: pd.DataFrame, run: str, panel: str, first: float) -> float:
    """Scale a ladder so that it meets the first block."""
    at_first = (drawn["run"] == run) & (drawn["panel"] == panel) & (drawn["x"] == 1)
    measured = drawn.loc[at_first, "mean"]
    return float(measured.iloc[0] / first) if len(measured) and first else 1.0


def _draw(
    rows: Sequence[tuple[str, pd.DataFrame, pd.DataFrame]],
    recording: Recording,
    table: pd.DataFrame,
) -> Figure:
    panels = [p for p in _TITLES if any((frame["panel"] == p).any() for _, frame, _ in rows)]
    figure = style.SignalFigure(
        figsize=(3.5 * len(panels), 2.9 * len(rows) + 0.5), layout="constrained"
    )
    grid = figure.subplots(len(rows), len(panels), squeeze=False)
    styles = style.run_styles(recording.runs)
    for axes_row, (name, frame, expected) in zip(grid, rows, strict=True):
        for axes, panel in zip(axes_row, panels, strict=True):
            _draw_panel(
                axes,
                frame[frame["panel"] == panel],
                expected[expected["panel"] == panel],
                styles,
            )
            axes.set_title(_title(name, panel))
    for axes in grid[-1]:
        axes.set_xlabel(_depth_label(rows[0][1]))
    _add_texts(figure, grid, recording, rows[0], table)
    return figure


def _title(signal: str, panel: str) -> str:
    title = _TITLES[panel]
    return title if signal == "Activations" else f"Gradient: {title[0].lower()}{title[1:]}"


def _draw_panel(
    axes: Axes,
    frame: pd.DataFrame,
    expected: pd.DataFrame,
    styles: dict[str, dict[str, Any]],
) -> None:
    log = style.wants_log([*frame["mean"], *expected["value"]])
    if log:
        axes.set_yscale("log")
        axes.set_ylabel("log scale")
    for run, curve in frame.groupby("run", observed=True):
        _draw_run(axes, curve, styles[str(run)], str(run), log)
    for _, ladder in expected.groupby("run"):
        _draw_expected(axes, ladder)
    if not log:
        axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]), top=_headroom(frame, expected))
    _mark_stages(axes, frame)
    _annotate_first_offender(axes, frame, expected, log)
    style.integer_ticks(axes)
    axes.set_xlim(frame["x"].min() - 0.5, frame["x"].max() + 0.5)


def _draw_run(axes: Axes, curve: pd.DataFrame, look: dict[str, Any], run: str, log: bool) -> None:
    values = curve["mean"].where(np.isfinite(curve["mean"]))
    shown = values.where(values > 0) if log else values
    marker = "o" if len(curve) < 3 or shown.notna().sum() < 2 else None
    axes.plot(curve["x"], shown, label=run, marker=marker, markersize=3, **look)
    low = curve["low"].where(shown.notna())
    axes.fill_between(curve["x"], low, curve["high"], color=look["color"], alpha=0.18, linewidth=0)
    ends = curve["stage_end"] & shown.notna()
    axes.plot(
        curve["x"][ends], shown[ends], "o", color="black", markersize=3.6, label="_stage ends"
    )
    _mark_edge(axes, curve["x"][curve["mean"].isna()], 0.98, "^", look["color"], "_not finite")
    if log:
        _mark_edge(axes, curve["x"][values == 0], 0.02, "v", look["color"], "_zero")


def _mark_edge(
    axes: Axes, x: pd.Series, height: float, marker: str, color: object, name: str
) -> None:
    if len(x):
        axes.plot(
            x,
            np.full(len(x), height),
            marker,
            color=color,
            markersize=5,
            transform=axes.get_xaxis_transform(),
            clip_on=False,
            label=name,
        )


def _draw_expected(axes: Axes, ladder: pd.DataFrame) -> None:
    axes.plot(
        ladder["x"],
        ladder["value"].astype(float),
        color=style.EXPECTED,
        linestyle=(0, (4, 2)),
        linewidth=0.9,
        label="_expected",
        zorder=1.5,
    )


def _headroom(frame: pd.DataFrame, expected: pd.DataFrame) -> float:
    """Leave room above the highest value for the stage names."""
    values = pd.concat([frame["mean"], frame["high"], expected["value"].astype(float)])
    highest = values[np.isfinite(values)].max()
    return 1.18 * float(highest) if highest > 0 else 1.0


def _mark_stages(axes: Axes, frame: pd.DataFrame) -> None:
    """Separate the stages and name them, where all runs have the same ones."""
    if frame["panel"].iloc[0] == RESIDUAL or not (frame["kind"] == BLOCK).all():
        return
    borders = {tuple(c["x"][c["stage_end"]]) for _, c in frame.groupby("run", observed=True)}
    if len(borders) != 1 or not 1 < len(next(iter(borders))) <= 8:
        return
    start = 0.5
    for number, end in enumerate(next(iter(borders)), start=1):
        axes.text(
            (start + end + 0.5) / 2,
            1.0,
            f"stage {number}" if number == 1 else str(number),
            transform=axes.get_xaxis_transform(),
            ha="center",
            va="top",
            fontsize=7,
            color=style.FAINT,
        )
        if end + 0.5 < frame["x"].max():
            axes.axvline(end + 0.5, color=style.HAIRLINE, linewidth=0.8, zorder=0)
        start = end + 0.5


def _annotate_first_offender(
    axes: Axes, frame: pd.DataFrame, expected: pd.DataFrame, log: bool
) -> None:
    """Name the first place that is not finite, or far off what is expected."""
    for run, curve in frame.groupby("run", observed=True):
        ladder = expected[(expected["run"] == run) & ~expected["anchored"].astype(bool)]
        wanted = curve["x"].map(ladder.set_index("x")["value"].astype(float))
        off = (wanted > 0) & ~curve["mean"].between(wanted / _OFF_BY, wanted * _OFF_BY)
        offenders = curve[curve["mean"].isna() | (off & (curve["panel"] != SQUARED_MEAN))]
        if offenders.empty:
            continue
        first = offenders.iloc[0]
        finite = np.isfinite(first["mean"]) and (first["mean"] > 0 or not log)
        name = ":".join(part for part in (first["layer"], first["operation"]) if part)
        axes.annotate(
            name if finite else f"{name}: not finite" if pd.isna(first["mean"]) else f"{name}: 0",
            xy=(first["x"], first["mean"] if finite else 0.98),
            xycoords="data" if finite else axes.get_xaxis_transform(),
            xytext=(8, -14),
            textcoords="offset points",
            fontsize=7,
            parse_math=False,  # a layer's name is a name
            color=style.INK,
            arrowprops={"arrowstyle": "-", "color": style.FAINT, "linewidth": 0.7},
        )
        return


def _depth_label(frame: pd.DataFrame) -> str:
    kinds = [kind for kind in _DEPTHS if (frame["kind"] == kind).any()]
    return "\n".join(_DEPTHS[kind] for kind in kinds)


def _add_texts(
    figure: Figure,
    grid: np.ndarray,
    recording: Recording,
    activations: tuple[str, pd.DataFrame, pd.DataFrame],
    table: pd.DataFrame,
) -> None:
    """Name the runs, explain the dashed line, state the circumstances."""
    _, frame, expected = activations
    extra = {}
    if len(expected):
        anchored = bool(expected["anchored"].astype(bool).any())
        extra = {"_expected": f"expected{_anchored_at(frame) if anchored else ''}"}
    style.add_heading(figure, grid[0][1], recording.runs, extra)
    notes = [style.footer(recording.metadata, style.steps_shown(table))]
    if not (frame["panel"] == RESIDUAL).any():
        notes.append("no residual merge was found: there is no residual branch to show")
    figure.supxlabel(
        "\n".join(notes), parse_math=False, fontsize=7, color=style.FAINT, x=0.01, ha="left"
    )
