"""`torchrun ... -m sppkit train --parallel`: several processes, one command."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

import sppkit

NETS = """
    from torch import nn

    class Net(nn.Sequential):
        INPUT_SIZE = (64,)

        def __init__(self):
            super().__init__(nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))

    class Wide(nn.Sequential):
        INPUT_SIZE = (64,)

        def __init__(self):
            super().__init__(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
"""
LINE = ("train", "nets.py:Net", "nets.py:Wide", "--epochs", "1", "-b", "64", "--every", "5")


@pytest.fixture
def nets(write):
    write(NETS, "nets.py")


@pytest.fixture
def torchrun(folder):
    """Run a command in two processes; return what it said."""

    def run(*arguments, code=0):
        line = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
        result = subprocess.run(
            [sys.executable, *line, "sppkit", *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
        )
        assert (result.returncode == 0) == (code == 0), result.stderr
        return result

    return run


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ddp", "fsdp"])
def test_two_processes_print_write_and_learn_like_one(kind, nets, spp, folder, torchrun):
    alone = spp(*LINE, "-o", "alone").stdout.splitlines()
    result = torchrun(*LINE, "-o", "together", "--parallel", kind)
    lines = result.stdout.splitlines()
    assert lines[:4] == [line.replace("alone", "together") for line in alone[:4]]
    assert len(lines) == len(alone)  # one process prints
    names = [sorted(path.name for path in (folder / o).iterdir()) for o in ("alone", "together")]
    assert names[0] == names[1]  # one process writes
    for name in ("Net", "Wide"):
        one, two = (
            pd.read_parquet(folder / o / name / "metrics.parquet") for o in ("alone", "together")
        )
        np.testing.assert_allclose(one["loss"], two["loss"], rtol=1e-4)
        assert one["samples"].equals(two["samples"])
        assert len(sppkit.read(folder / "together" / name).table()) > 0
        said = json.loads((folder / "together" / name / "run.json").read_text())["settings"]
        assert (said["parallel"], said["processes"]) == (kind, 2)
    again = torchrun(*LINE, "-o", "together", "--parallel", kind, "--resume").stdout
    assert again.splitlines()[4:] == lines[4:]  # the runs have ended, and are shown


@pytest.mark.slow
def test_an_error_ends_all_processes(nets, folder, torchrun):
    line = ("train", "nets.py:Net", "--epochs", "1", "-b", "63", "--parallel", "ddp")
    said = torchrun(*line, code=1).stderr
    assert "error: a batch of 63 samples has no equal shares for 2 processes" in said
    assert not (folder / "runs").exists()


def test_parallel_needs_torchrun(nets, fails, monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    assert fails(*LINE, "--parallel", "ddp") == (
        "error: --parallel ddp trains in the processes that torchrun starts, and there is one "
        "alone. Start it by torchrun --nproc-per-node 2 -m sppkit train ... --parallel ddp.\n"
    )


def test_processes_that_nobody_joins_are_refused(nets, fails, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "4")
    message = fails(*LINE)
    assert re.match("error: 4 processes were started, which would all write the same runs", message)
    assert "--parallel ddp" in message
    assert "--parallel fsdp" in message


@pytest.mark.parametrize("flags", [("--jobs", 2), ("--executor", "ray")])
def test_one_run_in_all_processes_or_several_runs_at_a_time(nets, fails, monkeypatch, flags):
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setitem(sys.modules, "ray", sys)  # that it is there does not matter here
    message = fails(*LINE, "--parallel", "ddp", *flags)
    assert "--parallel trains one run in all processes, and --jobs and --executor" in message
