"""The words around panels: names of runs, titles, labels and footers, folded where it is narrow."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sppkit.plots.style import colors, inches


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
    width = inches()
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
