"""`sppkit train --stop-on`."""

import json

import pytest
from typer.testing import CliRunner

from sppkit.cli import app

NET = """
    from torch import nn

    class Net(nn.Sequential):
        INPUT_SIZE = (64,)

        def __init__(self):
            super().__init__(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
"""

RISING = (
    *("--optimizer", "sgd", "--lr", 1e-2, "-b", 64, "--epochs", 9, "--every", 2),
    *("--schedule", "steps", "--milestone", 8, "--warmup", 0),
)


@pytest.fixture
def lost(write, folder):
    """A network whose loss is multiplied after 130 steps, so that its steps become too large."""
    write(NET, "net.py")
    write(
        """
        from torch.nn.functional import cross_entropy

        calls = []

        def loss(output, labels):
            calls.append(output.requires_grad)
            return cross_entropy(output, labels) * (3000.0 if sum(calls) > 130 else 1.0)
        """,
        "losses.py",
    )
    return ("train", "net.py", *RISING, "--loss", "losses.py:loss")


def events(folder):
    lines = (folder / "runs" / "Net" / "events.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def stopped(folder):
    return json.loads((folder / "runs" / "Net" / "run.json").read_text())["outcome"]


def test_a_stopped_run_leaves_with_one_and_keeps_its_checkpoint(lost, folder):
    result = CliRunner().invoke(app, [*map(str, lost), "--stop-on", "warning"])
    assert result.exit_code == 1, result.output
    assert "stopped" in result.stdout
    outcome = stopped(folder)
    assert outcome["ended"] == "stopped"
    assert 130 <= outcome["steps"] < 165
    assert (folder / "runs" / "Net" / "checkpoint.pt").is_file()
    last = events(folder)[-1]
    assert last["kind"] == "stopped"
    assert f"Net: step {last['step']}: {last['message']}" in " ".join(result.stderr.split())


def test_a_run_in_good_order_is_not_stopped(write, spp, folder):
    write(NET, "net.py")
    spp("train", "net.py", "--epochs", 2, "-b", 32, "--every", 2, "--stop-on", "warning")
    assert stopped(folder)["ended"] == "finished"
    assert events_of(folder) == []


def events_of(folder):
    place = folder / "runs" / "Net" / "events.jsonl"
    return events(folder) if place.is_file() else []
