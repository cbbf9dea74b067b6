"""Recordings that a command line names: files and run directories. No torch is needed."""

from pathlib import Path

import sppkit
from sppkit.errors import TargetError
from sppkit.exchange import from_training_log
from sppkit.recording import Recording
from sppkit.run_directory import part_files
from sppkit.targets.target import FORMS


def is_recording(text: str) -> bool:
    """Say whether a text names a recording rather than a model."""
    path = Path(text)
    return path.suffix == ".parquet" or path.is_dir() or is_training_log(path)


def is_training_log(path: Path) -> bool:
    """Say whether a path names a log of the code of Dewyse's thesis."""
    return path.name.endswith("training_log.txt")


def read_recording(path: Path) -> Recording:
    """Read a recording from a file, a run directory or a training_log.txt.

    Raises:
        TargetError: a folder holds none.
        RecordingError: a file is missing, or is none.
    """
    if is_training_log(path):
        return from_training_log(path)
    if path.is_dir() and not part_files(path):
        raise TargetError(
            f"'{path}' is a folder without a recording; a run directory holds recording.parquet "
            f"or recording/part-*.parquet. Models are named {FORMS}."
        )
    return sppkit.read(path)
