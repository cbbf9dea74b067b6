"""The visual language of every figure: themes, widths, colours, headings and footers.

`house_style` puts a theme and a width in force; what draws asks `colors()` and `new_figure` and
knows neither. Nothing global is changed outside of it.
"""

import io
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

ThemeName = Literal["light", "dark"]
Width = Literal["screen", "column", "page"] | float


@dataclass(frozen=True)
class Theme:
    """The colours of a figure.

    Attributes:
        ground: behind everything.
        ink: text.
        dot: the dots that end a stage.
        faint: axes, footers, names of stages and of limits.
        hairline: separators.
        expected: what theory expects.
        lightness: the range in which colours of runs stand out from the ground.
    """

    ground: str
    ink: str
    dot: str
    faint: str
    hairline: str
    expected: str
    lightness: tuple[float, float]


THEMES: dict[str, Theme] = {
    "light": Theme("#ffffff", "#262626", "#000000", "#6f6f6f", "#d9d9d9", "#595959", (0.0, 0.55)),
    "dark": Theme("#16191d", "#ececec", "#ffffff", "#a3a3a3", "#41464d", "#bdbdbd", (0.58, 1.0)),
}

WIDTHS: dict[str, float | None] = {"screen": None, "column": 3.25, "page": 6.75}
"""Inches: as wide as the panels like, and a column and a page of the usual two-column papers."""

_LEAST_WIDTH = 2.0  # inches, of a figure
_SMALL_PANEL = 1.55  # inches
_LOWEST_PANEL = 1.4  # inches
_STACKED_PANEL = 1.6  # inches
_NARROWEST_PANEL = 1.9  # inches; panels that would be narrower stand below each other

LINE_STYLES = ("-", (0, (5, 1.5)), (0, (1.2, 1.2)), (0, (6, 1.5, 1.2, 1.5)))

LOG_FROM = 20.0
"""A panel whose positive values span more than this factor gets a logarithmic axis."""


@dataclass(frozen=True)
class _Look:
    theme: Theme
    width: float | None


_LOOK: ContextVar[_Look] = ContextVar("look")  # set by house_style, in which all is drawn


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


@contextmanager
def house_style(theme: ThemeName = "light", width: Width = "screen") -> Iterator[None]:
    """Draw in the house style; the caller's settings are untouched outside.

    Args:
        theme: "light" or "dark".
        width: of the figure: "screen", as wide as its panels like; "column" (3.25 inches) or "page"
            (6.75 inches) of a paper, with letters of 7 points; or a number of inches.

    Raises:
        ValueError: there is no such theme or width.
    """
    if theme not in THEMES:
        raise ValueError(f"theme={theme!r} is not known; there are: {', '.join(THEMES)}")
    look = _Look(THEMES[theme], _inches(width))
    token = _LOOK.set(look)
    try:
        with mpl.rc_context():
            mpl.rcdefaults()
            mpl.rcParams.update(_settings(look))
            yield
    finally:
        _LOOK.reset(token)


def check_width(width: Width | str) -> None:
    """Refuse what is no width of a figure.

    Raises:
        ValueError: it is no word for one, and no number of inches.
    """
    _inches(width)


def _inches(width: Width | str) -> float | None:
    if isinstance(width, str) and width in WIDTHS:
        return WIDTHS[width]
    if isinstance(width, int | float) and np.isfinite(width) and width >= _LEAST_WIDTH:
        return float(width)
    raise ValueError(
        f"width={width!r} is not known; expected {', '.join(WIDTHS)}, or a number of inches, "
        f"{_LEAST_WIDTH:g} at least"
    )


def _settings(look: _Look) -> dict[Any, Any]:
    theme, is_paper = look.theme, look.width is not None
    return {
        "font.family": ["DejaVu Sans"],
        "font.size": 7.0 if is_paper else 8.5,
        "axes.titlesize": 7.5 if is_paper else 9.0,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.labelsize": "medium",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": theme.faint,
        "axes.labelcolor": theme.ink,
        "axes.titlecolor": theme.ink,
        "axes.linewidth": 0.6 if is_paper else 0.8,
        "axes.facecolor": theme.ground,
        "figure.facecolor": theme.ground,
        "savefig.facecolor": theme.ground,
        "text.color": theme.ink,
        "xtick.color": theme.ink,
        "ytick.color": theme.ink,
        "xtick.labelsize": 6.5 if is_paper else 8.0,
        "ytick.labelsize": 6.5 if is_paper else 8.0,
        "xtick.major.width": 0.6 if is_paper else 0.8,
        "ytick.major.width": 0.6 if is_paper else 0.8,
        "lines.linewidth": 1.2 if is_paper else 1.6,
        "lines.solid_capstyle": "round",
        "legend.frameon": False,
        "legend.fontsize": 7.0 if is_paper else 8.0,
        "savefig.dpi": 160,
    }


def colors() -> Theme:
    """Give the colours that are in force."""
    return _LOOK.get().theme


def heat_colors(*, diverging: bool) -> str:
    """Name the colours of a heat map; of diverging ones the middle is near the ground."""
    if not diverging:
        return "viridis"
    return "vlag" if colors().ground == THEMES["light"].ground else "icefire"


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
    width = _LOOK.get().width
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


def run_styles(runs: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Give each run a colour that colour-blind readers can tell, and a style for grey print."""
    palette = run_colors(len(runs), colors())
    return {
        run: {"color": palette[number], "linestyle": LINE_STYLES[number % len(LINE_STYLES)]}
        for number, run in enumerate(runs)
    }


def run_colors(count: int, theme: Theme) -> list[str]:
    """Give colours that stand out from the ground of a theme."""
    low, high = theme.lightness
    return [
        to_hex(sns.set_hls_values(color, l=min(max(_lightness(color), low), high)))
        for color in sns.color_palette("colorblind", max(count, 1))
    ]


def _lightness(color: tuple[float, float, float]) -> float:
    return (max(color) + min(color)) / 2


def add_heading(figure: Figure, axes: Axes, runs: Sequence[str], extra: Mapping[str, str]) -> None:
    """Name one run as the title, several in a legend above the panels; explain further lines.

    The handles are collected here, since matplotlib leaves out names that begin with an underscore.

    Args:
        figure: gets the heading.
        axes: holds a line for each run, labelled with its name.
        runs: names of the runs.
        extra: label and text of further lines to explain.
    """
    lines = {str(line.get_label()): line for line in reversed(axes.lines)}
    longest = _letters(figure)
    if len(runs) == 1:
        add_title(figure, shortened(runs[0], min(60, int(0.75 * longest))))
    names = {run: shortened(run, min(60, longest - 6)) for run in runs} if len(runs) > 1 else {}
    texts = {**names, **extra}
    found = {name: text for name, text in texts.items() if name in lines}
    if found:
        place: Any = "outside upper left" if len(runs) > 1 else "outside upper right"
        handles = [lines[name] for name in found]
        legend = figure.legend(
            handles, list(found.values()), loc=place, ncols=_columns(found, longest)
        )
        for text in legend.get_texts():
            text.set_parse_math(False)  # a name may hold a dollar sign


def set_panel_title(axes: Axes, text: str) -> None:
    """Write the title of a panel, folded in the width of a paper."""
    axes.set_title(_fitted(axes, text, 0.6 * mpl.rcParams["axes.titlesize"]))


def set_depth_label(axes: Axes, text: str) -> None:
    """Write what the x axis counts, folded in the width of a paper."""
    axes.set_xlabel(_fitted(axes, text, 0.58 * mpl.rcParams["font.size"]))


def _fitted(axes: Axes, text: str, letter: float) -> str:
    """Fold a text into a panel, where the figure has the width of a paper.

    Args:
        axes: the panel.
        text: any.
        letter: its mean width in points.
    """
    width = _LOOK.get().width
    if width is None:
        return text
    spec = axes.get_subplotspec()
    across = spec.get_gridspec().ncols if spec else 1
    letters = int(72 * (width / across - 0.45) / letter)
    return "\n".join(line for part in text.split("\n") for line in textwrap.wrap(part, letters))


def add_title(figure: Figure, text: str) -> None:
    """Write the name of the figure at its upper left."""
    settings: dict[str, Any] = {"x": 0.01, "ha": "left", "fontsize": "large", "fontweight": "bold"}
    figure.suptitle(text, parse_math=False, **settings)


def add_footer(figure: Figure, *notes: str) -> None:
    """Write notes below the panels, folded where the figure is narrower than they are."""
    letters = int(1.25 * _letters(figure))
    folded = [
        line for note in notes for text in note.split("\n") for line in _folded(text, letters)
    ]
    figure.supxlabel(
        "\n".join(folded),
        parse_math=False,
        fontsize="small",
        color=colors().faint,
        x=0.01,
        ha="left",
    )


def _folded(text: str, letters: int) -> list[str]:
    return textwrap.wrap(text, letters, break_on_hyphens=False, subsequent_indent="  ") or [""]


def _letters(figure: Figure) -> int:
    """Count the letters of a legend that fit beside each other: half as wide as they are high."""
    return int(72 * figure.get_figwidth() / (0.62 * mpl.rcParams["font.size"]))


def shortened(name: str, longest: int = 60) -> str:
    """Cut a long name, and keep matplotlib from hiding one that begins with an underscore."""
    text = name if len(name) <= longest else f"{name[: longest - 3]}..."
    return f" {text}" if text.startswith("_") else text


def _columns(texts: Mapping[str, str], letters: int) -> int:
    return max(1, min(len(texts), letters // max(len(text) + 6 for text in texts.values())))


def panels_across(most: int) -> int:
    """Say how many small panels stand beside each other."""
    width = _LOOK.get().width
    return most if width is None else max(1, min(most, int(width / _SMALL_PANEL)))


def mark_size(points: float) -> float:
    """Give the size of a mark, which is smaller in the width of a paper."""
    return points if _LOOK.get().width is None else 0.75 * points


def integer_ticks(axes: Axes, most: int = 12) -> None:
    """Tick the x axis at whole numbers: a dozen at most, fewer in the width of a paper."""
    most = most if _LOOK.get().width is None else min(most, 7)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=most, integer=True, min_n_ticks=1))


def wants_log(values: Sequence[float]) -> bool:
    """Say whether positive values span more than `LOG_FROM`."""
    positive = [value for value in values if 0 < value < float("inf")]
    return bool(positive) and max(positive) > LOG_FROM * min(positive)
