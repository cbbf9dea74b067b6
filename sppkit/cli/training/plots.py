"""Pictures of runs that have ended: their signal propagation at the first and the last step."""

from collections.abc import Sequence
from pathlib import Path

import sppkit
from sppkit.cli.runs.recordings import by_run
from sppkit.errors import NothingObservedError
from sppkit.plots.files import check_destination, save_figure
from sppkit.recording import Recording
from sppkit.run_directory import part_files
from sppkit.training.run_folder import OVER_TRAINING

FIRST, LAST = "first-step-spp.png", "last-step-spp.png"


def check_pictures(place: Path) -> None:
    """Refuse to train where the pictures would replace those of others.

    Raises:
        OutputError: there is one that sppkit did not write.
    """
    for name in (FIRST, LAST):
        if (place / name).exists():
            check_destination(place / name, force=False)


def draw_runs(folders: Sequence[Path], place: Path) -> list[Path]:
    """Draw each run over its steps, and all runs over each other at the first and the last step.

    The first and the last are those that all of them recorded.

    Runs that recorded nothing are left out.

    Returns:
        The pictures that were drawn; those of earlier runs in that place are replaced.
    """
    recordings = [_drawn_over_training(folder) for folder in folders if part_files(folder)]
    steps = _common_steps(recordings)
    if not steps:
        return []
    whole = _of_steps(recordings, {steps[0], steps[-1]})
    drawn = []
    for step, name in dict(zip((steps[0], steps[-1]), (FIRST, LAST), strict=True)).items():
        try:
            figure = sppkit.plot_signal_propagation(whole, step=step, gradient=True)
        except NothingObservedError:
            continue
        title = f"{' vs '.join(whole.runs)}: step {step}"
        save_figure(figure, place / name, force=False, title=title, description=title)
        drawn.append(place / name)
    return drawn


def _drawn_over_training(folder: Path) -> Recording:
    """Draw one run over its steps, into its own folder; give its recording."""
    recording = sppkit.read(folder)
    try:
        figure = sppkit.plot_over_training(recording)
    except NothingObservedError:
        return recording
    save_figure(figure, folder / OVER_TRAINING, force=True, title=f"{folder.name} over training")
    return recording


def _common_steps(recordings: Sequence[Recording]) -> list[int]:
    each = [set(recording.table()["step"]) for recording in recordings]
    return sorted(set.intersection(*each)) if each else []


def _of_steps(recordings: Sequence[Recording], steps: set[int]) -> Recording:
    """Put the rows of some steps together; seeds of one run stay one run."""
    return sppkit.combine(by_run([_at(recording, steps) for recording in recordings]))


def _at(recording: Recording, steps: set[int]) -> Recording:
    table = recording.table()
    kept = table[table["step"].isin(steps)]
    return Recording.from_frames(kept, recording.structure(), recording.metadata)
