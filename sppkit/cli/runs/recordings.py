"""The recordings of run folders: the seeds of one run belong together."""

from collections.abc import Sequence
from pathlib import Path

import sppkit
from sppkit.recording import Recording
from sppkit.run_directory import part_files
from sppkit.table import concatenate


def together(folders: Sequence[Path]) -> list[Recording]:
    """Read folders, one recording for each run with all its seeds; those without are left out."""
    return by_run([sppkit.read(folder) for folder in folders if part_files(folder)])


def by_run(recordings: Sequence[Recording]) -> list[Recording]:
    """Join the recordings of each run."""
    groups: dict[str, list[Recording]] = {}
    for recording in recordings:
        groups.setdefault(recording.runs[0], []).append(recording)
    return [_joined(group) for group in groups.values()]


def _joined(group: Sequence[Recording]) -> Recording:
    """Put seeds of one run into one recording; structure and metadata are those of the first."""
    if len(group) == 1:
        return group[0]
    table = concatenate([recording.table() for recording in group])
    return Recording.from_frames(table, group[0].structure(), group[0].metadata)
