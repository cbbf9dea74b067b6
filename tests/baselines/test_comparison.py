"""How far a network moved, in units of the spread between seeds: against numbers worked by hand."""

import math

import numpy as np
import pytest
import torch
from torch import nn

import sppkit
from sppkit.baselines import compare
from sppkit.baselines.comparison import CHANCE, ROUNDING
from sppkit.recording import Recording


def chain(gain=1.0, depth=6, width=32):
    layers = []
    for _ in range(depth):
        linear = nn.Linear(width, width)
        nn.init.normal_(linear.weight, std=gain * (2 / width) ** 0.5)
        layers += [linear, nn.ReLU()]
    return nn.Sequential(*layers)


def probed(model=chain, seeds=5, **options):
    return sppkit.probe(model, input_size=(32,), seeds=seeds, run="net", **options)


def rows(values, layer="a", statistic="second_moment"):
    """Make a recording of one layer with one value for each seed."""
    row = {
        "run": "net",
        "rank": -1,
        "step": 0,
        "phase": "probe",
        "depth": 0,
        "layer": layer,
        "call": 0,
        "operation": "",
        "tensor": "",
        "signal": "activation",
        "layer_type": "Linear",
        "role": "leaf",
        "tap": "",
        "passes": 1,
        "batch": 4,
        "channels": 2,
        "samples": 4,
        "dtype": "float32",
        "flags": "",
        "average_channel_variance": 1.0,
    }
    seeds = [{**row, "seed": seed, statistic: value} for seed, value in enumerate(values)]
    return Recording(seeds, [], {"net": {}})


def shift(before, after):
    found = compare(rows(before), rows(after)).shifts
    return found[found["statistic"] == "second_moment"].iloc[0]


def test_the_shift_is_that_of_the_mean_logarithm_over_the_pooled_spread():
    before, after = [1.0, 2.0, 4.0], [8.0, 4.0, 16.0]
    logs = np.log(before), np.log(after)
    pooled = math.sqrt((logs[0].var(ddof=1) + logs[1].var(ddof=1)) / 2)
    found = shift(before, after)
    assert found["before"] == pytest.approx(2.0)
    assert found["after"] == pytest.approx(8.0)
    assert found["ratio"] == pytest.approx(4.0)
    assert found["sigma"] == pytest.approx(pooled)
    assert found["sigmas"] == pytest.approx(math.log(4) / pooled)


def test_a_difference_of_rounding_is_none():
    found = shift([1.0, 1.0], [1.0 + 1e-6, 1.0 + 1e-6])
    assert found["sigma"] == ROUNDING
    assert abs(found["sigmas"]) < 0.01


@pytest.mark.parametrize(
    ("before", "after", "sigmas"),
    [
        ([0.0, 0.0], [0.0, 0.0], 0.0),
        ([1.0, 2.0], [0.0, 0.0], -math.inf),
        ([0.0, 0.0], [1.0, 2.0], math.inf),
        ([1.0, 2.0], [math.nan, math.nan], math.inf),
        ([math.nan, math.nan], [1.0, 2.0], -math.inf),
        ([math.nan, math.nan], [math.nan, math.nan], 0.0),
        ([1.0, 2.0], [math.inf, math.inf], math.inf),
    ],
)
def test_a_signal_that_dies_or_leaves_the_numbers_moved_infinitely(before, after, sigmas):
    assert shift(before, after)["sigmas"] == sigmas


def test_one_seed_on_both_sides_knows_no_spread():
    found = compare(rows([1.0]), rows([5.0]))
    assert not found.has_spread
    assert len(found.moved()) == 0
    assert found.shifts["ratio"].max() == pytest.approx(5.0)


@pytest.mark.parametrize("seeds", [3, 5, 8])
def test_few_seeds_take_chance_for_a_move_as_rarely_as_many(seeds):
    """Of normal logarithms, a share of `CHANCE` or less lies beyond what counts as moved."""
    draws = np.random.default_rng(0).normal(size=(2, 40_000, seeds))
    spread = np.sqrt(draws.var(axis=-1, ddof=1).mean(axis=0))
    size = np.abs(np.diff(draws.mean(axis=-1), axis=0)[0])
    least = compare(rows([1.0] * seeds), rows([1.0] * seeds)).shifts["least"].iloc[0]
    assert (size / spread > least).mean() == pytest.approx(CHANCE, abs=1.5e-4)


def test_the_same_seeds_of_the_same_network_do_not_move_at_all():
    assert (compare(probed(), probed()).shifts["sigmas"] == 0).all()


def test_other_seeds_of_the_same_network_do_not_move():
    before = probed()
    for first in (5, 10, 15):
        assert len(compare(before, probed(seed=first)).moved()) == 0


def test_a_changed_layer_moves_it_and_those_behind_it():
    def changed():
        model = chain()
        with torch.no_grad():
            model[4].weight.mul_(10)
        return model

    moved = compare(probed(), probed(changed)).moved()
    activations = moved[moved["signal"] == "activation"]
    assert list(dict.fromkeys(activations["layer"])) == [*map(str, range(4, 12)), ""]
    weights = moved[moved["signal"] == "weight"]
    assert list(weights["layer"]) == ["4"]
    assert weights["ratio"].iloc[0] == pytest.approx(100, rel=0.01)


def test_layers_of_one_side_alone_are_named():
    found = compare(rows([1.0, 2.0], "a"), rows([1.0, 2.0], "b"))
    assert (found.only_before, found.only_after) == (("a",), ("b",))
    assert found.shifts.empty


def test_a_run_is_named_where_there_are_several():
    both = sppkit.combine([probed(seeds=2), probed(seeds=2)])
    with pytest.raises(ValueError, match="one of 'net', 'net #2'"):
        compare(both, probed(seeds=2))
    assert len(compare(both, probed(seeds=2), run="net #2").moved()) == 0
    with pytest.raises(ValueError, match="no step 7"):
        compare(probed(seeds=2), probed(seeds=2), step=7)
