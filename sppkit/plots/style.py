"""The visual language of every figure: themes, widths, colours of runs.

`house_style` puts a theme and a width in force; what draws asks `colors()` and `canvas` and knows
neither. Nothing global is changed outside of it.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
import seaborn as sns
from matplotlib.colors import to_hex

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
LINE_STYLES = ("-", (0, (5, 1.5)), (0, (1.2, 1.2)), (0, (6, 1.5, 1.2, 1.5)))

LOG_FROM = 20.0
"""A panel whose positive values span more than this factor gets a logarithmic axis."""


@dataclass(frozen=True)
class _Look:
    theme: Theme
    width: float | None


_LOOK: ContextVar[_Look] = ContextVar("look")  # set by house_style, in which all is drawn


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


def inches() -> float | None:
    """Give the width that is in force; None where a figure is as wide as its panels like."""
    return _LOOK.get().width


def heat_colors(*, diverging: bool) -> str:
    """Name the colours of a heat map; of diverging ones the middle is near the ground."""
    if not diverging:
        return "viridis"
    return "vlag" if colors().ground == THEMES["light"].ground else "icefire"


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


def mark_size(points: float) -> float:
    """Give the size of a mark, which is smaller in the width of a paper."""
    return points if inches() is None else 0.75 * points


def wants_log(values: Sequence[float]) -> bool:
    """Say whether positive values span more than `LOG_FROM`."""
    positive = [value for value in values if 0 < value < float("inf")]
    return bool(positive) and max(positive) > LOG_FROM * min(positive)
