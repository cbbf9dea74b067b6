"""How a signal changes in training: every layer, every recorded step, in one picture."""

from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure

from sppkit.errors import NothingObservedError
from sppkit.patterns import Patterns, matcher, require_match
from sppkit.plots import canvas, headings, style
from sppkit.plots.circumstances import footer
from sppkit.plots.frames import joined
from sppkit.recording import STATISTIC_COLUMNS, Recording
from sppkit.signals import OF_OUTPUTS, Phase, Role, Signal, label

_MOST_NAMES = 40  # layers beyond which only every k-th is named
_LONGEST_NAME = 32
_LEAST_SPAN, _LEAST_CHANGE = 0.01, 0.1  # decades of the scale of colours
_OF_PARAMETERS = frozenset(set(Signal) - OF_OUTPUTS)


def plot_over_training(
    *recordings: Recording,
    signal: Signal | str = Signal.ACTIVATION,
    statistic: str = "second_moment",
    layers: Patterns | None = None,
    relative: bool = False,
    theme: style.ThemeName = "light",
    width: style.Width = "screen",
) -> Figure:
    """Draw log10 of a statistic as a heat map of layers over steps, a panel for each run.

    Layers stand in order of execution, the first one at the top; steps are those that were
    recorded in train mode. All panels share one scale of colours. Of several seeds it is the mean
    of the logarithm. A value that is not finite is left blank and marked by a cross, a zero has the
    colour below the scale.

    Levels of layers of different kinds differ: the rows of a network that mixes them are striped.
    Relative to the first recorded step, rows begin at log10 1 = 0 and show what training changes;
    what was zero or not finite at first and no longer is cannot be compared, and is a cross.

    Args:
        recordings: what to draw; several runs stand side by side.
        signal: of the layers' outputs "activation" or "gradient"; of their weights "weight",
            "effective weight", "weight gradient", "clipped weight gradient" or "update".
        statistic: a column of the table with values of 0 or more, such as "second_moment",
            "average_channel_variance" or "norm_to_weight_ratio".
        layers: globs, or regular expressions behind "re:", of the layers to draw; None takes all.
        relative: divide each layer's values by its first.
        theme: "light" or "dark".
        width: "screen"; "column" or "page" of a paper (3.25 and 6.75 inches); or inches.

    Returns:
        The figure; it is not shown, and pyplot does not know it.

    Raises:
        NothingObservedError: the signal was not recorded in training.
        ValueError: no recording was given, or there is no such signal or statistic, or a pattern
            matches nothing.

    Examples:
        >>> import torch, sppkit
        >>> model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU())
        >>> with sppkit.record(model, run="net") as recording:
        ...     for _ in range(3):
        ...         model(torch.randn(32, 4)).sum().backward()
        ...         recording.step()
        >>> sppkit.plot_over_training(recording).axes[0].get_xlabel()
        'step'
    """
    if not recordings:
        raise ValueError("give at least one recording, as sppkit.record returns it")
    if statistic not in STATISTIC_COLUMNS:
        raise ValueError(
            f"there is no statistic {statistic!r}; there are: {', '.join(STATISTIC_COLUMNS)}"
        )
    recording = joined(recordings)
    rows = rows_of_layers(recording.table(), Signal(signal), layers)
    frame = layers_over_steps(rows, statistic, relative=relative)
    words = f"{label(statistic)[0].lower()}{label(statistic)[1:]}"
    title = f"{str(signal).capitalize()} over training{', relative to its start' * relative}"
    meaning = f"log10 of the {words}{' over its first' * relative}"
    with style.house_style(theme, width):
        colors = _colors(frame["value"], relative)
        return _draw(frame, recording, title, meaning, colors)


def layers_over_steps(
    rows: pd.DataFrame, statistic: str, *, relative: bool = False
) -> pd.DataFrame:
    """Place the rows of a signal on the two axes, aggregated over seeds.

    Args:
        rows: as `rows_of_layers` chooses them.
        statistic: a column of them.
        relative: divide by the value at the first step.

    Returns:
        Columns run, layer (with its call or tensor, where there are several), place (its number in
        order of execution, from 1), step, and value (log10; -inf for zero, NaN where not finite).
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        rows = rows.assign(value=np.log10(rows[statistic].to_numpy(float)))
    if relative:
        rows = rows.assign(value=_over_the_first(rows))
    return mean_over_seeds(rows, ["value"])


def _over_the_first(rows: pd.DataFrame) -> "pd.Series[float]":
    """Take from each logarithm the one that its layer began with; zeros stay zeros."""
    key = ["run", "seed", "rank", "place"]
    ordered = rows.sort_values("step").groupby(key, observed=True)["value"]
    begun = ordered.transform(lambda values: values.iloc[0]).reindex(rows.index)
    return (rows["value"] - begun).where(~np.isneginf(rows["value"]), -np.inf)


def mean_over_seeds(rows: pd.DataFrame, values: list[str]) -> pd.DataFrame:
    """Average columns over seeds, for each layer and step; NaN where any seed is."""
    seeds = rows.groupby(["run", "place", "layer", "step"], observed=True)[values]
    means = seeds.mean()
    return means.where(seeds.count().eq(seeds.size(), axis=0)).reset_index()


def rows_of_layers(
    table: pd.DataFrame, signal: Signal, layers: Patterns | None = None
) -> pd.DataFrame:
    """Choose the rows of layers in training, and number the layers in order of execution.

    Returns:
        The rows, with `layer` named with its call, where there are several, and `place` from 1.

    Raises:
        NothingObservedError: there is none.
        ValueError: a pattern matches no layer.
    """
    rows = table[(table["signal"] == signal) & (table["phase"] == Phase.TRAIN)]
    rows = rows[rows["depth"].notna() & (rows["operation"].astype(str) == "")]
    if signal in _OF_PARAMETERS:
        rows = rows[rows["tensor"].astype(str).str.endswith(("weight", "original"))]
    else:
        rows = rows[rows["role"] == Role.LEAF]
    if rows.empty:
        raise NothingObservedError(
            f"no {signal} of a layer was recorded in training. Record a few steps by "
            "sppkit.record or sppkit train, and check what recording.not_captured says."
        )
    if matches := matcher(layers):
        require_match("layers", layers, list(rows["layer"].astype(str).unique()))
        rows = rows[rows["layer"].astype(str).map(matches)]
    order = rows["depth"].astype(float) + rows["call"] / (1 + rows["call"].max())
    place = order.groupby(rows["run"], observed=True).rank(method="dense").astype(int)
    named = rows.assign(place=place, layer=_names(rows))
    return named.drop_duplicates(["run", "seed", "rank", "step", "place"])  # of a tuple, the first


def _names(rows: pd.DataFrame) -> list[str]:
    calls = rows.groupby(["run", "layer"], observed=True)["call"].transform("max")
    return [
        f"{layer}#{call + 1}" if most else str(layer)
        for layer, call, most in zip(rows["layer"], rows["call"], calls, strict=True)
    ]


@dataclass(frozen=True)
class _Colors:
    """Which colour a value has."""

    map: Colormap
    scale: Normalize


def _colors(values: "pd.Series[float]", relative: bool) -> _Colors:
    """Span the finite values; relative ones about 0, which has the colour of the ground."""
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (-1.0, 1.0)
    name, faint = style.heat_colors(diverging=relative), style.colors().faint
    if relative:
        high = max(-low, high, _LEAST_CHANGE)
        low = -high
    scale = Normalize(low, max(high, low + _LEAST_SPAN))
    return _Colors(mpl.colormaps[name].with_extremes(under=faint, bad="none"), scale)


def _draw(
    frame: pd.DataFrame, recording: Recording, title: str, meaning: str, colors: _Colors
) -> Figure:
    runs = [run for run in recording.runs if (frame["run"] == run).any()]
    layers = int(frame["place"].max())
    height = min(9.0, 2.2 + 0.13 * min(layers, 2 * _MOST_NAMES))
    figure, grid = canvas.new_figure(1, len(runs), (3.6 + 1.6 / len(runs), height - 0.5))
    for axes, run in zip(grid[0], runs, strict=True):
        mesh = _draw_run(axes, frame[frame["run"] == run], colors)
        figure.cells.append(_cells(axes, run, frame[frame["run"] == run]))
        axes.set_title(headings.shortened(run), parse_math=False)
    bar = figure.colorbar(mesh, ax=list(grid.flat), extend="min", shrink=0.9, aspect=30)
    bar.set_label(meaning)
    headings.add_title(figure, title)
    headings.add_footer(figure, footer({run: recording.metadata[run] for run in runs}, {}))
    return figure


def _draw_run(axes: Axes, frame: pd.DataFrame, colors: _Colors) -> QuadMesh:
    cells = frame.pivot_table("value", "place", "step", aggfunc="first", dropna=False)
    values, steps = cells.to_numpy(float), cells.columns.to_numpy(float)
    mesh = axes.pcolormesh(
        *(
            _edges(steps),
            np.arange(len(cells) + 1) + 0.5,
            np.ma.masked_invalid(_kept(values, colors.scale)),
        ),
        cmap=colors.map,
        norm=colors.scale,
        rasterized=True,
    )
    measured = frame.set_index(["place", "step"])["value"]
    bad = measured[measured.isna() | np.isposinf(measured)].index.to_frame(index=False)
    axes.plot(
        *(bad["step"], bad["place"], "x"),
        color=style.colors().ink,
        markersize=3,
        label="_not finite",
        rasterized=True,  # there may be one in each cell
    )
    axes.invert_yaxis()
    axes.set_xlabel("step")
    if axes.get_subplotspec().is_first_col():  # type: ignore[union-attr]  # of a grid
        axes.set_ylabel("layer, in order of execution")
    _name_layers(axes, frame)
    return mesh


def _cells(axes: Axes, run: str, frame: pd.DataFrame) -> canvas.Cells:
    """Tell what is shown, for those who point at it."""
    values = frame.pivot_table("value", "place", "step", aggfunc="first", dropna=False)
    names = frame.drop_duplicates("place").set_index("place")["layer"].sort_index()
    return canvas.Cells(
        axes, run, tuple(names), tuple(int(s) for s in values.columns), values.to_numpy(float)
    )


def _kept(values: np.ndarray, scale: Normalize) -> np.ndarray:
    """Let zeros be seen below the scale, where infinities would be blank."""
    kept: np.ndarray = np.where(np.isneginf(values), float(scale.vmin or 0.0) - 1.0, values)
    return kept


def _edges(steps: np.ndarray) -> np.ndarray:
    """Put the borders of cells halfway between the steps that were recorded."""
    if len(steps) == 1:
        return np.array([steps[0] - 0.5, steps[0] + 0.5])
    middles = (steps[1:] + steps[:-1]) / 2
    edges: np.ndarray = np.concatenate(
        [[2 * steps[0] - middles[0]], middles, [2 * steps[-1] - middles[-1]]]
    )
    return edges


def _name_layers(axes: Axes, frame: pd.DataFrame) -> None:
    """Name each layer; of many only every k-th."""
    names = frame.drop_duplicates("place").set_index("place")["layer"].sort_index()
    shown = names.iloc[:: -(-len(names) // _MOST_NAMES)]
    texts = [headings.shortened(name, _LONGEST_NAME) for name in shown]
    axes.set_yticks(list(shown.index), texts, fontsize="x-small", parse_math=False)
