"""The panels of a signal propagation plot: one statistic over the depth of the network."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from sppkit.expectation import expected_ladder
from sppkit.plots import canvas, marks, style
from sppkit.plots.frames import BLOCK, LAYER, RESIDUAL, SQUARED_MEAN, VARIANCE, WEIGHTED_LAYER
from sppkit.recording import Recording
from sppkit.signals import Signal, label

TITLES = {
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
_OFF_BY = 2.0  # a block whose whole band is beyond this factor of what is expected is annotated
_MOST_STAGES = 8


def nothing_expected() -> pd.DataFrame:
    """Give the expectation of networks that theory does not describe."""
    return pd.DataFrame(columns=["run", "panel", "x", "value", "anchored"])


def expected_curves(recording: Recording, table: pd.DataFrame, drawn: pd.DataFrame) -> pd.DataFrame:
    """Lay out theory's ladders: one row per run, panel and block."""
    structure, parts = recording.structure(), [nothing_expected()]
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


def _anchor(drawn: pd.DataFrame, run: str, panel: str, first: float) -> float:
    """Scale a ladder so that it meets the first block."""
    at_first = (drawn["run"] == run) & (drawn["panel"] == panel) & (drawn["x"] == 1)
    measured = drawn.loc[at_first, "mean"]
    return float(measured.iloc[0] / first) if len(measured) and first else 1.0


def draw_panel(
    axes: Axes,
    frame: pd.DataFrame,
    expected: pd.DataFrame,
    styles: dict[str, dict[str, Any]],
    limits: tuple[bool, tuple[float, float] | None] | None = None,
) -> None:
    """Draw one statistic of all runs.

    Args:
        axes: an empty panel.
        frame: curves of this panel, as `frames.curves` makes them.
        expected: the rows of this panel.
        styles: of each run.
        limits: whether the axis is logarithmic, and its ends, where they are fixed.
    """
    is_log, ends = limits or (style.wants_log([*frame["mean"], *expected["value"]]), None)
    if is_log:
        canvas.set_scale(axes, is_log=True)
        axes.set_ylabel("log scale")
    for run, curve in frame.groupby("run", observed=True):
        _draw_run(axes, _with_expected(curve, expected), styles[str(run)], str(run))
    for _, ladder in expected.groupby("run"):
        marks.draw_expected(axes, list(ladder["x"]), list(ladder["value"]))
    if ends:
        axes.set_ylim(*ends)
    elif not is_log:
        axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]), top=_headroom(frame, expected))
    axes.set_xlim(frame["x"].min() - 0.5, frame["x"].max() + 0.5)
    _mark_stages(axes, frame)
    marks.annotate_first(axes, frame, _is_off(frame, expected))
    canvas.integer_ticks(axes)


def _with_expected(curve: pd.DataFrame, expected: pd.DataFrame) -> pd.DataFrame:
    ladder = expected[expected["run"] == curve["run"].iloc[0]].set_index("x")["value"]
    return curve.assign(expected=curve["x"].map(ladder.astype(float)))


def _draw_run(axes: Axes, curve: pd.DataFrame, look: dict[str, Any], run: str) -> None:
    shown = marks.draw_curve(axes, curve, run, look)
    ends = curve["stage_end"] & shown.notna()
    color, size = style.colors().dot, style.mark_size(3.6)
    x, y = curve["x"][ends], shown[ends]
    axes.plot(x, y, "o", color=color, markersize=size, label="_stage ends")


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
    if len(borders) != 1 or not 1 < len(next(iter(borders))) <= _MOST_STAGES:
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
            fontsize="small",
            color=style.colors().faint,
        )
        if end + 0.5 < frame["x"].max():
            axes.axvline(end + 0.5, color=style.colors().hairline, linewidth=0.8, zorder=0)
        start = end + 0.5


def _is_off(frame: pd.DataFrame, expected: pd.DataFrame) -> "pd.Series[bool]":
    """Find the places that are not finite, and blocks far off what is expected.

    Plain networks of finite width wander off their mean-field curve: the logarithm of their second
    moment spreads by about sqrt(5 depth / width) (Hanin, Nica, 2020, arXiv 1812.05994).
    """
    ladders = expected[~expected["anchored"].astype(bool)].set_index(["run", "x"])["value"]
    wanted = ladders.astype(float).reindex(pd.MultiIndex.from_frame(frame[["run", "x"]]))
    wanted = wanted.set_axis(frame.index)
    too_high, too_low = frame["low"] > wanted * _OFF_BY, frame["high"] < wanted / _OFF_BY
    off = (frame["kind"] == BLOCK) & (wanted > 0) & (too_high | too_low)
    is_broken = ~np.isfinite(frame["mean"].to_numpy(float))
    found: pd.Series[bool] = is_broken | (off & (frame["panel"] != SQUARED_MEAN))
    return found


def title(signal: Signal, panel: str) -> str:
    """Name a panel of a signal."""
    text = TITLES[panel]
    return text if signal is Signal.ACTIVATION else f"Gradient: {text[0].lower()}{text[1:]}"


def depth_label(frame: pd.DataFrame) -> str:
    """Say what the x axis counts."""
    kinds = [kind for kind in _DEPTHS if (frame["kind"] == kind).any()]
    return "\n".join(_DEPTHS[kind] for kind in kinds)


def explanations(frame: pd.DataFrame, expected: pd.DataFrame) -> dict[str, str]:
    """Explain the dashed line."""
    if expected.empty:
        return {}
    if not expected["anchored"].astype(bool).any():
        return {"_expected": "expected"}
    place = "block 1" if (frame["kind"] == BLOCK).any() else "layer 1"
    return {"_expected": f"expected, anchored at {place}"}


def panels_of(frames: Iterable[pd.DataFrame]) -> list[str]:
    """List the panels that have a curve."""
    shown = {panel for frame in frames for panel in frame["panel"].unique()}
    return [panel for panel in TITLES if panel in shown]
