"""Recordings that a command line names: files and run directories. No torch is needed."""

from pathlib import Path

import sppkit
from sppkit.errors import TargetError
from sppkit.recording import Recording
from sppkit.run_directory import part_files
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
    if path.is_dir() and not part_files(path):
        raise TargetError(
            f"'{path}' is a folder without a recording; a run directory holds recording.parquet "
            f"or recording/part-*.parquet. Models are named {FORMS}."
        )
    return sppkit.read(path)
