import json
import subprocess
import sys

import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from benchmarks.application import app
from benchmarks.kernel_choice import FALLBACK, kernel_in_use
from benchmarks.machine import describe_machine
from benchmarks.measurement import Measurement, Request, Status
from benchmarks.worker import WorkerError, run_apart


def invoke(*arguments):
    return CliRunner().invoke(app, arguments)


def test_help_names_the_commands():
    out = invoke("--help").output
    for command in ("run", "memory", "kernels", "profile", "list"):
        assert f"  {command} " in out


def test_workloads_and_variants_are_listed():
    out = invoke("list").output
    assert "EfficientNet-B0, batch 8 at 96x96" in out
    assert "a collector written the obvious way" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", "-w", "vgg"), "'vgg' is unknown; choose of mlp, effb0, resnet50, vit"),
        (("run", "-v", "nothing"), "'nothing' is unknown; choose of control, empty, naive"),
        (("kernels", "--kernel", "c"), "'c' is unknown; choose of auto, native, torch"),
        (("run", "--output", "a.txt"), "'a.txt' must end in .md or .csv"),
    ],
)
def test_what_is_unknown_is_refused_with_the_choice(arguments, message):
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.output.replace("│", " ").split())


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("command", ["run", "memory", "kernels", "profile"])
def test_a_missing_gpu_is_said(command):
    result = invoke(command, "--device", "cuda")
    assert result.exit_code == 2
    assert "torch sees no CUDA device here" in " ".join(result.output.split())


def test_a_quick_run_writes_its_table(tmp_path):
    path = tmp_path / "table.csv"
    arguments = ["run", "--quick", "-w", "mlp", "-v", "empty", "-v", "every-step"]
    run = subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments, "--kernel", "torch", "--output", path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    table = pd.read_csv(path)
    assert list(table["variant"]) == ["empty", "every-step"]
    assert list(table["status"]) == ["measured"] * 2
    assert (table["ratio_median"] > 0).all()
    assert "every-step" in run.stdout


def test_quick_reads_and_profiles_run():
    assert "base" in invoke("kernels", "--quick", "--rounds", "1").output
    assert "own ms" in invoke("profile", "--quick").output


def test_what_was_measured_before_an_interrupt_is_shown(monkeypatch):
    answers = iter([Measurement(Request("mlp", "control"), Status.RAISES, notes=("first",))])

    def measured_once(*arguments, **keywords):
        for answer in answers:
            return answer
        raise KeyboardInterrupt

    monkeypatch.setattr("benchmarks.application.run_apart", measured_once)
    result = invoke("run", "--quick", "-w", "mlp", "-w", "vit", "-v", "control")
    assert result.exit_code == 0
    assert "[1] first" in result.output
    assert "interrupted: 1 not measured" in result.stderr


def test_a_worker_that_dies_is_reported():
    with pytest.raises(WorkerError, match="the process ended with code 1: KeyError: 'tea'"):
        run_apart("tea", Request("mlp", "control"), kernel="auto", threads=1)


def test_the_kernel_is_told_by_sppkit_where_it_can(monkeypatch):
    import sppkit.kernels

    monkeypatch.delattr(sppkit.kernels, "kernel_for", raising=False)
    assert kernel_in_use("cpu") == FALLBACK
    monkeypatch.setattr(
        sppkit.kernels, "kernel_for", lambda device: f"loom of {device}", raising=False
    )
    assert kernel_in_use("cpu") == "loom of cpu"


def test_the_machine_is_described():
    facts = describe_machine(threads=3)
    assert facts["torch"] == torch.__version__
    assert facts["cores"].endswith("3 thread(s) used")
    assert all(facts.values())
    json.dumps(facts)
