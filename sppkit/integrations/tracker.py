"""What all trackers share: hear the rows of a recording, and tell some of what they say."""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

import torch.distributed as dist

from sppkit.capture.recorder import Recorder
from sppkit.early_warning.early_warning import EarlyWarning
from sppkit.early_warning.event import Event
from sppkit.errors import NothingObservedError
from sppkit.integrations.scalars import SCALARS, Scalars, is_merged
from sppkit.patterns import Patterns
from sppkit.recording import Recording
from sppkit.table import Columns

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FIGURE = "spp/signal_propagation"
"""Name of the signal propagation plot in every tracker."""


class Tracker(ABC):
    """Tells a tracker of a recording as it grows: scalars, early warnings, and two figures.

    It hears rows that were made anyway, so that a device is never asked for more than recording
    asks for. A tracker that fails (a full disk, a server that is gone) warns once and is told no
    more: training and recording go on.

    Args:
        scalars: patterns of ``signal.statistic`` (globs, or regular expressions behind ``re:``); by
            default three of them, see `sppkit.integrations.scalars.SCALARS`.
        layers: patterns of layers to tell of; by default the ends of residual blocks or else the
            weighted layers, 24 at most.
        figures: draw the signal propagation plot of the first recorded step, and of the last one
            when the recording ends.
        prefix: what the names of all scalars begin with.

    Raises:
        LibraryError: the tracker's library is missing.
        ValueError: a pattern of `scalars` matches nothing that there is.
    """

    def __init__(
        self,
        *,
        scalars: Patterns = SCALARS,
        layers: Patterns | None = None,
        figures: bool = True,
        prefix: str = "spp.",
    ) -> None:
        self._choice = (scalars, layers, prefix)
        self._has_figures = figures
        Scalars(*self._choice)  # what is wrong with it is said now
        self._forget()

    def _forget(self) -> None:
        """Hold nothing of a recording, so that a tracker can be pickled for another process."""
        self._scalars: Scalars | None = None
        self._recording: Recorder | None = None
        self._warning: EarlyWarning | None = None
        self._told = 0
        self._blocks: list[Columns] = []
        self._first: int | None = None
        self._has_drawn_first = False

    def follow(self, recording: Recorder, warning: EarlyWarning | None = None) -> Self:
        """Tell of a recording from now on, until its `with` block is left.

        Args:
            recording: of `sppkit.record`, before or in its `with` block.
            warning: an early warning that watches it already; by default one is made.

        Raises:
            TypeError: the recording is not one in the making.
            RuntimeError: the tracker has no run to write to.
        """
        if not isinstance(recording, Recorder):
            raise TypeError(
                f"a tracker follows a recording in the making, as sppkit.record returns it, not "
                f"{type(recording).__name__}"
            )
        self._forget()
        self._scalars = Scalars(*self._choice)
        self._warning = warning if warning is not None else EarlyWarning(recording)
        self._recording = recording
        self._told = len(self._warning.events)
        if not (dist.is_available() and dist.is_initialized()) or dist.get_rank() == 0:
            self._open()
            recording.listen(self._hear, self._end)
        return self

    def _hear(self, columns: Columns) -> None:
        if self._recording is None or not is_merged(columns):
            return
        try:
            self._tell(columns)
        except Exception as error:  # what a tracker cannot do must not end a training
            self._give_up(error)

    def _tell(self, columns: Columns) -> None:
        step = int(columns["step"])
        if self._has_figures:
            self._remember(columns, step)
        if found := self._scalars.of(columns) if self._scalars else {}:
            self._write_scalars(found, step)
        events = self._warning.events if self._warning else []
        new, self._told = events[self._told :], len(events)
        for event in new:
            self._write_event(event)

    def _remember(self, columns: Columns, step: int) -> None:
        """Keep the rows of the latest step; draw the first one when it is over."""
        if self._first is None:
            self._first = step
        if self._blocks and int(self._blocks[0]["step"]) != step:
            self._draw_first()
            self._blocks = []
        self._blocks.append(columns)

    def _draw_first(self) -> None:
        if not self._has_drawn_first:
            self._has_drawn_first = True
            self._draw()

    def _draw(self) -> None:
        from sppkit.plots import plot_signal_propagation

        assert self._recording is not None
        structure = self._recording.structure().to_dict("records")
        step = int(self._blocks[0]["step"])
        drawn = Recording(self._blocks, structure, self._recording.metadata)  # type: ignore[arg-type]
        try:
            figure = plot_signal_propagation(drawn)
        except NothingObservedError:
            return  # no activation was recorded
        self._write_figure(FIGURE, figure, step)

    def _end(self) -> None:
        if self._recording is None:
            return
        try:
            if self._blocks:
                self._draw_first()
                if int(self._blocks[0]["step"]) != self._first:
                    self._draw()
            self._close()
        except Exception as error:
            self._give_up(error)
        self._forget()

    def _give_up(self, error: Exception) -> None:
        self._forget()
        warnings.warn(
            f"{type(self).__name__} failed and is told no more of this recording, which goes on: "
            f"{type(error).__name__}: {error}",
            UserWarning,
            stacklevel=2,
        )

    @abstractmethod
    def _open(self) -> None:
        """Find the run to write to."""

    def _close(self) -> None:  # noqa: B027  (most have nothing left to write)
        """Write what is not written yet."""

    @abstractmethod
    def _write_scalars(self, scalars: Mapping[str, float], step: int) -> None:
        """Write the numbers of a step by their names."""

    @abstractmethod
    def _write_figure(self, name: str, figure: "Figure", step: int) -> None:
        """Write a figure."""

    @abstractmethod
    def _write_event(self, event: Event) -> None:
        """Write what the early warning says."""


def described(event: Event) -> str:
    """Say an event with its advice, in Markdown."""
    return (
        f"**{event.severity} {event.code}** (step {event.step}): {event.message}\n\n{event.advice}"
    )


def run_of(value: Any, kind: str, how: str) -> Any:
    """Take a run that there is.

    Raises:
        RuntimeError: there is none.
    """
    if value is None:
        raise RuntimeError(f"there is no run of {kind} to write to: {how}")
    return value
