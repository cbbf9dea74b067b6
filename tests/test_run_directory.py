"""A long run leaves memory for a run directory, part by part, and can be read at any time."""

import gc
import pickle
import signal
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
import torch.distributed as dist
from torch import nn

import sppkit
from sppkit.cli import app
from sppkit.errors import RecordingError
from sppkit.recording import STATISTIC_COLUMNS
from sppkit.run_directory import RunDirectory, StreamedRows, forget_steps
from sppkit.table import KEY, TABLE_COLUMNS, build_structure
from tests.capture.test_distributed import Mlp
from tests.cases import PostActivationResNet
from tests.ranks import run_ranks


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))


def train(recording, model, steps):
    for _ in range(steps):
        model.zero_grad()
        model(torch.randn(5, 8)).pow(2).sum().backward()
        recording.step()


def recorded(steps=6, model=None, **arguments):
    torch.manual_seed(1)
    model = model or net()
    with sppkit.record(model, run="net", **arguments) as recording:
        torch.manual_seed(1)
        train(recording, model, steps)
    return recording


def parts_of(folder):
    return sorted(path.name for path in (folder / "recording").iterdir())


def test_what_was_streamed_is_what_a_recording_in_memory_holds(tmp_path):
    plain = recorded()
    streamed = recorded(run_directory=tmp_path / "run", flush_rows=20)
    assert len(parts_of(tmp_path / "run")) > 3
    for recording in (streamed, sppkit.read(tmp_path / "run")):
        pd.testing.assert_frame_equal(recording.table(), plain.table())
        pd.testing.assert_frame_equal(recording.structure(), plain.structure())
        assert recording.not_captured == plain.not_captured
        assert repr(recording) == repr(plain)
    metadata = sppkit.read(tmp_path / "run").metadata["net"]
    assert metadata == {**plain.metadata["net"], "ended": True}


def test_a_run_that_goes_on_is_read_part_by_part(tmp_path):
    model = net()
    with sppkit.record(model, run="net", run_directory=tmp_path, flush_rows=10) as recording:
        assert sppkit.read(tmp_path).table().empty  # the folder is taken before the first step
        for steps in (1, 2, 3):
            train(recording, model, 1)
            now = sppkit.read(tmp_path)
            assert now.table()["step"].nunique() == steps
            assert not now.structure().empty
            assert now.metadata["net"]["recorded_steps"] == steps
            assert now.metadata["net"]["ended"] is False
            pd.testing.assert_frame_equal(recording.table(), now.table())
    assert sppkit.read(tmp_path).metadata["net"]["ended"] is True


def test_every_part_is_a_file_that_others_read(tmp_path):
    recorded(run_directory=tmp_path, flush_rows=20)
    parts = sorted((tmp_path / "recording").iterdir())
    assert [part.name for part in parts] == [f"part-{i:05d}.parquet" for i in range(len(parts))]
    rows = [len(pd.read_parquet(part)) for part in parts]
    assert sum(rows) == len(sppkit.read(tmp_path).table())
    for part in parts:
        assert sppkit.read(part).runs == ("net",)
    structures = [len(sppkit.read(part).structure()) for part in parts]
    assert structures.count(0) >= len(parts) - 3  # written again only where it has changed


def test_rows_that_are_not_written_yet_are_in_the_table(tmp_path):
    model = net()
    with sppkit.record(model, run_directory=tmp_path) as recording:
        train(recording, model, 3)
        assert sppkit.read(tmp_path).table().empty
        assert recording.table()["step"].nunique() == 3
        recording.flush()
        assert sppkit.read(tmp_path).table()["step"].nunique() == 3
        train(recording, model, 1)
        table = recording.table()
        assert table["step"].nunique() == 4
        assert not table.duplicated(list(KEY)).any()
        assert "x 4 steps" in repr(recording)
        copy = pickle.loads(pickle.dumps(recording))
        pd.testing.assert_frame_equal(copy.table(), table)
    both = sppkit.combine([recording, sppkit.read(tmp_path)])
    assert len(both.table()) == 2 * len(recording.table())


def test_rows_leave_when_time_has_passed_also_in_steps_that_are_not_recorded(tmp_path, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr("sppkit.run_directory.time.monotonic", lambda: now[0])
    model = net()
    arguments = {"run_directory": tmp_path, "schedule": lambda step: step < 2}
    with sppkit.record(model, **arguments, flush_seconds=30) as recording:
        train(recording, model, 2)
        now[0] += 29
        train(recording, model, 1)
        assert parts_of(tmp_path) == ["part-00000.parquet"]
        now[0] += 2
        train(recording, model, 1)
        assert parts_of(tmp_path) == ["part-00000.parquet", "part-00001.parquet"]
        now[0] += 100
        train(recording, model, 1)  # nothing new to write
        assert len(parts_of(tmp_path)) == 2


def test_updates_belong_to_the_part_of_their_step(tmp_path):
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    arguments = {"signals": ["weight", "update"], "flush_rows": 1, "run_directory": tmp_path}
    with sppkit.record(model, optimizer=optimizer, **arguments):
        for _ in range(3):
            model(torch.randn(5, 8)).sum().backward()
            optimizer.step()
    for number in (1, 2, 3):
        table = sppkit.read(tmp_path / "recording" / f"part-{number:05d}.parquet").table()
        assert set(table["signal"]) == {"weight", "update"}
        assert set(table["step"]) == {number - 1}


def test_a_recording_that_is_entered_again_goes_on_with_the_next_part(tmp_path):
    model = net()
    recording = sppkit.record(model, run_directory=tmp_path)
    for _ in range(2):
        with recording:
            train(recording, model, 2)
    assert parts_of(tmp_path) == [f"part-0000{i}.parquet" for i in range(3)]
    assert sorted(sppkit.read(tmp_path).table()["step"].unique()) == [0, 1, 2, 3]


def test_an_exception_of_the_users_leaves_the_steps_before_it_on_disk(tmp_path):
    model = net()

    def fail():
        with sppkit.record(model, run="net", run_directory=tmp_path) as recording:
            train(recording, model, 2)
            model(torch.randn(5, 8))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    again = sppkit.read(tmp_path)
    assert again.table()["step"].nunique() == 2
    assert "step 2 was interrupted by KeyboardInterrupt" in str(again.not_captured[0])


KILLED = """
import os, signal, sys, torch, sppkit
model = torch.nn.Linear(8, 8)
with sppkit.record(model, run="net", run_directory=sys.argv[1], flush_rows=20) as recording:
    for step in range(50):
        model(torch.randn(4, 8)).sum().backward()
        recording.step()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_run_that_is_killed_loses_what_was_not_written_and_no_more(tmp_path):
    command = [sys.executable, "-c", KILLED, str(tmp_path / "run")]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    recording = sppkit.read(tmp_path / "run")
    table = recording.table()
    steps = table["step"].nunique()
    rows_per_step = len(table) // steps
    assert len(table) == steps * rows_per_step
    assert (50 - steps) * rows_per_step < 20
    assert recording.metadata["net"]["ended"] is False
    assert recording.metadata["net"]["recorded_steps"] == steps
    assert len(recording.structure()) == 1


def test_the_command_line_draws_and_describes_a_run_directory(tmp_path, monkeypatch):
    from typer.testing import CliRunner

    monkeypatch.chdir(tmp_path)
    model = PostActivationResNet()
    arguments = {"run": "net", "run_directory": tmp_path / "run", "flush_rows": 30}
    with sppkit.record(model, **arguments) as recording:
        for _ in range(2):
            model(torch.randn(4, 3, 16, 16)).sum().backward()
            recording.step()
        result = CliRunner().invoke(app, ["plot", "run"])
        assert result.exit_code == 0, result.output
        assert (tmp_path / "run-spp.png").stat().st_size > 10_000
    result = CliRunner().invoke(app, ["doctor", "run"])
    assert result.exit_code == 0, result.output
    assert "blocks" in result.output
    assert "layer1.0" in result.output


# ------------------------------------------------------------------------------------- refusals


def test_a_directory_with_a_recording_is_refused_and_left_alone(tmp_path):
    recorded(run_directory=tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.parquet")}
    message = (
        r"run_directory='.*' holds a recording already \(2 files\), which is left alone: give "
        r"another folder, or delete '.*recording' first"
    )
    with pytest.raises(RecordingError, match=message):
        recorded(run_directory=tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.parquet")} == before


def test_a_directory_that_another_recording_took_meanwhile_is_refused(tmp_path):
    late = sppkit.record(model := net(), run_directory=tmp_path)
    recorded(run_directory=tmp_path)
    with pytest.raises(RecordingError, match="holds a recording already"):
        late.__enter__()
    assert not model[0]._forward_hooks


def test_a_part_that_another_process_wrote_is_not_replaced(tmp_path):
    model, part = net(), tmp_path / "recording" / "part-00001.parquet"
    recording = sppkit.record(model, run_directory=tmp_path).__enter__()
    train(recording, model, 1)
    part.write_text("mine")
    with pytest.raises(RecordingError, match="has appeared while it was being written: another"):
        recording.__exit__(None, None, None)
    assert not model[0]._forward_hooks
    assert part.read_text() == "mine"
    assert len(parts_of(tmp_path)) == 2


def test_a_file_is_no_run_directory(tmp_path):
    (tmp_path / "run").write_text("mine")
    with pytest.raises(RecordingError, match=r"run_directory='.*run' is a file; give a folder"):
        sppkit.record(net(), run_directory=tmp_path / "run")


def test_a_folder_that_cannot_be_made_is_named_before_the_first_step(tmp_path):
    (tmp_path / "file").write_text("mine")
    recording = sppkit.record(net(), run_directory=tmp_path / "file" / "run")
    with pytest.raises(RecordingError, match=r"cannot make the folder '.*file.run.recording'"):
        recording.__enter__()


def full_disk(*_):
    raise OSError(28, "No space left on device")


def test_a_full_disk_is_told_with_the_file_and_loses_no_row(tmp_path, monkeypatch):
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    arguments = {"optimizer": optimizer, "run_directory": tmp_path, "flush_rows": 1}

    def step():
        model(torch.randn(5, 8)).sum().backward()
        optimizer.step()

    with sppkit.record(model, **arguments):
        step()
        before = model[0].weight.detach().clone()
        with monkeypatch.context() as patched:
            patched.setattr("sppkit.table.pq.write_table", full_disk)
            message = (
                r"the recording '.*part-00002.parquet' cannot be written: No space left on device.*"
                r"rows are kept, and are tried again when the next step ends"
            )
            with pytest.raises(RecordingError, match=message):
                step()
        assert not torch.equal(before, model[0].weight)  # the user's own step was taken
        assert parts_of(tmp_path) == ["part-00000.parquet", "part-00001.parquet"]
        step()
    table = sppkit.read(tmp_path).table()
    assert table["step"].nunique() == 3
    assert not table.duplicated(list(KEY)).any()


def test_an_exception_of_the_users_is_not_hidden_by_a_full_disk(tmp_path, monkeypatch):
    model = net()

    def fail():
        with sppkit.record(model, run_directory=tmp_path) as recording:
            train(recording, model, 1)
            monkeypatch.setattr("sppkit.table.pq.write_table", full_disk)
            raise ZeroDivisionError("of the user's")

    with pytest.raises(ZeroDivisionError, match="of the user's") as caught:
        fail()
    assert "No space left on device" in caught.value.__notes__[0]


def test_a_recording_without_a_run_directory_cannot_be_flushed():
    with (
        sppkit.record(net()) as recording,
        pytest.raises(RecordingError, match="has no run directory to write to: give one with"),
    ):
        recording.flush()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"flush_rows": 0}, "flush_rows=0 must be 1 or more rows between two writes"),
        ({"flush_seconds": 0}, "flush_seconds=0 must be above 0 seconds"),
        ({"flush_seconds": float("nan")}, "flush_seconds=nan must be above 0"),
    ],
)
def test_intervals_that_are_none_are_refused(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        sppkit.record(net(), run_directory=tmp_path, **arguments)


def test_a_folder_without_a_recording_is_named(tmp_path):
    with pytest.raises(RecordingError, match="is a folder without a recording; a run directory"):
        sppkit.read(tmp_path)
    (tmp_path / "recording").mkdir()
    (tmp_path / "recording" / "part-00000.parquet").write_text("no parquet")
    with pytest.raises(RecordingError, match=r"'.*part-00000.parquet' is no readable parquet file"):
        sppkit.read(tmp_path)


# -------------------------------------------------------------------------------- several ranks


def _stream_on_two_ranks(rank, folder, skips):
    torch.manual_seed(0)
    model = Mlp()
    with sppkit.record(model, run_directory=Path(folder) / "run", run="net") as recording:
        for _ in range(2):
            output = model.stem(torch.randn(4, 8)) if rank and skips else model(torch.randn(4, 8))
            output.mean().backward()
            recording.step()
    return len(recording.table())


@pytest.mark.parametrize("skips", [False, True])
def test_the_first_rank_writes_and_another_one_what_stayed_with_it(tmp_path, skips):
    rows = run_ranks(_stream_on_two_ranks, tmp_path, str(tmp_path), skips)
    assert len(sppkit.read(tmp_path / "run").table()) == rows[0] > 0
    apart = tmp_path / "run.rank1"
    assert apart.exists() == (rows[1] > 0)
    if skips:
        assert set(sppkit.read(apart).table()["rank"]) == {1}


def _stream_one_after_the_other(rank, folder):
    torch.manual_seed(0)
    model = Mlp()
    if rank:
        dist.barrier()  # the first rank has begun to write
    recording = sppkit.record(model, run_directory=Path(folder) / "run", run="net")
    with recording:
        if rank == 0:
            dist.barrier()
        model(torch.randn(4, 8)).mean().backward()
    return len(recording.table())


def test_a_rank_may_come_when_the_first_one_has_taken_the_folder(tmp_path):
    rows = run_ranks(_stream_one_after_the_other, tmp_path, str(tmp_path))
    assert len(sppkit.read(tmp_path / "run").table()) == rows[0] > 0


def test_the_rows_of_steps_that_are_taken_again_can_be_forgotten(tmp_path):
    recorded(6, run_directory=tmp_path / "run", flush_rows=20)
    whole, names = sppkit.read(tmp_path / "run").table(), parts_of(tmp_path / "run")
    forget_steps(tmp_path / "run", 3)
    left = sppkit.read(tmp_path / "run")
    pd.testing.assert_frame_equal(
        left.table().astype(str), whole[whole["step"] < 3].astype(str), check_dtype=False
    )
    assert parts_of(tmp_path / "run") == names
    assert left.metadata["net"]["recorded_steps"] == 3
    assert len(left.structure()) > 0
    forget_steps(tmp_path / "nothing", 3)


# --------------------------------------------------------------------------------------- memory


def held():
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


@pytest.mark.slow
def test_memory_does_not_grow_over_two_thousand_recorded_steps(tmp_path):
    model = nn.Linear(4, 4)
    x = torch.randn(3, 4)
    marks = []
    arguments = {"run_directory": tmp_path, "flush_rows": 100, "signals": ["activation", "weight"]}
    with sppkit.record(model, **arguments) as recording:
        tracemalloc.start()
        try:
            for step in range(2000):
                model(x).sum().backward()
                recording.step()
                if step in (499, 1999):
                    recording.flush()
                    marks.append((held(), pa.total_allocated_bytes()))
        finally:
            tracemalloc.stop()
    assert len(sppkit.read(tmp_path).table()) == 6_000
    (early, arrow_early), (late, arrow_late) = marks
    assert late - early < 50_000, (early, late)
    assert arrow_late <= arrow_early


def faked_rows(step, count):
    columns = {name: step for name, kind in TABLE_COLUMNS.items() if kind == "int64"}
    columns |= {"layer": [f"layer{i}" for i in range(count)], "run": "net"}
    return columns | {name: np.random.default_rng(step).random(count) for name in STATISTIC_COLUMNS}


def test_a_long_run_is_held_in_the_memory_of_one_part(tmp_path):
    rows = StreamedRows(STATISTIC_COLUMNS, RunDirectory(tmp_path), flush_rows=4000)
    rows.open(0, {"net": {}})
    peaks = []
    tracemalloc.start()
    try:
        for step in range(400):
            rows.append(faked_rows(step, 500))
            if rows.is_due:
                rows.flush(build_structure(()), {"net": {}})
            if step in (99, 399):
                peaks.append(tracemalloc.get_traced_memory()[1])
    finally:
        tracemalloc.stop()
    assert len(sppkit.read(tmp_path).table()) == 200_000
    assert peaks[1] <= 1.05 * peaks[0]
    assert peaks[1] < 10_000_000  # 200,000 rows of 300 bytes would take 60 MB


def test_an_interrupted_recording_goes_on_behind_its_last_part(tmp_path):
    whole = recorded(6)
    recorded(3, run_directory=tmp_path, flush_rows=20)
    parts = parts_of(tmp_path)
    torch.manual_seed(1)
    model = net()
    torch.manual_seed(1)
    for _ in range(3):
        torch.randn(5, 8)  # what the first steps have drawn
    resumed = sppkit.record(model, run="net", run_directory=tmp_path, flush_rows=20, first_step=3)
    with resumed as recording:
        train(recording, model, 3)
    assert parts_of(tmp_path)[: len(parts)] == parts
    for recording in (resumed, sppkit.read(tmp_path)):
        pd.testing.assert_frame_equal(recording.table(), whole.table())
        pd.testing.assert_frame_equal(recording.structure(), whole.structure())
        assert recording.metadata["net"]["recorded_steps"] == 6


def test_only_a_recording_that_says_so_goes_on_in_a_folder(tmp_path):
    recorded(2, run_directory=tmp_path)
    with pytest.raises(RecordingError, match="holds a recording already"):
        sppkit.record(net(), run_directory=tmp_path, first_step=0)
    with pytest.raises(ValueError, match="first_step=-1 must be the number of a step"):
        sppkit.record(net(), first_step=-1)


@pytest.mark.parametrize("pause_before", [0, 1, 2, 3])
@pytest.mark.parametrize("every", [1, 2])
def test_what_runs_during_a_pause_is_in_no_step(pause_before, every):
    tables = []
    for pauses in (False, True):
        torch.manual_seed(1)
        model = net()
        with sppkit.record(model, run="net", every=every) as recording:
            for step in range(4):
                if pauses and step == pause_before:
                    with recording.paused(), torch.no_grad():
                        model.eval()(torch.ones(3, 8))
                    model.train()
                train(recording, model, 1)
        tables.append(recording.table())
    pd.testing.assert_frame_equal(*tables)


def test_a_pause_that_raises_ends_too():
    model = net()
    with sppkit.record(model) as recording:
        with pytest.raises(KeyError), recording.paused():
            raise KeyError
        train(recording, model, 1)
    assert not recording.table().empty
