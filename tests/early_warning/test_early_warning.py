import io
import re

import numpy as np
import pytest
import torch
from torch import nn

import sppkit
from sppkit.early_warning.rates import Rates


class Net(nn.Sequential):
    def __init__(self):
        super().__init__(
            nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 4)
        )


def batches(steps):
    generator = torch.Generator().manual_seed(0)
    for _ in range(steps):
        x = torch.randn(32, 8, generator=generator)
        yield x, x[:, :4].argmax(1)


class Loop:
    """A user's own loop, whose rate is multiplied at some step."""

    def __init__(self, *, factor=1.0, at=40, every=2, **warning):
        torch.manual_seed(0)
        self.model = Net()
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.1)
        self.recording = sppkit.record(self.model, optimizer=self.optimizer, every=every)
        self.warning = sppkit.EarlyWarning(self.recording, spacing=2, **warning)
        self.factor, self.at, self.steps = factor, at, 0

    def run(self, steps=100):
        with self.recording:
            for x, y in batches(steps):
                if self.steps == self.at:
                    self.optimizer.param_groups[0]["lr"] *= self.factor
                self.optimizer.zero_grad()
                nn.functional.cross_entropy(self.model(x), y).backward()
                self.optimizer.step()
                self.steps += 1
                if self.warning.should_stop:
                    break
        return self


def test_a_loop_that_learns_gives_no_event():
    loop = Loop().run()
    assert loop.warning.events == []
    assert not loop.warning.should_stop
    assert loop.steps == 100


def test_a_rate_that_becomes_too_high_is_told_and_stops_the_loop():
    loop = Loop(factor=1000.0, stop_on="warning").run()
    first = loop.warning.events[0]
    assert first.step == 42  # step 40 took the rate; 42 is the next that is recorded
    assert loop.steps == 43
    assert str(first).startswith("step 42: warning SPP601: parameters leave their course: at ")
    assert first.advice == (
        "Lower the learning rate: parameters grow as they did not in the steps before."
    )


def test_without_a_severity_to_stop_on_the_loop_goes_on():
    loop = Loop(factor=1000.0).run()
    assert loop.steps == 100
    assert {str(event.severity) for event in loop.warning.events} == {"warning", "error"}


def test_a_loop_that_is_to_stop_on_errors_goes_on_after_warnings():
    warned, erred = (Loop(factor=30.0, stop_on=s).run() for s in ("warning", "error"))
    assert (warned.steps, erred.steps) == (43, 100)
    assert {str(event.severity) for event in erred.warning.events} == {"warning"}
    assert Loop(factor=1000.0, stop_on="error").run().steps == 43


def test_events_are_new_once():
    loop = Loop(factor=1000.0).run()
    assert loop.warning.new_events() == loop.warning.events != []
    assert loop.warning.new_events() == []


def test_a_warning_goes_on_from_a_checkpoint(tmp_path):
    whole = Loop(factor=1000.0, at=60).run()
    first = Loop(factor=1000.0, at=60).run(50)
    file = io.BytesIO()
    torch.save(first.warning.state_dict(), file)
    file.seek(0)
    state = torch.load(file, weights_only=True)

    second = Loop(factor=1000.0, at=60)
    second.model.load_state_dict(first.model.state_dict())
    second.steps = 50
    second.recording = sppkit.record(
        second.model, optimizer=second.optimizer, every=2, first_step=50
    )
    second.warning = sppkit.EarlyWarning(second.recording, spacing=2)
    second.warning.load_state_dict(state)
    with second.recording:
        for number, (x, y) in enumerate(batches(100)):
            if number < 50:
                continue
            if number == 60:
                second.optimizer.param_groups[0]["lr"] *= 1000.0
            second.optimizer.zero_grad()
            nn.functional.cross_entropy(second.model(x), y).backward()
            second.optimizer.step()
    assert whole.warning.events
    assert second.warning.events == whole.warning.events


def test_events_that_were_told_are_not_new_after_a_resume():
    stopped = Loop(factor=1000.0, stop_on="warning").run()
    again = Loop(stop_on="warning")
    again.warning.load_state_dict(stopped.warning.state_dict())
    assert again.warning.events == stopped.warning.events
    assert again.warning.new_events() == []
    assert again.warning.should_stop


def test_what_is_no_state_is_refused():
    with pytest.raises(ValueError, match=r"no state of an early warning.*KeyError\('watch'\)"):
        Loop().warning.load_state_dict({})


def test_listeners_hear_the_rows_of_the_table():
    heard = []
    loop = Loop()
    loop.recording.listen(heard.append)
    loop.run(20)
    table = loop.recording.table()
    assert sum(len(columns["layer"]) for columns in heard) == len(table)
    moments = np.concatenate([columns["second_moment"] for columns in heard])
    np.testing.assert_array_equal(moments, table["second_moment"])
    assert sorted({columns["step"] for columns in heard}) == list(range(0, 20, 2))


def test_a_watched_recording_is_the_unwatched_one():
    watched = Loop().run(20).recording.table()
    torch.manual_seed(0)
    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with sppkit.record(model, optimizer=optimizer, every=2) as recording:
        for x, y in batches(20):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()
    assert watched.equals(recording.table())


def test_updates_that_are_recorded_are_what_is_judged():
    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    signals = ["weight", "update"]
    with sppkit.record(model, optimizer=optimizer, signals=signals) as recording:
        warning = sppkit.EarlyWarning(recording, select=["SPP604"], spacing=1)
        for x, _ in batches(5):
            optimizer.zero_grad()
            model(x).sum().backward()
            for parameter in model.parameters():
                parameter.grad.copy_(parameter.detach())  # an update of 0.2 of each weight
            optimizer.param_groups[0]["lr"] = 0.2
            optimizer.step()
    (event,) = warning.events
    assert event.evidence["measured"] == pytest.approx(0.2, rel=1e-5)
    assert event.evidence["signal"] == "update"


def test_rates_are_those_of_the_groups_by_name():
    model = Net()
    groups = [{"params": [model[0].weight], "lr": 0.5}, {"params": [model[2].bias]}]
    sgd = Rates(model, torch.optim.SGD(groups, lr=0.1)).now()
    assert {name: rate.rate for name, rate in sgd.items()} == {"0.weight": 0.5, "2.bias": 0.1}
    assert not sgd["0.weight"].is_normalised
    adam = Rates(model, torch.optim.AdamW(model.parameters(), lr=0.3)).now()
    assert adam["4.weight"].rate == 0.3
    assert adam["4.weight"].is_normalised
    assert Rates(model, torch.optim.LBFGS(model.parameters())).now() == {}
    assert Rates(None, None).now() == {}


def test_without_an_optimiser_large_updates_are_not_measured():
    model = Net()
    with sppkit.record(model) as recording:
        warning = sppkit.EarlyWarning(recording)
        model(torch.randn(32, 8)).sum().backward()
    assert set(warning.not_measured) == {"SPP604", "SPP605", "SPP606"}
    assert "no optimiser" in warning.not_measured["SPP604"]
    assert repr(warning) == "EarlyWarning(0 events, 3 rules with nothing to look at)"


def test_what_is_no_recording_in_the_making_is_refused(tmp_path):
    with sppkit.record(model := Net()) as recording:
        model(torch.randn(4, 8)).sum().backward()
    recording.save(tmp_path / "run.parquet")
    with pytest.raises(TypeError, match=re.escape("as sppkit.record returns it, not Recording")):
        sppkit.EarlyWarning(sppkit.read(tmp_path / "run.parquet"))


def test_a_severity_that_is_none_is_refused():
    with pytest.raises(ValueError, match="stop_on='info' must be one of never, error, warning"):
        Loop(stop_on="info")


def test_the_network_itself_is_called_the_output():
    model = torch.nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=2.0)
    with sppkit.record(model, optimizer=optimizer) as recording:
        warning = sppkit.EarlyWarning(recording)
        for _ in range(100):
            optimizer.zero_grad()
            model(torch.ones(8, 4)).square().mean().backward()
            optimizer.step()
    assert warning.events
    messages = [event.message for event in warning.events if not event.evidence["tensor"]]
    assert messages
    assert all(": at the output " in message for message in messages)
