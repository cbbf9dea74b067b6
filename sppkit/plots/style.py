"""The visual language of every figure: sizes, colours, marks, and what a footer says."""

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

INK = "#262626"
FAINT = "#8c8c8c"
HAIRLINE = "#d9d9d9"
EXPECTED = "#595959"

LINE_STYLES = ("-", (0, (5, 1.5)), (0, (1.2, 1.2)), (0, (6, 1.5, 1.2, 1.5)))

LOG_FROM = 20.0
"""A panel whose positive values span more than this factor gets a logarithmic axis."""

_SETTINGS: dict[Any, Any] = {
    "font.family": ["DejaVu Sans"],
    "font.size": 8.5,
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 8.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.facecolor": "white",
    "figure.facecolor": "white",
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "xtick.major.width": 0.8,
    "ytick.major.width": 0.8,
    "lines.linewidth": 1.6,
    "lines.solid_capstyle": "round",
    "legend.frameon": False,
    "legend.fontsize": 8,
    "savefig.dpi": 160,
}


class SignalFigure(Figure):
    """A figure that notebooks show, though pyplot does not know it."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=120)
        return buffer.getvalue()


@contextmanager
def house_style() -> Iterator[None]:
    """Draw in the house style; the caller's settings are untouched outside."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_SETTINGS)
        yield


def run_styles(runs: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Give each run a colour that colour-blind readers can tell, and a style for grey print."""
    palette = sns.color_palette("colorblind", max(len(runs), 1))
    return {
        run: {"color": palette[number], "linestyle": LINE_STYLES[number % len(LINE_STYLES)]}
        for number, run in enumerate(runs)
    }


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
    if len(runs) == 1:
        title = {"x": 0.01, "ha": "left", "fontsize": 10.5, "fontweight": "bold"}
        figure.suptitle(shortened(runs[0]), parse_math=False, **title)
    texts = {**({run: shortened(run) for run in runs} if len(runs) > 1 else {}), **extra}
    found = {name: text for name, text in texts.items() if name in lines}
    if found:
        place: Any = "outside upper left" if len(runs) > 1 else "outside upper right"
        handles = [lines[name] for name in found]
        legend = figure.legend(handles, list(found.values()), loc=place, ncols=_columns(found))
        for text in legend.get_texts():
            text.set_parse_math(False)  # a name may hold a dollar sign


def shortened(name: str, longest: int = 60) -> str:
    """Cut a long name, and keep matplotlib from hiding one that begins with an underscore."""
    text = name if len(name) <= longest else f"{name[: longest - 3]}..."
    return f" {text}" if text.startswith("_") else text


def _columns(texts: Mapping[str, str]) -> int:
    """Fit the legend into about a hundred letters."""
    return max(1, min(len(texts), 100 // max(len(text) + 6 for text in texts.values())))


def integer_ticks(axes: Axes) -> None:
    """Tick the depth axis at whole numbers, a dozen at most."""
    axes.xaxis.set_major_locator(MaxNLocator(nbins=12, integer=True, min_n_ticks=1))


def wants_log(values: Sequence[float]) -> bool:
    """Say whether positive values span more than `LOG_FROM`."""
    positive = [value for value in values if 0 < value < float("inf")]
    return bool(positive) and max(positive) > LOG_FROM * min(positive)


def steps_shown(table: pd.DataFrame) -> dict[str, str]:
    """State which step of a training run is shown, and how many samples it had."""
    rows = table[(table["phase"] != "probe") & (table["signal"] == "activation")]
    shown = rows.groupby("run", observed=True).agg(
        step=("step", "first"), phase=("phase", "first"), batch=("batch", "max")
    )
    return {
        str(run): ", ".join(
            [f"step {row['step']}", f"{row['phase']} pass"]
            + ([f"batch {row['batch']}"] if row["batch"] else [])  # an import may not know it
        )
        for run, row in shown.iterrows()
    }


def footer(metadata: Mapping[str, Mapping[str, Any]], steps: Mapping[str, str]) -> str:
    """State the circumstances of the runs: what they share once, what differs by run."""
    stated = {run: _circumstances(entry) for run, entry in metadata.items()}
    for run, step in steps.items():
        stated[run].insert(0, step)
    first = next(iter(stated.values()), [])
    common = [part for part in first if all(part in parts for parts in stated.values())]
    lines = [" · ".join(common)] if common else []
    for run, parts in stated.items():
        own = [part for part in parts if part not in common]
        lines += [f"{run}: {' · '.join(own)}"] if own else []
    return "\n".join(lines)


def _circumstances(metadata: Mapping[str, Any]) -> list[str]:
    if "imported_from" in metadata:
        return [f"imported from {metadata['imported_from']}"]
    parts = []
    if "input" in metadata:
        shapes = " and ".join("x".join(map(str, s[1:])) for s in metadata["input_shapes"])
        parts.append(str(metadata["input"]))
        parts += [f"size {shapes}"] if shapes else []
        parts.append(f"batch {metadata['batch_size']}")
        seeds = len(metadata["seeds"])
        shared = ", same weights" if metadata["weights"].startswith("the same") else ""
        parts.append(f"{seeds} seed{'s' if seeds != 1 else ''}{shared if seeds > 1 else ''}")
    parts.append(f"{metadata.get('mode', 'train')} mode")
    parts.append(str(metadata.get("device", "cpu")))
    if metadata.get("amp", "off") != "off":
        parts.append(f"autocast {metadata['amp']}")
    if gains := metadata.get("silent_residual_gains"):
        count = f"{len(gains)} residual gain{'s' * (len(gains) > 1)}"
        silent = "at zero" if "input" in metadata else "at zero at the start"  # of a training
        done = "set from zero to one" if metadata.get("activated") else silent
        parts.append(f"{count} {done}")
    return parts
