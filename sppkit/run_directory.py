"""The folder of a run, to which a recording is written in parts while it goes on.

`RUN/recording/part-00000.parquet`, `part-00001.parquet`, ...: each part appears whole or not at
all, is never changed again, and is a recording by itself. All of them carry the metadata as they
were then; the structure is in those parts before which it changed.
"""

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from sppkit import table as frames
from sppkit.errors import RecordingError
from sppkit.row_store import RowStore

FLUSH_ROWS = 65_536
FLUSH_SECONDS = 60.0


class RunDirectory:
    """The parts of one recording in the making.

    Args:
        path: the folder of the run; made when the recording begins.
        goes_on: whether the parts that are there are the beginning of this recording.
    """

    def __init__(self, path: str | os.PathLike[str], *, goes_on: bool = False) -> None:
        self.path = Path(path)
        self.goes_on = goes_on
        self._number = len(part_files(self.path)) if goes_on else 0
        self._structure: pd.DataFrame | None = None

    @property
    def parts(self) -> list[Path]:
        """The files that this recording has written."""
        return [self._part(number) for number in range(self._number)]

    def of_rank(self, rank: int) -> "RunDirectory":
        """Give the folder of what stays with one rank; that of the first one is the folder itself.

        >>> RunDirectory("runs/lr0.1").of_rank(2).path.name
        'lr0.1.rank2'
        """
        if rank == 0:
            return self
        path = self.path.with_name(f"{self.path.name}.rank{rank}")
        return RunDirectory(path, goes_on=self.goes_on)

    def check_is_free(self) -> None:
        """Refuse a folder with another recording: nothing is ever overwritten.

        Raises:
            RecordingError: it holds one, or is a file.
        """
        if self.path.is_file():
            raise RecordingError(
                f"run_directory={str(self.path)!r} is a file; give a folder, which is made where "
                "it does not exist"
            )
        if (found := part_files(self.path)) and not self.goes_on:
            raise RecordingError(
                f"run_directory={str(self.path)!r} holds a recording already ({len(found)} "
                f"file{'s' * (len(found) > 1)}), which is left alone: give another folder, or "
                f"delete {str(found[0].parent)!r} first"
            )

    def earlier_metadata(self) -> dict[str, Any]:
        """Read what the parts of an interrupted recording say of its runs."""
        return frames.read_many(self.parts, ["step"])[2] if self.parts else {}

    def write_part(
        self, table: pd.DataFrame, structure: pd.DataFrame, metadata: Mapping[str, Any]
    ) -> None:
        """Write the next part.

        Raises:
            RecordingError: it cannot be written, or another process has written it.
        """
        part = self._part(self._number)
        try:
            part.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RecordingError(
                f"cannot make the folder {str(part.parent)!r} of a recording: "
                f"{error.strerror or error}. Give a run_directory that you may write to."
            ) from error
        is_known = self._structure is not None and structure.equals(self._structure)
        frames.write(part, table, structure[:0] if is_known else structure, metadata, new=True)
        self._number, self._structure = self._number + 1, structure

    def _part(self, number: int) -> Path:
        return self.path / "recording" / f"part-{number:05d}.parquet"


class StreamedRows(RowStore):
    """Rows that leave for a run directory, so that only the latest of them take up memory.

    Args:
        statistics: as for any store.
        directory: where to.
        flush_rows, flush_seconds: rows are due to leave when there are so many, or when the last
            ones have left so long ago.
    """

    def __init__(
        self,
        statistics: Iterable[str],
        directory: RunDirectory,
        *,
        flush_rows: int = FLUSH_ROWS,
        flush_seconds: float = FLUSH_SECONDS,
    ) -> None:
        super().__init__(statistics)
        self._directory = directory
        self._flush_rows, self._flush_seconds = flush_rows, flush_seconds
        self._latest = time.monotonic()
        self._is_open = False

    @property
    def is_due(self) -> bool:
        """Whether rows are to leave now."""
        waited = time.monotonic() - self._latest >= self._flush_seconds
        return len(self) >= self._flush_rows or (waited and len(self) > 0)

    def open(self, rank: int, metadata: Mapping[str, Any]) -> dict[str, Any]:
        """Take the folder before the first step, so that it is known to be there and writable.

        Of several ranks the first one does; another one makes a folder when it has rows.

        Returns:
            The metadata of the interrupted recording that this one goes on with, if there is one.

        Raises:
            RecordingError: it holds another recording, or cannot be written.
        """
        if self._is_open:
            return {}
        self._directory = self._directory.of_rank(rank)
        self._directory.check_is_free()
        earlier = self._directory.earlier_metadata()
        if rank == 0:
            self._directory.write_part(super().frame(), frames.build_structure(()), metadata)
        self._is_open, self._latest = True, time.monotonic()
        return earlier

    def flush(self, structure: pd.DataFrame, metadata: Mapping[str, Any]) -> None:
        """Write all rows as the next part, and forget them.

        Raises:
            RecordingError: it cannot be written; then the rows are kept.
        """
        if not len(self) and not self._directory.parts:
            return  # a rank that has nothing to say
        try:
            self._directory.write_part(super().frame(), structure, metadata)
        except RecordingError as error:
            raise RecordingError(
                f"{error} The {len(self)} rows are kept, and are tried again when the next step "
                "ends."
            ) from error
        self.clear()
        self._latest = time.monotonic()

    def frame(self, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """Give all rows, read back from the parts, and those that are still here."""
        pending = super().frame(columns)
        if not self._directory.parts:
            return pending
        written = frames.read_many(self._directory.parts, columns)[0]
        return frames.concatenate([written, pending])


def part_files(folder: str | os.PathLike[str]) -> list[Path]:
    """List the files of a run directory's recording, in the order in which they were written.

    That is `recording.parquet`, or the parts in `recording/` or in the folder itself.
    """
    place = Path(folder)
    whole = place / "recording.parquet"
    if whole.is_file():
        return [whole]
    parts = [*(place / "recording").glob("part-*.parquet")] or [*place.glob("part-*.parquet")]
    return sorted(parts, key=lambda part: (len(part.name), part.name))


def forget_steps(folder: str | os.PathLike[str], first_step: int) -> None:
    """Delete the rows of a step and of those after it, which a resumed run takes again.

    Parts keep their names, so that none of them is taken for another.
    """
    steps: dict[str, set[int]] = {}
    has_forgotten = False
    for part in part_files(folder):
        table, structure, metadata = frames.read(part)
        kept = table[table["step"] < first_step]
        for run, rows in kept.groupby("run", observed=True):
            steps.setdefault(str(run), set()).update(rows["step"])
        has_forgotten |= len(kept) < len(table)
        if has_forgotten:
            for run, described in metadata.items():
                described["recorded_steps"] = len(steps.get(run, ()))
            frames.write(part, kept, structure, metadata)


def read(
    folder: str | os.PathLike[str],
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """Read the recording of a run directory, also of a run that goes on or was killed.

    Raises:
        RecordingError: there is none, or a file of it cannot be read.
    """
    files = part_files(folder)
    if not files:
        raise RecordingError(
            f"{str(folder)!r} is a folder without a recording; a run directory holds "
            "recording/part-*.parquet or recording.parquet. Give its path, or that of a .parquet "
            "file."
        )
    return frames.read_many(files)
