"""What a run in training does with the early warning."""

import dataclasses
import json

import pytest
import torch

import sppkit
from sppkit.training.loop import train
from sppkit.training.run_folder import RunFolder
from tests.training.conftest import RunStoppedError
from tests.training.test_loop import metrics

RISING = {
    "learning_rate": 0.05,
    "epochs": 14,
    "clipping": None,
    "averaging_decay": None,
    "nesterov": False,
    "schedule": "steps",
    "milestones": tuple(range(7, 14)),
    "step_factor": 8.0,
    "warmup_epochs": 0.0,
}
"""A rate that is multiplied by eight in each epoch, until the run is lost."""


@pytest.fixture
def rising(make_task, plain_digits):
    return make_task(recipe=RISING, data=plain_digits, every=3)


def kinds(folder):
    return [event["kind"] for event in folder.events()]


def test_events_are_lines_with_their_evidence(rising, folder):
    train(rising, folder)
    event = folder.events()[0]
    assert list(event) == [
        *("step", "epoch", "kind", "severity", "layer", "message", "advice", "evidence"),
    ]
    assert event["epoch"] == event["step"] / 21
    assert event["step"] >= 147  # not before the rate rises
    assert event["evidence"]["code"].startswith("SPP6")


@pytest.mark.parametrize("severity", ["warning", "error"])
def test_a_run_stops_at_the_first_event_that_is_severe_enough(rising, folder, severity):
    outcome = train(dataclasses.replace(rising, stop_on=severity), folder)
    assert outcome.ended == "stopped"
    *events, last = folder.events()
    stops = {"warning", "error"} if severity == "warning" else {"error"}
    cause = next(event for event in events if event["severity"] in stops)
    assert last["kind"] == "stopped"
    assert last["severity"] == "info"
    assert last["message"] == (
        f"stopped at the {cause['severity']} of step {cause['step']}: {cause['message']}"
    )
    assert outcome.steps == cause["step"] + 1 == events[-1]["step"] + 1
    checkpoint = torch.load(folder.path / "checkpoint.pt", weights_only=True)
    assert checkpoint["step"] == outcome.steps
    said = json.loads((folder.path / "run.json").read_text())
    assert said["state"] == "stopped"
    assert sorted(said["not_measured"]) == ["SPP605"]


def test_a_run_that_is_never_stopped_goes_on_until_it_diverges(rising, folder):
    outcome = train(rising, folder)
    assert "stopped" not in kinds(folder)
    assert outcome.steps > 168


def test_a_stopped_run_is_left_alone_unless_it_would_not_be_stopped_now(rising, folder, tmp_path):
    stopping = dataclasses.replace(rising, stop_on="warning")
    outcome = train(stopping, folder)
    before = (folder.path / "metrics.parquet").read_bytes()
    assert train(stopping, folder, resume=True) == outcome
    assert (folder.path / "metrics.parquet").read_bytes() == before

    gone_on = train(rising, folder, resume=True)
    whole = RunFolder(tmp_path / "whole")
    assert gone_on.steps == train(rising, whole).steps > outcome.steps
    assert metrics(folder).equals(metrics(whole))
    assert [k for k in kinds(folder) if k != "stopped"] == kinds(whole)


@pytest.mark.parametrize("step", [140, 160])
def test_a_resumed_run_gives_the_same_events(rising, folder, interrupt, tmp_path, step):
    task = dataclasses.replace(rising, flush_seconds=1e-9)
    whole = RunFolder(tmp_path / "whole")
    train(task, whole)
    assert whole.events()[0]["step"] > 140
    with pytest.raises(RunStoppedError):
        train(interrupt(task, step), folder)
    train(task, folder, resume=True)
    assert whole.events() == folder.events()
    assert metrics(whole).equals(metrics(folder))
    assert sppkit.read(whole.path).table().equals(sppkit.read(folder.path).table())


def test_a_loss_that_is_not_finite_stops_a_run_that_records_nothing(rising, folder):
    outcome = train(dataclasses.replace(rising, every=0, stop_on="error"), folder)
    assert outcome.ended == "stopped"
    assert kinds(folder) == ["loss not finite", "stopped"]
    assert json.loads((folder.path / "run.json").read_text())["not_measured"] == {}


def test_a_severity_that_is_none_is_refused(rising):
    with pytest.raises(ValueError, match="stop_on='info' must be one of never, error, warning"):
        dataclasses.replace(rising, stop_on="info")
