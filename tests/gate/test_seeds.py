"""How many seeds a verdict takes, and that it is the same whichever they are."""

import math
from collections import Counter

import numpy as np
import pytest
from scipy import stats

from benchmarks.flake.networks import plain, small_references
from benchmarks.flake.replay import RecordedSeeds, decided, decisions, flake_rate
from sppkit.gate import record_evidence
from sppkit.gate.examination import decide
from sppkit.gate.seeds import CONFIDENCE, clarity, next_number_of_seeds, standard_errors_needed
from sppkit.rules import Diagnosis, Finding, Severity

SEEDS = (0, 1, 2, 3, 4)


def finding(code, severity=Severity.ERROR, ignored=""):
    return Finding(code, severity, "layer", "", "", 1.0, "", "", "", ignored=ignored)


def diagnosis(*findings, seeds=SEEDS, **nearness):
    return Diagnosis("net", findings=findings, seeds=seeds, nearness=nearness)


@pytest.mark.parametrize("seeds", [3, 5, 8, 12, 20])
def test_the_standard_errors_needed_are_the_quantile_of_students_t(seeds):
    assert standard_errors_needed(seeds) == pytest.approx(stats.t(seeds - 1).ppf(CONFIDENCE))


def test_two_seeds_can_be_clear():
    assert standard_errors_needed(2) == 30.0
    assert clarity(diagnosis(seeds=(0, 1), SPP101=-40.0)).is_clear


def test_one_seed_can_not_be_clear():
    assert standard_errors_needed(1) == math.inf
    assert not clarity(diagnosis(seeds=(0,), SPP101=-50.0)).is_clear


@pytest.mark.parametrize(
    ("judged", "is_clear", "near"),
    [
        (diagnosis(), True, []),
        (diagnosis(SPP101=-7.0, SPP201=-80.0), True, []),
        (diagnosis(SPP101=-5.0, SPP201=-80.0), False, ["SPP101"]),
        (diagnosis(finding("SPP101"), SPP101=7.0, SPP201=-1.0), True, []),
        (diagnosis(finding("SPP101"), SPP101=1.0, SPP201=-1.0), False, ["SPP101", "SPP201"]),
        (diagnosis(finding("SPP401"), SPP101=1.0), True, []),
        (diagnosis(finding("SPP101", Severity.WARNING), SPP101=-1.0), False, ["SPP101"]),
        (diagnosis(finding("SPP101", ignored="known"), SPP101=1.0), True, []),
    ],
    ids=[
        "nothing measured by distance",
        "far from every threshold",
        "a pass near one of them",
        "one error is clear, whatever the others are",
        "no error is clear",
        "an error that holds or does not",
        "warnings decide nothing",
        "ignored findings decide nothing",
    ],
)
def test_a_verdict_is_clear_where_other_seeds_would_give_it_too(judged, is_clear, near):
    found = clarity(judged)
    assert found.is_clear is is_clear
    assert list(found.near) == near


def test_the_number_of_seeds_grows_by_half_up_to_the_maximum():
    numbers = [5]
    while numbers[-1] < 20:
        numbers.append(next_number_of_seeds(numbers[-1], 20))
    assert numbers == [5, 8, 12, 18, 20]
    assert next_number_of_seeds(1, 5) == 2


class Population:
    """A probe and a judge of a statistic whose logarithm is normal around a true distance."""

    run, is_instance = "net", False

    def __init__(self, distance, generator):
        self.distance, self.generator = distance, generator
        self.failed = {}
        self.values = []

    def measure(self, seeds, on_seed=None):
        self.values += [self.generator.normal(self.distance) for _ in seeds]

    def recording(self):
        return self

    @property
    def metadata(self):
        return {"net": {"remarks": []}}

    def judge(self, _):
        values = np.array(self.values)
        beyond = values.mean() / (values.std(ddof=1) / math.sqrt(len(values)))
        found = [finding("SPP101")] if beyond > 0 else []
        return diagnosis(*found, seeds=tuple(range(len(values))), SPP101=beyond)


@pytest.mark.parametrize("distance", [-1.5, 1.5])
def test_a_population_away_from_the_threshold_is_decided_wrongly_once_in_hundreds(
    distance, monkeypatch
):
    """Five seeds alone err in 0.1 % at 1.5 standard deviations, more than five hardly ever."""
    generator = np.random.default_rng(0)
    verdicts, numbers = Counter(), Counter()
    for _ in range(2000):
        population = Population(distance, generator)
        monkeypatch.setattr("sppkit.gate.examination.judge", population.judge)
        examination = decide(population, 0, 5, 20, {})
        verdicts[examination.diagnosis.verdict] += 1
        numbers[len(examination.diagnosis.seeds)] += 1
    assert flake_rate(verdicts) <= 0.002
    assert verdicts.most_common(1)[0][0] == ("fail" if distance > 0 else "pass")
    assert np.average(list(numbers), weights=list(numbers.values())) < 13


def test_five_seeds_alone_would_err_more_often_near_a_threshold(monkeypatch):
    """Half a standard deviation from the threshold the additional seeds are what decides."""
    generator = np.random.default_rng(0)
    flakes = {}
    for maximum in (5, 40):
        verdicts = Counter()
        for _ in range(1000):
            population = Population(0.5, generator)
            monkeypatch.setattr("sppkit.gate.examination.judge", population.judge)
            verdicts[decide(population, 0, 5, maximum, {}).diagnosis.verdict] += 1
        flakes[maximum] = flake_rate(verdicts)
    assert flakes[5] > 0.08
    assert flakes[40] < 0.01


@pytest.fixture(scope="module")
def recorded():
    """Seeds of a healthy small reference and of two sick networks, recorded once."""
    networks = {
        "mlp": (small_references()[0].build, (64,)),
        "dying": (plain(0.3), (64,)),
        "exploding": (plain(3.0), (64,)),
    }
    return {
        name: RecordedSeeds(
            record_evidence(build, input_size=size, seeds=24, rehearsal=24, run=name)
        )
        for name, (build, size) in networks.items()
    }


@pytest.mark.parametrize(
    ("name", "verdict"), [("mlp", "pass"), ("dying", "fail"), ("exploding", "fail")]
)
def test_the_verdict_is_the_same_for_every_draw_of_recorded_seeds(recorded, name, verdict):
    verdicts, _ = decisions(recorded[name], 40, generator=np.random.default_rng(1))
    assert dict(verdicts) == {verdict: 40}


def test_a_replayed_decision_is_the_one_that_was_measured(recorded):
    import sppkit

    measured = sppkit.check(small_references()[0].build, input_size=(64,), run="mlp")
    replayed = decided(recorded["mlp"], list(range(20))).diagnosis
    assert replayed.seeds == measured.seeds
    assert replayed.evidence == pytest.approx(measured.evidence, nan_ok=True)
    assert replayed.nearness == pytest.approx(
        {code: measured.nearness[code] for code in replayed.nearness}
    )
