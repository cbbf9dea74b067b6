"""A signal propagation plot that moves: one picture for each recorded step, on fixed axes."""

import base64
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from sppkit.errors import NothingObservedError
from sppkit.files import replace
from sppkit.plots import canvas, headings, style
from sppkit.plots.files import check_destination
from sppkit.plots.frames import at_step, joined
from sppkit.plots.moving_pictures import as_gif, as_mp4
from sppkit.plots.panels import draw_panel, panels_of, title
from sppkit.plots.signal_propagation import Row, add_texts, of_panel, rows_at
from sppkit.recording import Recording

Limits = tuple[bool, tuple[float, float]]

_MOST_STEPS = 100
_ROOM = 0.08  # of the span, above and below the values


@dataclass(frozen=True, eq=False)
class Animation:
    """A signal propagation plot over the steps of a training.

    Made by `animate`; `save` writes it, notebooks show it.

    Attributes:
        figure: on which all steps are drawn, on the same axes.
        steps: that are shown, in order.
    """

    figure: canvas.SignalFigure
    steps: tuple[int, ...]
    _film: "_Film"
    _grid: np.ndarray

    def show_step(self, step: int) -> Figure:
        """Draw a step, and give the figure.

        Raises:
            ValueError: it is not among `steps`.
        """
        if step not in self.steps:
            raise ValueError(
                f"step {step} is not shown; there are {', '.join(map(str, self.steps))}"
            )
        self._film.show(self.figure, self._grid, step)
        return self.figure

    def pictures(self, resolution: int = 100) -> Iterator[Image.Image]:
        """Give the picture of each step, in dots per inch of the resolution."""
        canvas = FigureCanvasAgg(self.figure)
        before = self.figure.dpi
        self.figure.set_dpi(resolution)
        try:
            for step in self.steps:
                self.show_step(step)
                canvas.draw()  # type: ignore[no-untyped-call]
                drawn = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
                yield Image.fromarray(drawn).convert("RGB")
        finally:
            self.figure.set_dpi(before)

    def save(self, path: str | os.PathLike[str], *, force: bool = False) -> Path:
        """Write it as .gif, or as .mp4 where ffmpeg is installed.

        The file names sppkit in its metadata, appears whole or not at all, and takes the place of
        an earlier one only if sppkit wrote that too.

        Args:
            path: ends in .gif or .mp4.
            force: replace whatever file is there.

        Returns:
            The path.

        Raises:
            OutputError: the ending is unknown, ffmpeg is missing, or nothing can be written there.
        """
        place = check_destination(path, force=force, animated=True)
        replace(place, self.as_gif() if place.suffix.lower() == ".gif" else self._as_mp4())
        return place

    def as_gif(self) -> bytes:
        """Give the content of a .gif file."""
        return as_gif(self.pictures())

    def _as_mp4(self) -> bytes:
        return as_mp4(self.figure, self.show_step, self.steps)

    def _repr_html_(self) -> str:
        picture = base64.b64encode(self.as_gif()).decode()
        return f'<img alt="Signal propagation over training" src="data:image/gif;base64,{picture}">'


def animate(
    *recordings: Recording,
    theory: bool = True,
    gradient: bool = False,
    steps: Sequence[int] | None = None,
    theme: style.ThemeName = "light",
    width: style.Width = "screen",
) -> Animation:
    """Animate the signal propagation plot of one or several runs over their training.

    One picture for each step that all runs have recorded. Axes and scales stay the same: they hold
    the values of all steps, and are logarithmic where those span more than a factor of 20.

    Args:
        recordings: what to draw; several runs overlay.
        theory, gradient, theme, width: as of `plot_signal_propagation`.
        steps: which ones; by default all, or a hundred of them, evenly spread, the first and the
            last among them.

    Returns:
        The animation; nothing is written.

    Raises:
        NothingObservedError: there is no activation of a block or a weighted layer, or fewer than
            two steps in common.
        ValueError: no recording was given, or a step was not recorded.

    Example:
        >>> import torch, sppkit
        >>> model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Linear(8, 2))
        >>> with sppkit.record(model, run="net") as recording:
        ...     for _ in range(3):
        ...         model(torch.randn(32, 4)).sum().backward()
        ...         recording.step()
        >>> sppkit.animate(recording).steps
        (0, 1, 2)
    """
    if not recordings:
        raise ValueError("give at least one recording, as sppkit.record returns it")
    recording = joined(recordings)
    table = recording.table()
    shown = _steps(table, steps)
    by_step = {step: rows for step, rows in table.groupby("step") if step in shown}
    tables = {step: at_step(by_step.get(step, table), step) for step in shown}
    rows = {
        step: rows_at(recording, rows, theory=theory, gradient=gradient)
        for step, rows in tables.items()
    }
    film = _Film(recording, rows, theme, width)
    figure, grid = film.figure()
    animation = Animation(figure, shown, film, grid)
    animation.show_step(shown[0])
    return animation


def _steps(table: pd.DataFrame, asked: Sequence[int] | None) -> tuple[int, ...]:
    if asked is not None:
        if len(asked) < 1:
            raise ValueError("steps is empty; give one step at least, or leave it out for all")
        return tuple(asked)
    each = [set(rows["step"]) for _, rows in table.groupby("run", observed=True)]
    common = sorted(set.intersection(*each)) if each else []
    if len(common) < 2:
        raise NothingObservedError(
            f"an animation needs two recorded steps at least that all runs have in common, and "
            f"there {'is' if len(common) == 1 else 'are'} {len(common)}. Record a training by "
            "sppkit.record or sppkit train."
        )
    places = np.linspace(0, len(common) - 1, min(len(common), _MOST_STEPS)).round().astype(int)
    return tuple(int(common[place]) for place in places)


@dataclass(frozen=True)
class _Film:
    """What is drawn of each step, and on which axes.

    Attributes:
        recording: with all runs.
        rows: of each step.
        theme, width: the look.
    """

    recording: Recording
    rows: dict[int, list[Row]]
    theme: style.ThemeName
    width: style.Width

    def figure(self) -> tuple[canvas.SignalFigure, np.ndarray]:
        """Make the figure with room for what its texts say, and hold the room from then on."""
        with style.house_style(self.theme, self.width):
            first = next(iter(self.rows))
            figure, grid = canvas.new_figure(len(self.rows[first]), len(self._panels), (3.5, 2.9))
            self._draw(grid, first)
            add_texts(figure, grid, self.rows[first][0], self.recording, {})
            figure.draw_without_rendering()  # decides where the axes stand
            figure.set_layout_engine("none")
            return figure, grid

    def show(self, figure: canvas.SignalFigure, grid: np.ndarray, step: int) -> None:
        """Draw a step in place of another."""
        with style.house_style(self.theme, self.width):
            figure.points.clear()
            names = [axes.get_xlabel() for axes in grid.flat]
            for axes, name in zip(grid.flat, names, strict=True):
                axes.clear()
                axes.set_xlabel(name)
                canvas.color_ticks(axes)
            self._draw(grid, step)
            figure.texts[:] = [text for text in figure.texts if text.get_label() != "_step"]
            figure.text(
                0.99,
                0.005,
                f"step {step}",
                ha="right",
                va="bottom",
                fontsize="large",
                fontweight="bold",
                label="_step",
            )

    @property
    def _panels(self) -> list[str]:
        return panels_of(row.frame for rows in self.rows.values() for row in rows)

    def _draw(self, grid: np.ndarray, step: int) -> None:
        styles = style.run_styles(self.recording.runs)
        for number, (axes_row, row) in enumerate(zip(grid, self.rows[step], strict=True)):
            for axes, panel in zip(axes_row, self._panels, strict=True):
                draw_panel(axes, *of_panel(row, panel), styles, self._limits(number, panel))
                headings.set_panel_title(axes, title(row.signal, panel))

    def _limits(self, number: int, panel: str) -> Limits:
        """Hold the values of a panel at all steps."""
        frames = [of_panel(rows[number], panel) for rows in self.rows.values()]
        values = pd.concat(
            [
                pd.concat([f["mean"], f["low"], f["high"], e["value"].astype(float)])
                for f, e in frames
            ]
        ).to_numpy(float)
        return _holding(values[np.isfinite(values)])


def _holding(values: np.ndarray) -> Limits:
    """Choose a scale and its ends; a linear one begins at zero."""
    positive = values[values > 0]
    if style.wants_log(list(positive)):
        room = (positive.max() / positive.min()) ** _ROOM
        return True, (float(positive.min() / room), float(positive.max() * room))
    highest = float(values.max()) if len(values) else 0.0
    lowest = float(min(values.min(), 0.0)) if len(values) else 0.0
    return False, (lowest, 1.18 * highest if highest > 0 else 1.0)
