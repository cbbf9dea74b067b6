"""The run folder as a process sees it that leaves the writing to another one."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from sppkit.run_directory import RunDirectory, part_files
from sppkit.training.run_folder import RunFolder


class SilentFolder(RunFolder):
    """Writes and reads nothing of a run; what stays with a rank is in a folder beside it.

    Args:
        path: of the run folder.
        rank: of the process, above 0.
    """

    def __init__(self, path: Path, rank: int) -> None:
        super().__init__(path)
        self._rank = rank

    @property
    def own_recording(self) -> Path:
        """The folder of rows that were not merged with those of other ranks."""
        return RunDirectory(self.path).of_rank(self._rank).path

    def keep_parts(self, count: int | None) -> None:
        """Delete parts that a checkpoint knows nothing of, all of them where there is none."""
        for part in part_files(self.own_recording)[count or 0 :]:
            part.unlink()

    @property
    def holds_a_run(self) -> bool:
        """Leave the question to the first rank."""
        return False

    def check_is_free(self) -> None:
        """Leave the folder to the first rank."""

    def create(self) -> None:
        """Make nothing."""

    def remove(self) -> None:
        """Delete nothing."""

    def describe(self, description: Mapping[str, Any]) -> None:
        """Write nothing."""

    def write_metrics(self, rows: pd.DataFrame) -> None:
        """Write nothing."""

    def metrics(self) -> pd.DataFrame:
        """Know nothing; the first rank tells."""
        return pd.DataFrame()

    def add_event(self, event: Mapping[str, Any]) -> None:
        """Write nothing."""

    def events(self) -> list[dict[str, Any]]:
        """Know nothing."""
        return []

    def save(self, state: Mapping[str, Any], *, metrics: int, events: int) -> None:
        """Write nothing."""

    def load(self) -> dict[str, Any] | None:
        """Read nothing; the first rank tells."""
        return None
