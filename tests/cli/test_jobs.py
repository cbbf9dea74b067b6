"""Several runs at a time: in processes, or by Ray."""

import importlib.util
import os
import signal
import subprocess
import sys
import time
import warnings

import pandas as pd
import pytest
from typer.testing import CliRunner

import sppkit
from sppkit.cli import app
from sppkit.cli.training.flags import Feeding, Keeping, Learning, Running
from sppkit.cli.training.orders import Order
from sppkit.cli.training.processes import _take_gpu, train_in_processes

NETS = """
    import os
    import signal
    import time

    import torch
    from torch import nn

    class Net(nn.Sequential):
        INPUT_SIZE = (64,)

        def __init__(self, width=16):
            super().__init__(
                nn.Linear(64, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(0.1),
                nn.Linear(width, 10),
            )

    class Wide(Net):
        def __init__(self):
            super().__init__(32)

    class Killed(Net):
        def forward(self, x):
            os.kill(os.getpid(), signal.SIGKILL)

    class Wrong(Net):
        def forward(self, x):
            return super().forward(x)[:, :3]

    class Odd(Net):
        def __init__(self):
            super().__init__()
            if os.environ["PARENT"] != str(os.getpid()):
                raise RuntimeError("not here")

    def few():
        x = torch.randn(64, 64)
        return torch.utils.data.TensorDataset(x, torch.arange(64) % 10)

    class Slow(Net):
        def forward(self, x):
            time.sleep(0.02)
            return super().forward(x)
"""
MEASURED = ["run", "seed", "step", "epoch", "phase", "loss", "accuracy", "samples", "is_recorded"]
TWO = ("nets.py:Net", "nets.py:Wide", "--epochs", 1, "-b", 64, "--every", 5)


@pytest.fixture
def nets(write):
    write(NETS, "nets.py")


@pytest.fixture
def one_thread():
    """As many threads here as in the processes, so that sums are added in the same order."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def assert_same_runs(one, other):
    """Compare all that was measured, to the bit; times differ."""
    names = sorted(folder.name for folder in one.iterdir() if folder.is_dir())
    assert names == sorted(folder.name for folder in other.iterdir() if folder.is_dir())
    for name in names:
        left, right = (pd.read_parquet(top / name / "metrics.parquet") for top in (one, other))
        pd.testing.assert_frame_equal(left[MEASURED], right[MEASURED])
        tables = [sppkit.read(top / name).table() for top in (one, other)]
        pd.testing.assert_frame_equal(*tables)


def test_processes_train_what_one_process_trains(nets, spp, folder, one_thread):
    spp("train", *TWO, "--seeds", 2, "-o", "alone")
    result = spp("train", *TWO, "--seeds", 2, "-o", "together", "--jobs", 2)
    assert result.stdout.splitlines()[:4] == [  # in the order of the plan, not of their ends
        *(f"together/{name}-seed{seed}" for name in ("Net", "Wide") for seed in (0, 1)),
    ]
    assert_same_runs(folder / "alone", folder / "together")
    assert (folder / "together" / "last-step-spp.png").is_file()


@pytest.mark.slow
def test_a_process_that_is_killed_takes_no_other_along(nets, folder):
    targets = ("nets.py:Killed", "nets.py:Wrong", "nets.py:Net")
    line = ("train", *targets, "--epochs", "1", "-b", "64", "--jobs", "3")
    result = CliRunner().invoke(app, line)
    assert result.exit_code == 2
    assert "error: Killed: its process was killed by SIGKILL before the run ended." in result.stderr
    assert "error: Wrong: Wrong in nets.py answers (64, 3)" in result.stderr
    assert (folder / "runs" / "Net" / "checkpoint.pt").is_file()
    assert "runs/Net\n" in result.stdout


@pytest.mark.slow
def test_what_nobody_expects_is_told_with_its_traceback_on_request(nets, folder, monkeypatch):
    monkeypatch.setenv("PARENT", str(os.getpid()))
    line = ("train", "nets.py:Odd", "nets.py:Net", "--epochs", "1", "-b", "64", "--jobs", "2")
    result = CliRunner().invoke(app, [*line, "-v"])
    assert result.exit_code == 2
    assert "error: Odd: " in result.stderr
    assert "not here" in result.stderr
    assert "Traceback" in result.stderr


@pytest.mark.slow
def test_a_run_that_diverges_leaves_with_one(nets, folder):
    line = ("train", "nets.py:Net", "nets.py:Wide", "--epochs", "2", "-b", "32", "--lr", "1e30")
    result = CliRunner().invoke(app, [*line, "--optimizer", "sgd", "--jobs", "2"])
    assert result.exit_code == 1
    assert "1 diverged" in result.stdout


def test_progress_of_every_process_is_heard(nets, folder):
    order = Order(
        TWO[:2],
        Learning(epochs=1, batch_size=[64]),
        Feeding(),
        Running(jobs=2),
        Keeping(output=folder / "runs"),
    )
    heard = {"Net": [], "Wide": []}
    results = dict(train_in_processes(order, ["Net", "Wide"], lambda n: heard[n].append, jobs=2))
    assert sorted(results) == [0, 1]
    for index, name in enumerate(heard):
        assert results[index].ended == "finished"
        assert heard[name][-1].step == heard[name][-1].steps == 21


def test_runs_share_the_threads_of_the_machine(monkeypatch):
    monkeypatch.setattr("torch.get_num_threads", lambda: 8)

    def threads(**running):
        return Order((), Learning(), Feeding(), Running(**running), Keeping()).threads

    assert [threads(), threads(jobs=1), threads(jobs=3), threads(jobs=20)] == [1, 8, 2, 1]


@pytest.mark.parametrize(
    ("devices", "taken"), [(0, []), (1, []), (2, [0, 1, 0, 1]), (3, [0, 1, 2, 0])]
)
def test_runs_are_spread_over_gpus(monkeypatch, devices, taken):
    found = []
    monkeypatch.setattr("torch.cuda.device_count", lambda: devices)
    monkeypatch.setattr("torch.cuda.set_device", found.append)
    for slot in range(4):
        _take_gpu(slot)
    assert found == taken


@pytest.mark.slow
def test_force_replaces_runs_and_leaves_what_others_put_beside(nets, spp, folder):
    spp("train", *TWO, "--jobs", 2)
    note = folder / "runs" / "Net" / "note.txt"
    note.write_text("mine")
    spp("train", *TWO, "--jobs", 2, "--force")
    assert note.read_text() == "mine"


@pytest.mark.slow
def test_processes_may_have_readers_of_their_own(nets, spp, folder):
    data = ("--data", "nets.py:few", "--workers", 1, "-b", 16)
    spp("train", "nets.py:Net", "nets.py:Wide", "--epochs", 1, *data, "--jobs", 2)
    assert (folder / "runs" / "Wide" / "checkpoint.pt").is_file()


def wait_for(condition, seconds=60.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come about in time"
        time.sleep(0.05)


def children_of(process):
    found = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(process)], capture_output=True, text=True, check=False
    )
    return [int(line) for line in found.stdout.split()]


def is_alive(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals of Unix")
def test_an_interruption_ends_all_processes_and_can_be_resumed(nets, spp, folder):
    line = [
        *("train", "nets.py:Slow", "--lr", "0.01", "--lr", "0.001", "--lr", "0.0001"),
        *("--epochs", "2", "-b", "64", "--flush-seconds", "0.2", "--jobs", "2"),
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "sppkit", *line],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # what a shell runs in the background ignores it, and so would all that starts from there
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    runs = [folder / "runs" / f"Slow-lr={rate}" for rate in ("0.01", "0.001")]
    wait_for(lambda: all((run / "checkpoint.pt").is_file() for run in runs))
    children = children_of(process.pid)
    assert len(children) >= 2
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all processes
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said == "error: interrupted. Go on by the same command with --resume.\n"
    wait_for(lambda: not any(map(is_alive, children)))
    assert not (folder / "runs" / "Slow-lr=0.0001").exists()  # it was not begun
    assert pd.read_parquet(runs[0] / "metrics.parquet")["step"].is_monotonic_increasing
    result = spp(*line, "--resume")
    assert result.stdout.count("finished") == 3


# -------------------------------------------------------------------------------------------- Ray

has_ray = importlib.util.find_spec("ray") is not None
needs_ray = pytest.mark.skipif(
    not has_ray, reason="Ray is an optional extra and not installed: pip install 'sppkit[ray]'"
)


def test_a_missing_ray_is_said_in_one_sentence(nets, fails, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    message = fails("train", *TWO, "--executor", "ray")
    assert message == (
        "error: --executor ray needs Ray, which is not installed here. Install it by pip install "
        "'sppkit[ray]', or leave --executor out: --jobs N runs N processes on this machine.\n"
    )


@pytest.fixture
def ray_cluster(monkeypatch):
    import ray

    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")  # no token in the home folder
    # Ray warns of what it will change and of files that the interpreter closes at the end
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ray.init(num_cpus=2, log_to_driver=False, include_dashboard=False)
        yield
        ray.shutdown()


@needs_ray
@pytest.mark.slow
def test_ray_trains_what_one_process_trains(nets, spp, folder, one_thread, ray_cluster):
    spp("train", *TWO, "-o", folder / "alone")
    spp("train", *TWO, "-o", folder / "spread", "--executor", "ray", "--jobs", 2)
    assert_same_runs(folder / "alone", folder / "spread")


@needs_ray
@pytest.mark.slow
def test_a_worker_of_ray_that_is_killed_takes_no_other_along(nets, folder, ray_cluster):
    line = ("train", "nets.py:Killed", "nets.py:Net", "--epochs", "1", "-b", "64")
    result = CliRunner().invoke(app, [*line, "--executor", "ray"])
    assert result.exit_code == 2
    assert "error: Killed: its worker ended before the run did: " in result.stderr
    assert (folder / "runs" / "Net" / "checkpoint.pt").is_file()
