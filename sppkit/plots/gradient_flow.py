"""How far gradients reach: their size at every layer, from the first to the last."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from sppkit.errors import NothingObservedError
from sppkit.plots import style
from sppkit.plots.frames import PHASES, at_step, joined
from sppkit.recording import Recording
from sppkit.signals import Phase, Role, Signal

_PANELS = {
    Signal.GRADIENT: "Gradient of each layer's output, root mean square",
    Signal.WEIGHT_GRADIENT: "Gradient of each weight, root mean square",
}


def plot_gradient_flow(*recordings: Recording, step: int | None = None) -> Figure:
    """Draw the root mean square of gradients over depth, for outputs and for weights.

    Root mean square: sqrt(mean(g²)) of one tensor, on a logarithmic axis where it spans more than a
    factor of 20. The loss is stated below; under "unit-gradient" every element of the network's
    output receives a gradient of variance 1. Of the evidence of a check, the pass under a training
    loss is drawn.

    Args:
        recordings: what to draw; several runs overlay.
        step: which step, by default the first recorded one.

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
    with style.house_style():
        return _draw(frames, recording, table)


def _root_mean_squares(table: pd.DataFrame, signal: Signal) -> pd.DataFrame:
    """Aggregate over seeds: columns run, x, mean, low, high."""
    rows = table[(table["signal"] == signal) & table["depth"].notna()]
    if signal is Signal.GRADIENT:
        rows = rows[
            (rows["role"] == Role.LEAF) & ~rows["flags"].astype(str).str.startswith("alias")
        ]
    else:
        rows = rows[rows["tensor"].astype(str).str.endswith(("weight", "original"))]
    rows = rows.assign(value=np.sqrt(rows["second_moment"]))
    rows["x"] = rows.groupby("run", observed=True)["depth"].rank(method="dense").astype(float)
    return (
        rows.groupby(["run", "x"], observed=True)["value"]
        .agg(
            mean=lambda v: v.mean(skipna=False),
            low=lambda v: v.quantile(0.1),
            high=lambda v: v.quantile(0.9),
        )
        .reset_index()
    )


def _draw(frames: dict[Signal, pd.DataFrame], recording: Recording, table: pd.DataFrame) -> Figure:
    figure = style.SignalFigure(figsize=(4.6 * len(frames), 3.4), layout="constrained")
    grid = figure.subplots(1, len(frames), squeeze=False)[0]
    styles = style.run_styles(recording.runs)
    for axes, (signal, frame) in zip(grid, frames.items(), strict=True):
        log = style.wants_log(list(frame["mean"]))
        if log:
            axes.set_yscale("log")
        for run, curve in frame.groupby("run", observed=True):
            shown = curve["mean"].where(curve["mean"] > 0) if log else curve["mean"]
            axes.plot(curve["x"], shown, label=run, **styles[str(run)])
            low, color = curve["low"].where(shown.notna()), styles[str(run)]["color"]
            axes.fill_between(curve["x"], low, curve["high"], color=color, alpha=0.18, linewidth=0)
        axes.set_title(_PANELS[signal])
        axes.set_ylabel("root mean square" + (", log scale" if log else ""))
        axes.set_xlabel("Layer, in order of execution")
        style.integer_ticks(axes)
    losses = {_loss_name(entry.get("loss")) for entry in recording.metadata.values()}
    circumstances = style.footer(recording.metadata, style.steps_shown(table))
    notes = f"{circumstances}\nloss: {', '.join(sorted(losses))}"
    figure.supxlabel(notes, parse_math=False, fontsize=7, color=style.FAINT, x=0.01, ha="left")
    style.add_heading(figure, grid[0], recording.runs, {})
    return figure


def _loss_name(stated: object) -> str:
    """Name the loss that a probe, a check or nobody has stated."""
    if isinstance(stated, Mapping):
        return str(stated["kind"])
    return "the user's loss" if stated is None else str(stated)
