"""Runs that are killed, run out of disk, or may not write: what is left reads and goes on."""

import json
import random
import resource
import time

import pandas as pd
import pytest
import torch

import sppkit
from sppkit.errors import OutputError
from sppkit.training.batches import Batches
from sppkit.training.data import Data, Wishes, find_data
from sppkit.training.loop import train
from sppkit.training.run_folder import RunFolder
from sppkit.training.task import Task
from tests.ranks import _CONTEXT
from tests.training.conftest import RECIPE, SmallNet
from tests.training.test_loop import assert_same_run

KILLS = 20
FLUSH = 0.1  # seconds
STEP = 0.005  # seconds that a step takes at least, so that kills fall anywhere


class Timed(Batches):
    """Slow data that notes when each step begins."""

    def __init__(self, batches, times):
        self._batches, self._times = batches, times

    def steps(self, batch_size):
        return self._batches.steps(batch_size)

    def epoch(self, seed, epoch, batch_size, *, first=0):
        step = epoch * self.steps(batch_size) + first
        for batch in self._batches.epoch(seed, epoch, batch_size, first=first):
            if self._times is not None:
                time.sleep(STEP)
                self._times[step] = time.monotonic()
            yield batch
            step += 1

    def in_order(self, batch_size):
        return self._batches.in_order(batch_size)


def slow_task(times=None, flush_seconds=FLUSH):
    found = find_data("digits", Wishes(size=(1, 8, 8)))
    timed = Timed(found.train, times)
    data = Data(found.name, timed, found.test, found.classes, found.size, found.description)
    return Task(
        run="small",
        build=SmallNet,
        origin="SmallNet",
        data=data,
        recipe=RECIPE,
        every=2,
        flush_seconds=flush_seconds,
    )


class NotingFolder(RunFolder):
    """Notes when a checkpoint was written, and of which step."""

    def __init__(self, path, saved):
        super().__init__(path)
        self._saved = saved

    def save(self, state, **counts):
        super().save(state, **counts)
        self._saved[:] = [time.monotonic(), state["step"]]


def go_on(path, times, saved):
    torch.set_num_threads(1)
    train(slow_task(times), NotingFolder(path, saved), resume=True)


def checkpointed_step(folder):
    place = folder.path / "checkpoint.pt"
    return torch.load(place, weights_only=True)["step"] if place.exists() else 0


def assert_everything_reads(folder, whole):
    if (folder.path / "metrics.parquet").exists():
        steps = pd.read_parquet(folder.path / "metrics.parquet").query("phase == 'train'")["step"]
        assert steps.tolist() == list(range(len(steps)))
    if (folder.path / "recording").exists():
        table = sppkit.read(folder.path).table()
        assert not table.duplicated(["step", "layer", "tensor", "signal", "call"]).any()
    if (folder.path / "run.json").exists():
        json.loads((folder.path / "run.json").read_text())
    events = folder.events()
    assert events == whole.events()[: len(events)]


def has_ended(folder):
    return folder.holds_a_run and "outcome" in folder.description()


def killed_after(folder, times, saved, seconds):
    """Let a process go on with the run, and kill it so long after its first step; say when."""
    process = _CONTEXT.Process(target=go_on, args=(folder.path, times, saved))
    process.start()
    while not max(times) and process.is_alive():
        time.sleep(0.001)
    process.join(seconds)
    killed = time.monotonic()
    process.kill()
    process.join()
    return killed, process.exitcode


@pytest.mark.slow
def test_twenty_kills_lose_nothing_beyond_an_interval_and_change_nothing(tmp_path):
    whole, folder = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "killed")
    task = slow_task()
    train(task, whole)
    times, saved = _CONTEXT.Array("d", task.steps), _CONTEXT.Array("d", 2)
    chosen = random.Random(0)
    kills, reached = 0, set()
    while kills < KILLS:
        if has_ended(folder):
            folder.clear()  # once more, from the beginning
        times[:], saved[:] = [0.0] * task.steps, [0.0, 0.0]
        killed, code = killed_after(folder, times, saved, chosen.uniform(0.0, 0.4))
        kills += code != 0
        assert_everything_reads(folder, whole)
        begun = [moment for moment in times if 0 < moment < killed]
        assert checkpointed_step(folder) >= saved[1]
        # What is due is written when the step under way ends: none is begun before, but for one
        # between the checkpoint and the clock.
        deadline = (saved[0] or min(begun)) + FLUSH
        assert sum(moment > deadline for moment in begun) <= 2
        reached.add(checkpointed_step(folder))
    assert len(reached) > 3  # kills fell at different moments
    train(slow_task(), folder, resume=True)
    assert_same_run(whole, folder)


def train_with_small_files(path, most, results):
    torch.set_num_threads(1)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))
    try:
        train(slow_task(flush_seconds=1e-9), RunFolder(path))
    except sppkit.SppkitError as error:
        results.put(str(error))
    else:
        results.put("no error")


@pytest.mark.parametrize("most", [8_000, 20_000])
def test_a_disk_without_room_is_one_clear_error_and_the_run_goes_on_when_there_is_some(
    most, tmp_path
):
    folder, results = RunFolder(tmp_path / "run"), _CONTEXT.Queue()
    process = _CONTEXT.Process(target=train_with_small_files, args=(folder.path, most, results))
    process.start()
    message = results.get(timeout=60)
    process.join()
    assert "File too large" in message
    assert str(folder.path) in message
    whole = RunFolder(tmp_path / "whole")
    train(slow_task(flush_seconds=1e-9), whole)
    assert_everything_reads(folder, whole)
    train(slow_task(flush_seconds=1e-9), folder, resume=True)
    assert_same_run(whole, folder)


def test_a_place_that_no_folder_can_be_made_in_is_named(tmp_path, make_task):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match=r"file' is a file, where the run wants a folder"):
        train(make_task(), RunFolder(tmp_path / "file" / "run"))
    assert (tmp_path / "file").read_text() == "in the way"


def test_a_torn_line_of_events_is_left_out(tmp_path):
    folder = RunFolder(tmp_path)
    folder.add_event({"step": 1, "evidence": {"loss": float("nan")}})
    with (tmp_path / "events.jsonl").open("a") as file:
        file.write('{"step": 2, "kin')
    assert folder.events() == [{"step": 1, "evidence": {"loss": "nan"}}]
