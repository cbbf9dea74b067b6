"""The early-warning benchmark: its spikes, its faults, and that a replay is the live warning."""

import dataclasses

import numpy as np
import pytest
import torch

from benchmarks.early_warning import recordings
from benchmarks.early_warning.catalogue import (
    FLOAT16,
    GAIN,
    HEALTHY,
    KINDS,
    RATE,
    cases,
    reference,
)
from benchmarks.early_warning.faults import BadBatches, GrowingGain, GrowingStream, Timed
from benchmarks.early_warning.recordings import folder_of, is_recorded, record_all
from benchmarks.early_warning.report import Part, write_report
from benchmarks.early_warning.score import Score, score
from benchmarks.early_warning.spike import first_spike
from sppkit.early_warning.event import Event


@pytest.fixture
def recorded(tmp_path, monkeypatch):
    """Record a case into a folder of its own."""
    monkeypatch.setattr(recordings, "RECORDINGS", tmp_path)

    def record(name, **changes):
        (case,) = [case for case in cases() if case.name == name]
        case = dataclasses.replace(case, **changes)
        assert record_all([case], float("inf")) == 0
        return case

    return record


# ------------------------------------------------------------------------------------- spikes


def noisy(level, steps, seed=0):
    return level * np.exp(0.2 * np.random.default_rng(seed).normal(size=steps))


def test_noise_and_single_batches_are_no_spike():
    losses = noisy(0.1, 400)
    losses[[100, 200, 300]] = 3.0
    assert first_spike(losses) is None


def test_a_loss_that_jumps_and_stays_is_a_spike_where_it_jumps():
    assert first_spike(np.concatenate([noisy(0.1, 200), noisy(1.0, 100)])) == 200


def test_a_loss_that_is_not_finite_is_a_spike():
    losses = noisy(0.1, 100)
    losses[77] = np.nan
    assert first_spike(losses) == 77


def test_what_was_learnt_and_is_forgotten_slowly_is_lost_where_half_of_chance_is_passed():
    losses = np.concatenate([np.full(100, 0.2), np.geomspace(0.2, 2.3, 200)])
    found = first_spike(losses)
    assert losses[found - 1] <= np.log(10) / 2 < losses[found]


def test_a_network_that_never_learns_has_no_spike():
    assert first_spike(noisy(2.3, 300)) is None


def test_before_the_onset_nothing_counts():
    losses = np.concatenate([noisy(0.1, 100), noisy(9.0, 20), noisy(0.1, 100), noisy(9.0, 20)])
    assert first_spike(losses) == 100
    assert first_spike(losses, 150) == 220


# ------------------------------------------------------------------------------------- faults


def test_a_fault_does_nothing_before_its_onset_and_counts_training_alone():
    timed = Timed(onset=2)
    seen = []
    for training in (True, False, True, True, True):
        timed.train(training).count()
        seen.append(timed.steps_since_onset)
    assert seen == [-1, -1, -1, 0, 1]


def test_a_bad_batch_is_bad_in_its_step_alone():
    network = BadBatches(torch.nn.Identity(), onset=1, scale=1000.0)
    x = torch.ones(1)
    assert [network(x).item() for _ in range(4)] == [1.0, 1000.0, 1.0, 1.0]


def test_growing_gains_grow_as_they_say():
    torch.manual_seed(0)
    network = GrowingGain(onset=0, growth=2.0, blocks=1)
    x = torch.randn(4, 64)
    steady = GrowingGain(onset=0, growth=1.0, blocks=1)
    steady.load_state_dict(network.state_dict())
    stem = steady.head(steady.stem(x))
    with torch.no_grad():
        branch = steady(x) - stem
        for step in range(3):
            torch.testing.assert_close(network(x) - stem, 2.0**step * branch)


def test_a_growing_stream_is_hidden_from_the_loss():
    torch.manual_seed(0)
    network, x = GrowingStream(onset=0, growth=3.0), torch.randn(4, 64)
    network.norm.eps = 0.0
    torch.testing.assert_close(network(x), network(x))


def test_every_training_has_a_name_of_its_own_and_every_kind_is_there():
    every = cases()
    assert len({case.name for case in every}) == len(every)
    assert {case.kind for case in every} == {HEALTHY, *KINDS}
    assert reference("sn_mlp")()(torch.randn(2, 64)).shape == (2, 10)
    half = [case.is_for_fitting for case in every]
    assert 0 < sum(half) < len(half) / 2


# ------------------------------------------------------------------------------------ replays


def test_a_replay_says_what_was_said_live(recorded):
    case = recorded("learning-rate-too-high-ffnn_digits-adam-times-2-per-epoch-seed0")
    live = [event for event in folder_of(case).events() if event["evidence"]]
    found = score(case, every=5)
    assert len(live) > 2
    assert [event.as_dict() for event in found.events] == [
        {name: value for name, value in event.items() if name != "epoch"} for event in live
    ]
    assert found.builds_up
    assert found.lead > 0
    assert is_recorded(case)


def test_a_healthy_run_is_all_healthy_steps(recorded):
    found = score(recorded("healthy-ffnn_digits-sgd-seed0"), every=5)
    assert found.is_healthy
    assert found.healthy_steps == 504
    assert found.false_alarms == []
    assert found.lead is None


# ------------------------------------------------------------------------------------- report


def made(kind, *, onset, spike, steps, accuracy=0.95):
    (case,) = [c for c in cases() if c.kind == kind and c.seed == 1][:1]
    case = dataclasses.replace(case, onset=onset, name=f"{kind} {accuracy}")
    events = [Event(step, "x", "warning", "a", "m", "a", {"code": "SPP601"}) for step in steps]
    return Score(case, 500, "finished", accuracy, spike, events)


def test_leads_and_false_alarms_are_counted_apart():
    scores = [
        made(RATE, onset=100, spike=300, steps=[50, 240, 290]),  # one false alarm, lead 60
        made(GAIN, onset=100, spike=300, steps=[310]),  # missed
        made(FLOAT16, onset=100, spike=110, steps=[105]),  # abrupt
        made(HEALTHY, onset=0, spike=None, steps=[20, 400]),  # two false alarms
        made(HEALTHY, onset=0, spike=None, steps=[20], accuracy=0.1),  # not healthy
    ]
    scores.append(made(RATE, onset=100, spike=300, steps=[50, 299]))  # alike up to the onset
    part = Part("all", scores)
    assert part.leads == [60, -1, 1]
    assert len(part.false_alarms) == 3
    assert part.healthy_steps == 3 * 100 + 500


def test_the_report_says_what_was_measured(tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.early_warning.report.RESULTS", tmp_path)
    scores = [
        made(RATE, onset=100, spike=300, steps=[240]),
        made(HEALTHY, onset=0, spike=None, steps=[20]),
    ]
    text = write_report(scores)
    assert "| reported | 2 | 1 | 60 | 1 | 600 |" in text
    assert f"| {RATE} | 1 | 1 | 1 | 60 |" in text
    assert "1 false alarm in 600 healthy steps (1.67 per 1,000)" in text
    assert (tmp_path / "report.md").read_text() == text
