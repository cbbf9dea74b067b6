"""The signal propagation plot of Brock, De and Smith.

Three panels over the residual blocks: average channel squared mean, average channel variance, and
average channel variance at the end of the residual branch.

References:
    Characterizing signal propagation to close the performance gap in unnormalized ResNets,
    Brock, De, Smith, 2021, arXiv 2101.08692, section 3 and figures 1 to 3.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from sppkit.plots import canvas, headings, style
from sppkit.plots.circumstances import footer, steps_shown
from sppkit.plots.frames import RESIDUAL, at_step, curves, joined, places_on_axis
from sppkit.plots.panels import (
    depth_label,
    draw_panel,
    expected_curves,
    explanations,
    nothing_expected,
    panels_of,
    title,
)
from sppkit.recording import Recording
from sppkit.signals import Signal


def plot_signal_propagation(
    *recordings: Recording,
    theory: bool = True,
    gradient: bool = False,
    step: int | None = None,
    theme: style.ThemeName = "light",
    width: style.Width = "screen",
) -> Figure:
    """Draw the signal propagation plot of one or several runs.

    The x axis counts residual blocks (0 is the stem; black dots end a stage) or, in a network
    without any, its weighted layers in order of execution. Lines are means over seeds, bands reach
    from the 10 % to the 90 % quantile. A value that is not finite leaves a gap and a triangle at
    the upper edge; a zero on a logarithmic axis is a triangle at the lower edge.

    Args:
        recordings: what to draw; several runs overlay.
        theory: draw what is expected as a thin dashed line, where the topology has a ladder or is
            a plain fully connected one, whose mean-field curve follows from its own weights. It is
            absolute for gaussian input and anchored at the first block or layer for any other.
        gradient: add a row with the same statistics of the gradients.
        step: which step, by default the first recorded one.
        theme: "light" or "dark".
        width: "screen"; "column" or "page" of a paper (3.25 and 6.75 inches); or inches.

    Returns:
        The figure; it is not shown, and pyplot does not know it.

    Raises:
        NothingObservedError: there is no activation of a block or a weighted layer.
        ValueError: no recording was given, or the step was not recorded.
    """
    if not recordings:
        raise ValueError("give at least one recording, as sppkit.probe returns it")
    recording = joined(recordings)
    table = at_step(recording.table(), step)
    rows = rows_at(recording, table, theory=theory, gradient=gradient)
    with style.house_style(theme, width):
        return _draw(rows, recording, table)


@dataclass(frozen=True)
class Row:
    """One row of panels: what is measured of a signal, and what is expected of it."""

    signal: Signal
    frame: pd.DataFrame
    expected: pd.DataFrame


def rows_at(
    recording: Recording, table: pd.DataFrame, *, theory: bool, gradient: bool
) -> list[Row]:
    """Lay out what the plot shows of one step.

    Args:
        recording: with all runs.
        table: its rows of that step.
        theory, gradient: as in `plot_signal_propagation`.
    """
    structure = recording.structure()
    drawn = curves(places_on_axis(table, structure, Signal.ACTIVATION))
    expected = expected_curves(recording, table, drawn) if theory else nothing_expected()
    rows = [Row(Signal.ACTIVATION, drawn, expected)]
    if gradient:
        frame = curves(places_on_axis(table, structure, Signal.GRADIENT))
        rows.append(Row(Signal.GRADIENT, frame, nothing_expected()))
    return rows


def _draw(rows: Sequence[Row], recording: Recording, table: pd.DataFrame) -> Figure:
    panels = panels_of(row.frame for row in rows)
    figure, grid = canvas.new_figure(len(rows), len(panels), (3.5, 2.9))
    styles = style.run_styles(recording.runs)
    for axes_row, row in zip(grid, rows, strict=True):
        for axes, panel in zip(axes_row, panels, strict=True):
            draw_panel(axes, *of_panel(row, panel), styles)
            headings.set_panel_title(axes, title(row.signal, panel))
    add_texts(figure, grid, rows[0], recording, steps_shown(table))
    return figure


def of_panel(row: Row, panel: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Give what is measured and what is expected in one panel."""
    return (
        row.frame[row.frame["panel"] == panel],
        row.expected[row.expected["panel"] == panel],
    )


def add_texts(
    figure: Figure, grid: np.ndarray, first: Row, recording: Recording, steps: Mapping[str, str]
) -> None:
    """Name the runs, explain the dashed line, state the circumstances."""
    for axes in grid.flat:
        if axes.get_subplotspec().is_last_row():
            headings.set_depth_label(axes, depth_label(first.frame))
    headings.add_heading(
        figure, grid[0][1], recording.runs, explanations(first.frame, first.expected)
    )
    notes = [footer(recording.metadata, steps)]
    if not (first.frame["panel"] == RESIDUAL).any():
        notes.append("no residual merge was found: there is no residual branch to show")
    headings.add_footer(figure, *notes)
