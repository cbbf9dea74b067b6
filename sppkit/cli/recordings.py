"""Recordings that a command line names: files and run directories. No torch is needed."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

import sppkit
from sppkit.errors import TargetError
from sppkit.recording import Recording
from sppkit.table import concatenate
from sppkit.targets.target import FORMS


def is_recording(text: str) -> bool:
    """Say whether a text names a recording rather than a model."""
    path = Path(text)
    return path.suffix == ".parquet" or path.is_dir()


def read_recording(path: Path) -> Recording:
    """Read a recording from a file or from a run directory.

    Raises:
        TargetError: a folder holds none.
        RecordingError: a file is missing, or is none.
    """
    return read_run_directory(path) if path.is_dir() else sppkit.read(path)


def read_run_directory(folder: Path) -> Recording:
    """Read what a run directory holds, in one part or in several.

    Raises:
        TargetError: it holds no recording.
    """
    whole = folder / "recording.parquet"
    files = [whole] if whole.is_file() else sorted((folder / "recording").glob("part-*.parquet"))
    if not files:
        raise TargetError(
            f"'{folder}' is a folder without a recording; a run directory holds recording.parquet "
            f"or recording/part-*.parquet. Models are named {FORMS}."
        )
    return _joined([sppkit.read(file) for file in files])


def _joined(parts: Sequence[Recording]) -> Recording:
    """Put the parts of the same runs together; what a later part says of a run counts."""
    structures = pd.concat([part.structure() for part in parts], ignore_index=True)
    metadata = {run: entry for part in parts for run, entry in part.metadata.items()}
    return Recording.from_frames(
        concatenate([part.table() for part in parts]),
        structures.drop_duplicates(["run", "layer", "operation"], ignore_index=True),
        metadata,
    )
