"""How the values of layers are spread, and how that changes in training."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sppkit.patterns import Patterns
from sppkit.plots import canvas, headings, marks, style
from sppkit.plots.circumstances import footer
from sppkit.plots.frames import joined
from sppkit.plots.over_training import mean_over_seeds, rows_of_layers
from sppkit.recording import Recording
from sppkit.signals import Signal

_MOST_PANELS = 12
_PER_ROW = 4
_OPACITY = {"extremes": 0.12, "values": 0.22, "channel means": 0.4}
_WIDE = 100.0  # extremes beyond this multiple of the typical spread get a symmetric log axis


def plot_distribution_over_training(
    *recordings: Recording,
    signal: Signal | str = Signal.ACTIVATION,
    layers: Patterns | None = None,
    theme: style.ThemeName = "light",
    width: style.Width = "screen",
) -> Figure:
    """Draw the range of a layer's values, and of its channels, over the recorded steps.

    A panel for each layer. The line is the mean of all values, and around it lie, from dark to
    light, one standard deviation of the channels' means, the middle of the values, and their range:

        channel means   mean ± sqrt(variance - average channel variance), the variance between
        values          5 % to 95 % quantile, or mean ± sqrt(variance) where there are no quantiles
        extremes        minimum to maximum of the finite values

    A recording holds what channels add up to, not each of them: so a panel shows how far channels
    lie apart, not which one is where. Where the dark band is as wide as the next one, channels are
    constants of their own, and a mean shift has taken the place of the signal. Grey lines are
    limits of fp16, bf16 and fp8.

    Args:
        recordings: what to draw; several runs overlay. Of several seeds the mean of each curve.
        signal: of the layers' outputs "activation" or "gradient"; of their weights "weight",
            "effective weight", "weight gradient", "clipped weight gradient" or "update".
        layers: globs, or regular expressions behind "re:", of the layers to draw; by default a
            dozen, evenly spread over the depth of each network.
        theme: "light" or "dark".
        width: "screen"; "column" or "page" of a paper (3.25 and 6.75 inches); or inches.

    Returns:
        The figure; it is not shown, and pyplot does not know it.

    Raises:
        NothingObservedError: the signal was not recorded in training.
        ValueError: no recording was given, there is no such signal, or a pattern matches nothing.
    """
    if not recordings:
        raise ValueError("give at least one recording, as sppkit.record returns it")
    recording = joined(recordings)
    frame = spread_over_steps(rows_of_layers(recording.table(), Signal(signal), layers))
    chosen = _chosen(frame)
    with style.house_style(theme, width):
        return _draw(frame[frame["layer"].isin(chosen)], chosen, recording, Signal(signal))


def spread_over_steps(rows: pd.DataFrame) -> pd.DataFrame:
    """Lay out where the values of each layer lie at each recorded step.

    Args:
        rows: as `rows_of_layers` chooses them.

    Returns:
        Columns run, layer, place, step, mean, and the ends of each band as (band, "low") and
        (band, "high") joined by a blank; means over seeds, NaN where a value is not finite.
    """
    between = np.sqrt(np.maximum(rows["variance"] - rows["average_channel_variance"], 0.0))
    deviation = np.sqrt(rows["variance"])
    middle = {"low": rows["quantile_05"], "high": rows["quantile_95"]}
    ends = {
        "extremes low": rows["minimum"],
        "extremes high": rows["maximum"],
        "values low": middle["low"].fillna(rows["mean"] - deviation),
        "values high": middle["high"].fillna(rows["mean"] + deviation),
        "channel means low": rows["mean"] - between,
        "channel means high": rows["mean"] + between,
    }
    whole = rows[["mean", "variance"]].notna().all(axis=1)
    known = pd.DataFrame({"mean": rows["mean"], **ends}).where(whole)
    keyed = known.assign(**{key: rows[key] for key in ("run", "layer", "place", "step")})
    return mean_over_seeds(keyed, ["mean", *ends])


def _chosen(frame: pd.DataFrame) -> list[str]:
    names = list(frame.sort_values("place")["layer"].drop_duplicates())
    if len(names) <= _MOST_PANELS:
        return names
    spread = np.linspace(0, len(names) - 1, _MOST_PANELS).round().astype(int)
    return [names[place] for place in spread]


def _draw(
    frame: pd.DataFrame, layers: Sequence[str], recording: Recording, signal: Signal
) -> Figure:
    columns = min(canvas.panels_across(_PER_ROW), len(layers))
    rows = -(-len(layers) // columns)
    figure, grid = canvas.new_figure(rows, columns, (2.7, 1.9), turns=False, sharex=True)
    runs = [run for run in recording.runs if (frame["run"] == run).any()]
    styles = style.run_styles(recording.runs)
    panels = list(grid.flat)
    for axes, layer in zip(panels, layers, strict=False):
        _draw_layer(axes, frame[frame["layer"] == layer], runs, styles)
        axes.set_title(
            headings.shortened(layer, 30 if columns > 1 else 60),
            parse_math=False,
            fontsize="medium",
        )
    for axes in panels[len(layers) :]:
        axes.set_visible(False)
    for axes in panels[max(0, len(layers) - columns) : len(layers)]:
        axes.set_xlabel("step")
        axes.tick_params(labelbottom=True)
    headings.add_heading(figure, panels[0], runs, {})
    bands = "bands, from dark to light: channel means ± 1 sd, 5 to 95 % of the values, extremes"
    shown = f"{signal} over training, mean of all values; {bands}"
    headings.add_footer(figure, shown, footer({run: recording.metadata[run] for run in runs}, {}))
    return figure


def _draw_layer(
    axes: Axes, frame: pd.DataFrame, runs: Sequence[str], styles: dict[str, dict[str, object]]
) -> None:
    _choose_scale(axes, frame)
    for run in runs:
        curve = frame[frame["run"] == run].rename(columns={"step": "x"})
        if curve.empty:
            continue
        look = styles[run]
        for band, opacity in _OPACITY.items():
            low, high = curve[f"{band} low"], curve[f"{band} high"]
            color: object = look["color"]
            axes.fill_between(
                curve["x"], low, high, color=color, alpha=opacity, linewidth=0, label=f"_{band}"
            )
        marks.draw_curve(axes, curve, run, look, band=False)
    marks.draw_precision_limits(axes, signed=True)
    canvas.integer_ticks(axes, most=6)


def _choose_scale(axes: Axes, frame: pd.DataFrame) -> None:
    """Take a symmetric logarithm where the extremes would hide what most values do."""
    typical = (frame["values high"] - frame["values low"]).median()
    farthest = frame[["extremes low", "extremes high"]].abs().max().max()
    if np.isfinite(typical) and typical > 0 and farthest > _WIDE * typical:
        axes.set_yscale("symlog", linthresh=float(typical))
