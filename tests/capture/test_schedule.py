"""A schedule chooses the steps that are recorded; in the others the model carries no hook."""

import warnings

import numpy as np
import pytest
import torch
from torch import nn

import sppkit
from tests.capture.test_training_loop import scaled_step
from tests.ranks import run_ranks


def net():
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))


def hooks_on(model):
    """Count the hooks on the modules of a model and on its parameters."""
    names = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    on_modules = sum(len(getattr(module, name)) for module in model.modules() for name in names)
    on_parameters = sum(
        len(p._backward_hooks or ()) + len(p._post_accumulate_grad_hooks or ())
        for p in model.parameters()
    )
    return on_modules + on_parameters


def train(model, steps, *, passes=1, optimizer=None, **arguments):
    """Train with a recording; return it, and the hooks on model and activations in each step."""
    optimizer = optimizer or torch.optim.SGD(model.parameters(), lr=0.01)
    counts = []
    with sppkit.record(model, optimizer=optimizer, **arguments) as recording:
        for _ in range(steps):
            optimizer.zero_grad()
            count = hooks_on(model)
            for _ in range(passes):
                output = model(torch.randn(5, 8))
                count += len(output._backward_hooks or ())
                output.pow(2).mean().backward()
            counts.append(count)
            optimizer.step()
    return recording, counts


def schedule_of_the_profiler(**arguments):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Profiler won't be using warmup")
        return torch.profiler.schedule(**arguments)


def recorded_steps(recording):
    return sorted(recording.table()["step"].unique().tolist())


@pytest.mark.parametrize("skip_first", [0, 3])
@pytest.mark.parametrize("repeat", [0, 2])
@pytest.mark.parametrize(("wait", "warmup", "active"), [(0, 0, 1), (2, 1, 3), (4, 0, 2), (0, 3, 1)])
def test_a_schedule_chooses_the_steps_of_the_profilers_schedule(
    wait, warmup, active, repeat, skip_first
):
    arguments = {"wait": wait, "warmup": warmup, "active": active, "repeat": repeat}
    arguments["skip_first"] = skip_first
    ours, theirs = sppkit.schedule(**arguments), schedule_of_the_profiler(**arguments)
    saved = {torch.profiler.ProfilerAction.RECORD, torch.profiler.ProfilerAction.RECORD_AND_SAVE}
    assert [ours(step) for step in range(60)] == [theirs(step) in saved for step in range(60)]


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (sppkit.schedule(skip_first=1, wait=2, active=2, repeat=2), [3, 4, 7, 8]),
        (torch.profiler.schedule(skip_first=1, wait=1, warmup=1, active=2, repeat=2), [3, 4, 7, 8]),
        (lambda step: step in (0, 5), [0, 5]),
        (lambda step: np.bool_(step > 9), [10, 11]),
    ],
)
def test_the_recorded_steps_are_those_of_the_schedule_and_the_others_have_no_hook(
    schedule, expected
):
    recording, counts = train(net(), 12, schedule=schedule)
    assert recorded_steps(recording) == expected
    assert [step for step, count in enumerate(counts) if count] == expected


def test_a_window_is_recorded_step_by_step():
    model, ends = net(), []
    with sppkit.record(model, schedule=sppkit.schedule(wait=1, active=2)) as recording:
        for _ in range(6):
            ends.append(hooks_on(model) > 0)
            model(torch.randn(5, 8)).sum().backward()
            recording.step()
    assert ends == [False, True, True, False, True, True]
    assert recorded_steps(recording) == [1, 2, 4, 5]


def test_accumulated_passes_count_as_one_step_of_the_schedule():
    recording, counts = train(net(), 6, passes=3, schedule=sppkit.schedule(wait=2, active=1))
    assert recorded_steps(recording) == [2, 5]
    assert [count > 0 for count in counts] == [False, False, True] * 2
    assert set(recording.table()["passes"]) == {3}


def test_a_step_that_the_scaler_skips_counts():
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0)
    loop = {"optimizer": optimizer, "scaler": scaler}
    with sppkit.record(model, **loop, schedule=lambda step: step in (1, 2)) as recording:
        for value in (1.0, float("inf"), 1.0, 1.0):
            scaled_step(model, optimizer, scaler, torch.full((5, 8), value))
    table = recording.table()
    assert recorded_steps(recording) == [1, 2]
    assert table.loc[table["step"] == 1, "flags"].str.startswith("skipped step").all()
    assert not table.loc[table["step"] == 2, "flags"].str.contains("skipped").any()


def test_a_recording_that_is_entered_again_goes_on_with_the_schedule():
    model = net()
    recording = sppkit.record(model, schedule=lambda step: step % 2 == 0)
    for _ in range(2):
        with recording:
            for _ in range(3):
                model(torch.randn(5, 8)).sum().backward()
                recording.step()
    assert recorded_steps(recording) == [0, 2, 4]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"every": 10}, "every=10"),
        ({}, "every=1"),
        (
            {"schedule": sppkit.schedule(wait=1, active=2)},
            "schedule(active=2, wait=1, warmup=0, repeat=0, skip_first=0)",
        ),
        (
            {"schedule": torch.profiler.schedule(wait=1, warmup=1, active=2)},
            "schedule.<locals>.schedule_fn",
        ),
    ],
)
def test_the_metadata_say_which_steps_are_recorded(arguments, said):
    recording = sppkit.record(net(), **arguments, run="net")
    assert recording.metadata["net"]["schedule"] == said


def _recorded_on_two_ranks(rank):
    recording, counts = train(net(), 5, schedule=sppkit.schedule(wait=1, active=1))
    return recording.table()[["rank", "step"]].drop_duplicates().to_numpy().tolist(), counts


def test_all_ranks_record_the_same_steps(tmp_path):
    (merged, first), (alone, second) = run_ranks(_recorded_on_two_ranks, tmp_path)
    assert merged == [[-1, 1], [-1, 3]]
    assert alone == []
    assert [count > 0 for count in first] == [count > 0 for count in second]


def test_every_and_a_schedule_together_are_refused():
    with pytest.raises(ValueError, match=r"every=3 and schedule= were both given.*keep one"):
        sppkit.record(net(), every=3, schedule=sppkit.schedule(active=1))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"active": 0}, r"schedule\(active=0\) must be a whole number of steps, 1 or more"),
        ({"active": 1, "wait": -1}, r"schedule\(wait=-1\) must be .* 0 or more"),
        ({"active": 1.5}, r"schedule\(active=1.5\)"),
        ({"active": 1, "repeat": True}, r"schedule\(repeat=True\)"),
    ],
)
def test_numbers_that_are_no_counts_of_steps_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        sppkit.schedule(**arguments)


def test_what_is_no_schedule_is_refused():
    with pytest.raises(TypeError, match=r"schedule must be a function of the step's number.*tuple"):
        sppkit.record(net(), schedule=(1, 2))
    with pytest.raises(TypeError, match=r"schedule\(0\) returned None; expected True"):
        sppkit.record(net(), schedule=lambda step: None)
    with pytest.raises(ValueError, match=r"every=1\.5 must be 1 or more"):
        sppkit.record(net(), every=1.5)
