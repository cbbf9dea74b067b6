"""What panels are made of: curves with bands, marks at their edges, named places, limits."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from sppkit.plots import canvas, headings, style
from sppkit.plots.frames import over_seeds

_MANY = 30  # marks in a row, beyond which they are smaller
_BAND = 0.18  # opacity
_LINE_APART = 0.06  # of the height of a panel: names of lines need it

PRECISION_LIMITS: dict[str, float] = {
    "fp16 largest": 65504.0,
    "fp16 smallest normal": 2.0**-14,
    "bf16 largest": (2 - 2**-7) * 2.0**127,
    "bf16 smallest normal": 2.0**-126,
    "fp8 e4m3 largest": 448.0,
    "fp8 e4m3 smallest normal": 2.0**-6,
    "fp8 e5m2 largest": 57344.0,
}
"""Magnitudes between which numbers keep their precision; e5m2 has the smallest normal of fp16.

References:
    IEEE 754-2019, table 3.5 (binary16); FP8 formats for deep learning, Micikevicius et al., 2022,
    https://arxiv.org/abs/2209.05433, table 1.
"""


def seed_curves(rows: pd.DataFrame, value: str) -> pd.DataFrame:
    """Aggregate a column over seeds: columns run, x, mean, low, high, layer.

    Args:
        rows: with the columns run, x and layer.
        value: name of the column.
    """
    groups = rows.groupby(["run", "x"], observed=True)
    return over_seeds(groups[value]).join(groups["layer"].first()).reset_index()


def draw_curve(
    axes: Axes,
    curve: pd.DataFrame,
    run: str,
    look: Mapping[str, Any],
    *,
    value: str = "mean",
    band: bool = True,
) -> pd.Series:
    """Draw one run: a line with a band; what is not finite is a gap and a triangle at the edge.

    On a logarithmic axis a zero is a gap as well, with a triangle at the lower edge.

    Args:
        axes: whose scale has been set.
        curve: columns x, `value`, and low and high where there is a band.
        run: names the line.
        look: colour and style of the line.
        value: the column to draw.
        band: whether to draw the band.

    Returns:
        The values of the line, NaN in gaps.
    """
    is_log = axes.get_yscale() == "log"
    values = curve[value].where(np.isfinite(curve[value]))
    shown = values.where(values > 0) if is_log else values
    alone = _isolated(shown)
    axes.plot(
        curve["x"],
        shown,
        label=run,
        marker="o" if len(alone) else None,
        markevery=alone,
        markersize=style.mark_size(3),
        **look,
    )
    if band:
        low = curve["low"].where(shown.notna())
        axes.fill_between(
            curve["x"], low, curve["high"], color=look["color"], alpha=_BAND, linewidth=0
        )
    mark_edge(axes, curve["x"][values.isna()], 0.98, "^", look["color"], "_not finite")
    if is_log:
        mark_edge(axes, curve["x"][values == 0], 0.02, "v", look["color"], "_zero")
    remember(axes, run, curve.assign(value=curve[value]))
    return shown


def _isolated(values: "pd.Series[float]") -> list[int]:
    """Find the points that stand alone, which a line without marks would not show."""
    drawn = values.notna().to_numpy()
    beside = np.concatenate([[False], drawn, [False]])
    alone = drawn if len(drawn) < 3 else drawn & ~beside[:-2] & ~beside[2:]
    return [int(place) for place in np.flatnonzero(alone)]


def remember(axes: Axes, run: str, frame: pd.DataFrame) -> None:
    """Tell the figure what a line shows, for those who point at it."""
    if isinstance(axes.figure, canvas.SignalFigure):
        known = frame.reindex(columns=["x", "value", "layer", "operation", "expected"])
        axes.figure.points.append(canvas.Points(axes, run, known.reset_index(drop=True)))


def mark_edge(
    axes: Axes, x: "pd.Series[float]", height: float, marker: str, color: object, name: str
) -> None:
    """Put triangles at an edge of the panel, for values that it cannot show."""
    if len(x):
        axes.plot(
            x,
            np.full(len(x), height),
            marker,
            color=color,
            markersize=style.mark_size(5 if len(x) <= _MANY else 3.5),
            transform=axes.get_xaxis_transform(),
            clip_on=False,
            label=name,
        )


def draw_expected(axes: Axes, x: Sequence[float], values: Sequence[float]) -> None:
    """Draw what theory expects, as a thin dashed line."""
    shown = np.asarray(values, float)
    if axes.get_yscale() == "log":
        shown = np.where(shown > 0, shown, np.nan)
    axes.plot(
        x,
        shown,
        color=style.colors().expected,
        linestyle=(0, (4, 2)),
        linewidth=0.9,
        label="_expected",
        zorder=1.5,
    )


def annotate_place(axes: Axes, x: float, y: float, name: str) -> None:
    """Name a place: at its value, or where that cannot be drawn at the edge it has left by."""
    is_log = axes.get_yscale() == "log"
    is_shown = bool(np.isfinite(y)) and (y > 0 or not is_log)
    word = "" if is_shown else ": not finite" if not np.isfinite(y) else ": 0"
    height = y if is_shown else 0.98 if not np.isfinite(y) else 0.02
    across, up = _towards_the_middle(axes, x, y if is_shown else None, is_low=height == 0.02)
    axes.annotate(
        headings.shortened(name, 40) + word,
        xy=(x, height),
        xycoords="data" if is_shown else axes.get_xaxis_transform(),
        xytext=(8 if across else -8, 12 if up else -14),
        textcoords="offset points",
        ha="left" if across else "right",
        fontsize="small",
        parse_math=False,  # a layer's name is a name
        color=style.colors().ink,
        arrowprops={"arrowstyle": "-", "color": style.colors().faint, "linewidth": 0.7},
        bbox=_cleared(),
        label="_offender",
    )


def _towards_the_middle(
    axes: Axes, x: float, y: float | None, *, is_low: bool
) -> tuple[bool, bool]:
    """Choose the side of a point where there is room: to the right, and above."""
    left, right = axes.get_xlim()
    if y is None:
        return x < (left + right) / 2, is_low
    return x < (left + right) / 2, _height(axes, y) < 0.35


def annotate_first(axes: Axes, frame: pd.DataFrame, is_off: "pd.Series[bool]") -> None:
    """Name the first place of the first run that is off.

    Args:
        axes: with its limits set.
        frame: columns run, x, mean, layer, and operation where there is one.
        is_off: for each row of the frame.
    """
    for _, curve in frame[is_off].groupby("run", observed=True, sort=False):
        first = curve.sort_values("x").iloc[0]
        name = ":".join(str(part) for part in (first["layer"], first.get("operation", "")) if part)
        annotate_place(axes, float(first["x"]), float(first["mean"]), name or "the output")
        return


def draw_precision_limits(axes: Axes, *, signed: bool = False) -> None:
    """Draw the limits of fp16, bf16 and fp8 that lie in the panel, or within a factor of ten.

    Of limits that would cover each other the one that stands first in `PRECISION_LIMITS` is drawn.

    Args:
        axes: of magnitudes, with its limits set; those of a logarithmic axis are moved to show a
            limit that is near.
        signed: whether values below zero are shown: then a largest magnitude stands on both sides,
            and smallest ones, which crowd at zero, are left out.
    """
    known = PRECISION_LIMITS.items()
    asked = {name: v for name, v in known if not signed or name.endswith("largest")}
    near = {name: value for name, value in asked.items() if _is_near(axes, value)}
    drawn: list[float] = []
    for name, value in near.items():
        for line in (value, -value) if signed else (value,):
            height = _height(axes, line)
            if 0 <= height <= 1 and all(abs(height - other) > _LINE_APART for other in drawn):
                _draw_limit(axes, line, name)
                drawn.append(height)


def _height(axes: Axes, value: float) -> float:
    """Give the height of a value in the panel, 0 at its lower edge and 1 at its upper one."""
    placed = axes.transData.transform((axes.get_xlim()[0], value))
    return float(axes.transAxes.inverted().transform(placed)[1])


def _is_near(axes: Axes, value: float) -> bool:
    """Say whether a limit is in the panel; a logarithmic one grows by a decade at most for it."""
    low, high = axes.get_ylim()
    if axes.get_yscale() != "log":
        return high / 50 <= value <= high  # lower ones crowd at zero
    if not low / 10 <= value <= high * 10:
        return False
    axes.set_ylim(min(low, value / 1.5), max(high, value * 1.5))
    return True


def _draw_limit(axes: Axes, value: float, name: str) -> None:
    color = style.colors().faint
    axes.axhline(value, color=color, linewidth=0.7, zorder=0.5, label="_limit")
    name_line(axes, value, name)


def name_line(axes: Axes, value: float, name: str) -> None:
    """Write the name of a horizontal line at its right end."""
    axes.text(
        0.995,
        value,
        name,
        transform=axes.get_yaxis_transform(),
        ha="right",
        va="bottom",
        fontsize="x-small",
        color=style.colors().faint,
        label="_name",
        bbox=_cleared(),
    )


def _cleared() -> dict[str, Any]:
    """Keep curves from running through a text."""
    return {"facecolor": style.colors().ground, "alpha": 0.75, "edgecolor": "none", "pad": 0.6}
