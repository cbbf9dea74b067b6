"""Tell TensorBoard of a recording.

TensorBoardTracker("runs/a").follow(recording)
"""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sppkit.early_warning.event import Event
from sppkit.integrations.libraries import library
from sppkit.integrations.tracker import Tracker, described

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class TensorBoardTracker(Tracker):
    """Write scalars, figures and early warnings (as texts) into the event files of TensorBoard.

    Args:
        writer: a folder for the event files, or the `SummaryWriter` of your own loop or trainer
            (``logger.experiment`` of Lightning's), which stays open.
        options: of `sppkit.integrations.tracker.Tracker`.

    Raises:
        LibraryError: tensorboard is missing.
        ValueError: a pattern of `scalars` matches nothing that there is.
    """

    def __init__(self, writer: Any, **options: Any) -> None:
        library("tensorboard", "tensorboard")
        super().__init__(**options)
        self._given = writer
        self._writer: Any = None

    def _open(self) -> None:
        self._writer = self._given
        if isinstance(self._given, str | os.PathLike):
            summary = library("torch.utils.tensorboard", "tensorboard")
            self._writer = summary.SummaryWriter(os.fspath(self._given))

    def _close(self) -> None:
        self._writer.flush()
        if self._writer is not self._given:
            self._writer.close()

    def _write_scalars(self, scalars: Mapping[str, float], step: int) -> None:
        for name, value in scalars.items():
            self._writer.add_scalar(name, value, step)

    def _write_figure(self, name: str, figure: "Figure", step: int) -> None:
        self._writer.add_figure(name, figure, step, close=False)

    def _write_event(self, event: Event) -> None:
        self._writer.add_text(f"spp/{event.code}", described(event), event.step)
