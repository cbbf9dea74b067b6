"""How far gradients reach: their size at every layer, from the first to the last."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from sppkit.errors import NothingObservedError
from sppkit.plots import canvas, headings, marks, style
from sppkit.plots.circumstances import footer, steps_shown
from sppkit.plots.frames import PHASES, at_step, joined
from sppkit.recording import Recording
from sppkit.signals import Phase, Role, Signal

_PANELS = {
    Signal.GRADIENT: "Gradient of each layer's output",
    Signal.WEIGHT_GRADIENT: "Gradient of each weight",
}


def plot_gradient_flow(
    *recordings: Recording,
    step: int | None = None,
    theme: style.ThemeName = "light",
    width: style.Width = "screen",
) -> Figure:
    """Draw the root mean square of gradients over depth, for outputs and for weights.

    Root mean square: sqrt(mean(g²)) of one tensor, on a logarithmic axis where it spans more than a
    factor of 20. Grey lines are limits of fp16, bf16 and fp8; the first layer without a gradient,
    or with one that is not finite, is named. The loss is stated below; under "unit-gradient" every
    element of the network's output receives a gradient of variance 1. Of the evidence of a check,
    the pass under a training loss is drawn.

    Args:
        recordings: what to draw; several runs overlay.
        step: which step, by default the first recorded one.
        theme: "light" or "dark".
        width: "screen"; "column" or "page" of a paper (3.25 and 6.75 inches); or inches.

    Returns:
        The figure; it is not shown, and pyplot does not know it.

    Raises:
        NothingObservedError: no gradient was recorded.
        ValueError: no recording was given, or the step was not recorded.
    """
    if not recordings:
        raise ValueError("give at least one recording, as sppkit.probe returns it")
    recording = joined(recordings)
    table = at_step(recording.table(), step, (Phase.LOSS, *PHASES))
    frames = {signal: _root_mean_squares(table, signal) for signal in _PANELS}
    frames = {signal: frame for signal, frame in frames.items() if len(frame)}
    if not frames:
        raise NothingObservedError(
            "no gradient was recorded: run a backward pass inside the recording, and check what "
            "recording.not_captured says."
        )
    with style.house_style(theme, width):
        return _draw(frames, recording, table)


def _root_mean_squares(table: pd.DataFrame, signal: Signal) -> pd.DataFrame:
    """Aggregate over seeds, as `marks.seed_curves` does."""
    rows = table[(table["signal"] == signal) & table["depth"].notna()]
    if signal is Signal.GRADIENT:
        rows = rows[
            (rows["role"] == Role.LEAF) & ~rows["flags"].astype(str).str.startswith("alias")
        ]
    else:
        rows = rows[rows["tensor"].astype(str).str.endswith(("weight", "original"))]
    rows = rows.assign(value=np.sqrt(rows["second_moment"]))
    rows["x"] = rows.groupby("run", observed=True)["depth"].rank(method="dense").astype(float)
    return marks.seed_curves(rows, "value")


def _draw(frames: dict[Signal, pd.DataFrame], recording: Recording, table: pd.DataFrame) -> Figure:
    figure, grid = canvas.new_figure(1, len(frames), (4.6, 2.9))
    styles = style.run_styles(recording.runs)
    for axes, (signal, frame) in zip(grid[0], frames.items(), strict=True):
        log = style.wants_log(list(frame["mean"]))
        canvas.set_scale(axes, is_log=log)
        for run in recording.runs:
            if (frame["run"] == run).any():
                marks.draw_curve(axes, frame[frame["run"] == run], run, styles[run])
        if not log:
            axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
        if np.isfinite(frame["mean"]).any():
            marks.draw_precision_limits(axes)
        marks.annotate_first(axes, frame, ~(np.isfinite(frame["mean"]) & (frame["mean"] > 0)))
        axes.set_title(_PANELS[signal])
        axes.set_ylabel("root mean square" + (", log scale" if log else ""))
        headings.set_depth_label(axes, "Layer, in order of execution")
        canvas.integer_ticks(axes)
    losses = {_loss_name(entry.get("loss")) for entry in recording.metadata.values()}
    circumstances = footer(recording.metadata, steps_shown(table))
    headings.add_footer(figure, circumstances, f"loss: {', '.join(sorted(losses))}")
    headings.add_heading(figure, grid[0][0], recording.runs, {})
    return figure


def _loss_name(stated: object) -> str:
    """Name the loss that a probe, a check or nobody has stated."""
    if isinstance(stated, Mapping):
        return str(stated["kind"])
    return "the user's loss" if stated is None else str(stated)
