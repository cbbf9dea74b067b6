"""Weights over depth: their size, the gain it amounts to, and how far gradients move them."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sppkit.errors import NothingObservedError
from sppkit.plots import canvas, headings, marks, style
from sppkit.plots.circumstances import footer, steps_shown
from sppkit.plots.frames import PHASES, at_step, joined
from sppkit.recording import Recording
from sppkit.signals import Phase, Signal

_HEALTHY_UPDATE = 1e-3  # see statistics.norm_to_weight_ratio


def _root_mean_square(rows: pd.DataFrame) -> np.ndarray:
    found: np.ndarray = np.sqrt(rows["second_moment"].to_numpy(float))
    return found


def _gain(rows: pd.DataFrame) -> np.ndarray:
    found: np.ndarray = np.sqrt((rows["second_moment"] * rows["fan_in"]).to_numpy(float))
    return found


def _ratio(rows: pd.DataFrame) -> np.ndarray:
    return rows["norm_to_weight_ratio"].to_numpy(float)


@dataclass(frozen=True)
class _Panel:
    """What one panel shows.

    Attributes:
        signal: whose rows.
        title: of the panel.
        value: gives the numbers of rows that carry their layer's fan-in.
        scale: what they are.
        expected: name and value of dashed lines.
        has_limits: whether limits of precision are drawn.
    """

    signal: Signal
    title: str
    value: Callable[[pd.DataFrame], np.ndarray]
    scale: str
    expected: tuple[tuple[str, float], ...] = ()
    has_limits: bool = False


_GAINS = (("1", 1.0), ("√2", float(np.sqrt(2.0))))  # LeCun's and He's initialisation

_GAIN, _RMS, _NORMS = "√fan-in x rms", "root mean square", "ratio of norms"
_PANELS = (
    _Panel(Signal.WEIGHT, "Weight", _root_mean_square, _RMS, has_limits=True),
    _Panel(Signal.EFFECTIVE_WEIGHT, "Gain of the weight as used", _gain, _GAIN, _GAINS),
    _Panel(Signal.WEIGHT_GRADIENT, "Gradient over weight", _ratio, _NORMS),
    _Panel(Signal.UPDATE, "Update over weight", _ratio, _NORMS, (("1e-3", _HEALTHY_UPDATE),)),
)


def plot_weights(
    *recordings: Recording,
    step: int | None = None,
    theme: style.ThemeName = "light",
    width: style.Width = "screen",
) -> Figure:
    """Draw the weights of every weighted layer over depth, and what moves them.

    Up to four panels, of what was recorded:

        Weight                     rms(w) = sqrt(mean(w²)), beside the limits of fp16, bf16 and fp8
        Gain of the weight as used sqrt(fan_in) rms(w_eff); dashed at 1 (LeCun) and √2 (He)
        Gradient over weight       |g| / |w|, the norms of all elements
        Update over weight         |Δw| / |w|; dashed at 1e-3, as of a healthy rate of learning

    The weight as used is the effective one (standardised, parametrised, binarised) where a layer
    has one, else the stored one. The gain is that of independent inputs of mean zero: the output's
    variance over the input's second moment is its square. Lines are means over seeds, bands reach
    from the 10 % to the 90 % quantile. The first layer whose value is zero or not finite is named.

    Args:
        recordings: what to draw; several runs overlay.
        step: which step, by default the first recorded one.
        theme: "light" or "dark".
        width: "screen"; "column" or "page" of a paper (3.25 and 6.75 inches); or inches.

    Returns:
        The figure; it is not shown, and pyplot does not know it.

    Raises:
        NothingObservedError: no weight was recorded.
        ValueError: no recording was given, or the step was not recorded.

    References:
        Understanding the difficulty of training deep feedforward neural networks, Glorot, Bengio,
        2010, section 4.2; Delving deep into rectifiers, He, Zhang, Ren, Sun, 2015,
        https://arxiv.org/abs/1502.01852, equation 10.
    """
    if not recordings:
        raise ValueError("give at least one recording, as sppkit.probe returns it")
    recording = joined(recordings)
    table = at_step(recording.table(), step, (Phase.LOSS, *PHASES))
    frames = {panel: _curves(panel, table, recording.structure()) for panel in _PANELS}
    frames = {panel: frame for panel, frame in frames.items() if len(frame)}
    if not frames:
        raise NothingObservedError(
            "no weight of a weighted layer was recorded. Check include/exclude and what "
            "recording.not_captured says."
        )
    with style.house_style(theme, width):
        return _draw(frames, recording, table)


def _curves(panel: _Panel, table: pd.DataFrame, structure: pd.DataFrame) -> pd.DataFrame:
    """Aggregate one panel over seeds, as `marks.seed_curves` does."""
    fans = structure[(structure["operation"] == "") & structure["fan_in"].notna()]
    rows = table[table["tensor"].astype(str).str.endswith(("weight", "original"))]
    rows = rows.astype({"run": "string", "layer": "string"}).merge(
        fans[["run", "layer", "fan_in"]].astype({"fan_in": float}), on=["run", "layer"]
    )
    rows = rows[rows["depth"].notna()]
    rows = rows.assign(x=rows.groupby("run")["depth"].rank(method="dense").astype(float))
    rows = _as_used(rows) if panel.signal is Signal.EFFECTIVE_WEIGHT else rows
    rows = rows[rows["signal"].isin([panel.signal])]
    rows = rows.assign(value=panel.value(rows))
    return marks.seed_curves(
        rows[rows["value"].notna() | rows["nonfinite_fraction"].gt(0)], "value"
    )


def _as_used(rows: pd.DataFrame) -> pd.DataFrame:
    """Keep the effective weights, and the stored ones of layers that have no other."""
    kinds = {Signal.WEIGHT: 1, Signal.EFFECTIVE_WEIGHT: 0}
    rows = rows[rows["signal"].isin(list(kinds))]
    ranked = rows.assign(kind=rows["signal"].astype(str).map(kinds)).sort_values("kind")
    first = ranked.drop_duplicates(["run", "seed", "rank", "step", "layer", "tensor"])
    return first.assign(signal=str(Signal.EFFECTIVE_WEIGHT))


def _draw(frames: dict[_Panel, pd.DataFrame], recording: Recording, table: pd.DataFrame) -> Figure:
    figure, grid = canvas.new_figure(1, len(frames), (3.5, 2.7))
    styles = style.run_styles(recording.runs)
    for axes, (panel, frame) in zip(grid[0], frames.items(), strict=True):
        is_log = style.wants_log([*frame["mean"], *(value for _, value in panel.expected)])
        canvas.set_scale(axes, is_log=is_log)
        for run in recording.runs:
            if (frame["run"] == run).any():
                marks.draw_curve(axes, frame[frame["run"] == run], run, styles[run])
        _draw_references(axes, panel, frame, is_log=is_log)
        marks.annotate_first(axes, frame, ~(np.isfinite(frame["mean"]) & (frame["mean"] > 0)))
        axes.set_title(panel.title)
        axes.set_ylabel(panel.scale + (", log scale" if is_log else ""))
        headings.set_depth_label(axes, "Weighted layer, in order of execution")
        canvas.integer_ticks(axes)
    headings.add_footer(figure, footer(recording.metadata, steps_shown(table)))
    headings.add_heading(figure, grid[0][0], recording.runs, {})
    return figure


def _draw_references(axes: Axes, panel: _Panel, frame: pd.DataFrame, *, is_log: bool) -> None:
    """Draw what is expected, and the limits of precision, below the curves."""
    left, right = axes.get_xlim()
    for name, value in panel.expected:
        marks.draw_expected(axes, [left, right], [value, value])
        marks.name_line(axes, value, name)
    axes.set_xlim(left, right)
    if not is_log:
        axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
    if panel.has_limits and np.isfinite(frame["mean"]).any():
        marks.draw_precision_limits(axes)
