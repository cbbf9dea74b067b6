"""Figures, grids of panels in them, and what of them can be pointed at."""

import io
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator

from sppkit.plots.style import colors, inches

_SMALL_PANEL = 1.55  # inches
_LOWEST_PANEL = 1.4  # inches
_STACKED_PANEL = 1.6  # inches
_MOST_DECADES = 8  # with a tick each
_MOST_STRIDES = 7
_STRIDES = (2, 5, 10, 20, 50, 100)  # the range of float64 is 631 decades
_NARROWEST_PANEL = 1.9  # inches; panels that would be narrower stand below each other


@dataclass(frozen=True)
class Points:
    """What a line of a figure shows, for those who point at it.

    Attributes:
        axes: where it is drawn.
        run: whose it is.
        frame: columns x, value, layer and expected, a row for each point.
    """

    axes: Axes
    run: str
    frame: pd.DataFrame


@dataclass(frozen=True)
class Cells:
    """What a heat map shows, for those who point at it.

    Attributes:
        axes: where it is drawn.
        run: whose it is.
        layers, steps: what its rows and columns are.
        logarithms: to base 10, (layers, steps); NaN where there is none, -inf for zero.
    """

    axes: Axes
    run: str
    layers: tuple[str, ...]
    steps: tuple[int, ...]
    logarithms: np.ndarray


class SignalFigure(Figure):
    """A figure that notebooks show, though pyplot does not know it.

    Attributes:
        points: what its lines show.
        cells: what its heat maps show.
    """

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.points: list[Points] = []
        self.cells: list[Cells] = []

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=120)
        return buffer.getvalue()


def new_figure(
    rows: int,
    columns: int,
    panel: tuple[float, float],
    *,
    extra: float = 0.5,
    turns: bool = True,
    **options: Any,
) -> tuple[SignalFigure, np.ndarray]:
    """Make a figure with a grid of panels.

    In the width of a paper, panels that would be too narrow stand below each other.

    Args:
        rows, columns: of the grid.
        panel: width and height of a panel that has the room it likes, in inches.
        extra: height for headings and footers, in inches.
        turns: whether narrow panels may stand below each other.
        options: of matplotlib's `subplots`.

    Returns:
        The figure, and its axes as (rows, columns), wherever they stand.
    """
    width = inches()
    if width is None:
        down, across, size = rows, columns, (panel[0] * columns, panel[1] * rows + extra)
    else:
        down, across = _arrangement(rows, columns, width) if turns else (rows, columns)
        height = min(panel[1], max(_LOWEST_PANEL, panel[1] / panel[0] * width / across))
        height = min(height, _STACKED_PANEL) if down > rows else height
        size = (width, height * down + extra)
    figure = SignalFigure(figsize=size, layout="constrained")
    grid = figure.subplots(down, across, squeeze=False, **options)
    for axes in grid.flat:
        color_ticks(axes)
    if (down, across) == (columns, rows) != (rows, columns):
        return figure, grid.T
    return figure, grid.reshape(rows, columns)


def _arrangement(rows: int, columns: int, width: float) -> tuple[int, int]:
    """Say how many panels stand below and beside each other, where none is to be too narrow."""
    for down, across in ((rows, columns), (columns, rows)):
        if across == 1 or width / across >= _NARROWEST_PANEL:
            return down, across
    return rows * columns, 1


def color_ticks(axes: Axes) -> None:
    """Colour the ticks that will be made when the figure is drawn, by then outside of the style."""
    size = mpl.rcParams["xtick.labelsize"]
    axes.tick_params(which="both", colors=colors().ink, labelsize=size)


def panels_across(most: int) -> int:
    """Say how many small panels stand beside each other."""
    width = inches()
    return most if width is None else max(1, min(most, int(width / _SMALL_PANEL)))


class RoundDecades(LogLocator):
    """Ticks at powers of ten; over many decades at every 2nd, 5th, 10th, ... of them, and at 1."""

    def tick_values(self, vmin: float, vmax: float) -> Any:
        """Give the ticks of an axis from `vmin` to `vmax`; few decades are matplotlib's matter."""
        if vmin <= 0 or not np.isfinite(vmax):
            return super().tick_values(vmin, vmax)
        low, high = np.log10(vmin) - 1e-9, np.log10(vmax) + 1e-9
        if high - low <= _MOST_DECADES:
            return super().tick_values(vmin, vmax)
        stride = next(s for s in _STRIDES if (high - low) / s <= _MOST_STRIDES)
        return 10.0 ** np.arange(np.ceil(low / stride) * stride, high, stride)


def set_scale(axes: Axes, *, is_log: bool) -> None:
    """Make the y axis logarithmic or linear."""
    axes.set_yscale("log" if is_log else "linear")
    if is_log:
        axes.yaxis.set_major_locator(RoundDecades())


def integer_ticks(axes: Axes, most: int = 12) -> None:
    """Tick the x axis at whole numbers: a dozen at most, fewer in the width of a paper."""
    most = most if inches() is None else min(most, 7)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=most, integer=True, min_n_ticks=1))
