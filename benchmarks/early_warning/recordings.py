"""Train every case once, by the loop of `sppkit train`, and keep what was recorded."""

import time
from functools import cache
from pathlib import Path

from benchmarks.early_warning.catalogue import BATCH_SIZE, EVERY, Case
from sppkit.training.data import Data, Wishes, find_data
from sppkit.training.loop import train
from sppkit.training.run_folder import RunFolder
from sppkit.training.task import Task

RECORDINGS = Path(__file__).parent / "recordings"


def folder_of(case: Case) -> RunFolder:
    """Give the folder of a case's run."""
    return RunFolder(RECORDINGS / case.name)


def is_recorded(case: Case) -> bool:
    """Say whether the training of a case has ended."""
    folder = folder_of(case)
    return folder.holds_a_run and "outcome" in folder.description()


def record_all(cases: list[Case], seconds: float) -> int:
    """Train what has not been trained, for so long; return how many cases are left."""
    began = time.monotonic()
    left = [case for case in cases if not is_recorded(case)]
    for number, case in enumerate(left):
        if time.monotonic() - began > seconds:
            return len(left) - number
        _record(case)
    return 0


def _record(case: Case) -> None:
    folder, began = folder_of(case), time.monotonic()
    if folder.holds_a_run:  # begun, and killed
        folder.clear()
    task = Task(
        run=case.name,
        build=case.build,
        origin=case.network,
        data=_data(case.size),
        recipe=case.recipe,
        batch_size=BATCH_SIZE,
        seed=case.seed,
        amp=case.amp,
        every=EVERY,
        flush_seconds=1e9,
    )
    outcome = train(task, folder)
    told = f"{outcome.ended}, accuracy {outcome.test_accuracy:.3f}"
    print(f"{case.name}: {told}, {time.monotonic() - began:.1f} s", flush=True)


@cache
def _data(size: tuple[int, ...]) -> Data:
    return find_data("digits", Wishes(size=size))
