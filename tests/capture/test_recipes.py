"""Steps that look like an earlier one have the rows that a look at each reading gives."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import sppkit
from sppkit.capture import recorder
from tests.cases import CASES, loss_of


def recorded(case, monkeypatch, *, alike: bool, **options) -> tuple[sppkit.Recorder, int]:
    """Record four steps of a model; count those whose readings were not looked at."""
    repeated = []

    class Counted(recorder.Recipe):
        def columns(self, pages):
            repeated.append(1)
            return super().columns(pages)

    monkeypatch.setattr(recorder, "Recipe", Counted)
    if not alike:
        monkeypatch.setattr(recorder.Recorder, "_signature", lambda self: None)
    torch.manual_seed(0)
    model = case.build()
    inputs = case.inputs()
    with sppkit.record(model, **options) as recording:
        for _ in range(4):
            torch.manual_seed(1)
            model.zero_grad()
            loss = loss_of(model(*inputs))
            if loss is not None:
                loss.backward()
            recording.step()
            torch._foreach_mul_([p.detach() for p in model.parameters()] or [torch.ones(1)], 0.9)
    monkeypatch.undo()
    return recording, len(repeated)


def assert_same(found: sppkit.Recording, wanted: sppkit.Recording) -> None:
    tables = [recording.table() for recording in (found, wanted)]
    # Means of channels cancel: their sum has the digits of the root mean square, not its own.
    units = np.sqrt(tables[1].second_moment)
    means = [table.pop("mean") / units for table in tables]
    pd.testing.assert_series_equal(*means, rtol=0, atol=1e-14)
    pd.testing.assert_frame_equal(*tables, rtol=1e-12, atol=1e-30, check_categorical=False)
    assert found.not_captured == wanted.not_captured


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.parametrize("extended", [False, True])
def test_the_rows_are_those_of_single_readings(case, extended, monkeypatch):
    wanted, none = recorded(case, monkeypatch, alike=False, extended=extended)
    found, repeated = recorded(case, monkeypatch, alike=True, extended=extended)
    assert none == 0
    if len(found.table()):
        assert repeated == 2, "of four steps the first is traced, the second shows what there is"
    assert_same(found, wanted)


def of_two_passes(model, step):
    for _ in range(2):
        model(torch.randn(3, 4)).pow(2).mean().backward()


def of_two_phases(model, step):
    model(torch.randn(3, 4)).pow(2).mean().backward()
    model.eval()
    with torch.no_grad():
        model(torch.randn(5, 4))
    model.train()


def of_growing_sequences(model, step):
    model(torch.randn(3, 2 + step, 4)).pow(2).mean().backward()


def of_growing_batches(model, step):
    model(torch.randn(3 + step, 4)).pow(2).mean().backward()


def of_unequal_passes(model, step):
    model(torch.randn(3, 4)).pow(2).mean().backward()
    model(torch.randn(3, 4))


def unused_at_odd_steps(model, step):
    (model[:2] if step % 2 else model)(torch.randn(3, 4)).pow(2).mean().backward()


STEPS = [
    *(of_two_passes, of_two_phases, of_growing_sequences, of_growing_batches),
    *(of_unequal_passes, unused_at_odd_steps),
]


@pytest.mark.parametrize("take_step", STEPS)
def test_steps_of_all_kinds_have_the_rows_of_single_readings(take_step, monkeypatch):
    recordings = []
    for alike in (False, True):
        if not alike:
            monkeypatch.setattr(recorder.Recorder, "_signature", lambda self: None)
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 3))
        with sppkit.record(model) as recording:
            for step in range(5):
                model.zero_grad()
                take_step(model, step)
                recording.step()
        monkeypatch.undo()
        recordings.append(recording)
    assert_same(*recordings)


def test_a_recording_that_is_entered_again_knows_its_recipes(monkeypatch):
    looked_at = []
    monkeypatch.setattr(
        recorder.Recorder, "_collected", count(recorder.Recorder._collected, looked_at)
    )
    model = nn.Linear(4, 4)
    recording = sppkit.record(model)
    for _ in range(3):
        with recording:
            for _ in range(3):
                model(torch.randn(3, 4)).sum().backward()
                recording.step()
    assert len(looked_at) == 2, "the traced step, and the first one by plan"
    assert recording.table().step.nunique() == 9


def count(function, calls):
    def counted(*arguments):
        calls.append(1)
        return function(*arguments)

    return counted
