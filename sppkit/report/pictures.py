"""Figures as drawings inside of a page: coloured by its style sheet, with points to point at."""

import base64
import io
import math
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from markupsafe import Markup
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure

from sppkit.escaping import without_control_characters
from sppkit.plots import canvas, style

_COLORS = ("ground", "ink", "dot", "faint", "hairline", "expected")
_SETTINGS: dict[Any, Any] = {"svg.fonttype": "none", "svg.hashsalt": "sppkit"}
_TAG = re.compile(r"<[^>]*>")
_HEX = re.compile(r"#[0-9a-f]{6}\b")
_ID = re.compile(r' id="([^"]*)"')
_REFERENCE = re.compile(r'(url\(#|href="#)([^)"]*)')
_POINTS_PER_INCH = 72
_SCALE = 1.6  # of letters on the page to those of the figure, at most
_NOT_FINITE, _ZERO = -(2**15), -(2**15) + 1


@dataclass(frozen=True)
class Picture:
    """A figure for the page.

    Attributes:
        name: of the figure, unique on the page.
        caption: what it shows, for those who see it and those who do not.
        drawing: the SVG element.
        panels: what can be pointed at, as data for JSON.
    """

    name: str
    caption: str
    drawing: Markup
    panels: list[dict[str, Any]]


def color_variables(theme: str, runs: int) -> dict[str, str]:
    """Name the colours of a theme, as variables of a style sheet."""
    chosen = style.THEMES[theme]
    named = {name: str(getattr(chosen, name)) for name in _COLORS}
    return named | {f"run-{n}": color for n, color in enumerate(style.run_colors(runs, chosen))}


def picture_of(figure: Figure, name: str, caption: str, runs: Sequence[str]) -> Picture:
    """Draw a figure of the light theme for the page.

    Args:
        figure: any that `sppkit.plots` makes.
        name: a word; ids in the drawing begin with it.
        caption: what it shows.
        runs: names of all runs, in the order of their colours.
    """
    drawing = _drawn(figure)
    known = {
        color: f"var(--{n}, {color})" for n, color in color_variables("light", len(runs)).items()
    }
    drawing = _TAG.sub(lambda tag: _HEX.sub(lambda c: known.get(c[0], c[0]), tag[0]), drawing)
    return Picture(name, caption, Markup(_with_own_ids(drawing, name)), _panels(figure))


def _drawn(figure: Figure) -> str:
    """Write the SVG element, with a transparent ground: the page has its own."""
    buffer = io.BytesIO()
    with mpl.rc_context(_SETTINGS), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # a name in a script of its own
        figure.savefig(buffer, format="svg", metadata={"Date": None}, transparent=True)
    text = without_control_characters(buffer.getvalue().decode())
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    size = r' (width|height)="[^"]*pt"'
    text = re.sub(size, "", text, count=2)  # the page decides how wide it is, up to this:
    widest = round(_SCALE * _POINTS_PER_INCH * figure.get_figwidth())
    return text.replace("<svg", f'<svg style="max-width: {widest}px"', 1)


def _with_own_ids(drawing: str, name: str) -> str:
    """Keep the ids that something refers to, and make them those of this figure."""
    wanted = {match[2] for tag in _TAG.findall(drawing) for match in _REFERENCE.finditer(tag)}

    def renamed(tag: re.Match[str]) -> str:
        kept = _ID.sub(lambda i: f' id="{name}-{i[1]}"' if i[1] in wanted else "", tag[0])
        return _REFERENCE.sub(lambda r: f"{r[1]}{name}-{r[2]}", kept)

    return _TAG.sub(renamed, drawing)


# ------------------------------------------------------------------------------ what is pointed at


def _panels(figure: Figure) -> list[dict[str, Any]]:
    """Give what can be pointed at, in the units of the drawing."""
    points = figure.points if isinstance(figure, canvas.SignalFigure) else []
    by_axes: dict[Any, list[canvas.Points]] = {}
    for each in points:
        by_axes.setdefault(each.axes, []).append(each)
    curves = [_curves(figure, axes, each) for axes, each in by_axes.items()]
    cells = figure.cells if isinstance(figure, canvas.SignalFigure) else []
    return [*curves, *(_cells(figure, each) for each in cells)]


def _frame(figure: Figure, axes: Any) -> dict[str, Any]:
    box = axes.get_window_extent()
    corners = [(box.x0, box.y1), (box.x1, box.y0)]
    (left, top), (right, bottom) = _placed(figure, np.array(corners))
    title = axes.get_title(loc="left").replace("\n", " ")
    return {"title": title, "box": [left, top, right, bottom]}


def _placed(figure: Figure, pixels: np.ndarray) -> list[list[float]]:
    """Turn pixels of the figure into units of the drawing, whose y axis goes down."""
    scale = _POINTS_PER_INCH / figure.dpi
    height = figure.get_figheight() * _POINTS_PER_INCH
    return [[round(x * scale, 1), round(height - y * scale, 1)] for x, y in pixels]


def _curves(figure: Figure, axes: Any, points: Sequence[canvas.Points]) -> dict[str, Any]:
    """Give the points of each run: x, y, layer, value, expected."""
    curves = []
    for each in points:
        frame = each.frame
        shown = frame["value"].where(np.isfinite(frame["value"]))
        if axes.get_yscale() == "log":
            shown = shown.where(shown > 0)
        low, high = axes.get_ylim()
        heights = shown.clip(low, high).fillna(high if axes.get_yscale() == "log" else low)
        heights = heights.where(shown.notna() | (frame["value"] != 0), low)
        pixels = axes.transData.transform(np.column_stack([frame["x"], heights]))
        rows = zip(
            _placed(figure, pixels), frame["layer"], frame["value"], frame["expected"], strict=True
        )
        curves.append(
            {
                "run": each.run,
                "points": [[x, y, str(n), _number(v), _number(e)] for (x, y), n, v, e in rows],
            }
        )
    return {**_frame(figure, axes), "curves": curves}


def _cells(figure: Figure, shown: canvas.Cells) -> dict[str, Any]:
    """Give the edges and the values of a heat map."""
    (mesh,) = (each for each in shown.axes.collections if isinstance(each, QuadMesh))
    corners = np.asarray(mesh.get_coordinates())
    across = _placed(figure, shown.axes.transData.transform(corners[0]))
    down = _placed(figure, shown.axes.transData.transform(corners[:, 0]))
    return {
        **_frame(figure, shown.axes),
        "run": shown.run,
        "across": [x for x, _ in across],
        "down": [y for _, y in down],
        "layers": shown.layers,
        "steps": shown.steps,
        "logarithms": _packed(shown.logarithms),
    }


def _packed(logarithms: np.ndarray) -> str:
    """Pack a heat map: hundredths as integers of 16 bits, little-endian, in base64."""
    hundredths = np.nan_to_num(100 * logarithms, nan=0.0, posinf=0.0, neginf=0.0).round()
    whole = np.clip(hundredths, _ZERO + 1, 2**15 - 1)
    whole = np.where(np.isneginf(logarithms), _ZERO, whole)
    whole = np.where(np.isnan(logarithms) | np.isposinf(logarithms), _NOT_FINITE, whole)
    return base64.b64encode(whole.astype("<i2").tobytes()).decode()


def _number(value: Any) -> float | str | None:
    """Give a number as JSON has it, to four digits; None where there is none."""
    number = float(value) if value is not None else math.nan
    if math.isnan(number):
        return None
    return float(f"{number:.4g}") if math.isfinite(number) else str(number)
