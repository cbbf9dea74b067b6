"""Every rule begins to speak at its threshold: a percent on either side of it decides."""

import math

import numpy as np
import pandas as pd
import pytest

from sppkit.recording import Recording
from sppkit.rules import Severity, all_rules
from tests.rules.frames import Layer, chain, recording
from tests.rules.test_forward_rules import drifting, dropping, outcome, plain, selu
from tests.rules.test_other_rules import classifier, grouped, recurrent, residual, softmax


def gradients(ratio):
    """Of every layer |gradient| / |weight| is this; the weights' root mean square is 1/4."""
    return recording(chain(7, weight_gradient=ratio / 4))


def energy(factor):
    layers = chain(9)
    layers[0].gradient *= factor
    return recording(layers)


def loss(ratio):
    values = {str(seed): 2.0 * ratio for seed in range(3)}
    return recording(chain(4), metadata={"loss": {"chance": 2.0, "values": values}})


def growth_over_calls(decades):
    return recurrent(10 ** (-decades / 7), calls=8)


def jump(factor):
    layers = drifting(1.0)
    for layer in layers[7:]:
        layer.second_moment *= factor
    return recording(layers)


def shift(ratio):
    layers = chain(6)
    layers[3].variance = layers[3].second_moment / (1 + ratio)
    return recording(layers)


def selu_with(number, **activation):
    layers = selu(1.0)
    for layer in layers[:number]:
        layer.activation |= activation
    return recording(layers)


def dropout(decades, layers=6):
    return dropping(1 - 10 ** (-decades / layers), count=layers)


def one_branch(ratio):
    network = residual(1.0)
    table = network.table()
    table.loc[table["layer"] == "3.f", "second_moment"] *= ratio
    return Recording.from_frames(table, network.structure(), network.metadata)


def bottleneck(units):
    layers = chain(5)
    layers[2].activation["channels"] = units
    layers[3].structure["fan_in"] = units
    return classifier(layers)


def gain(factor, values=1024):
    """The weights' variance is so many times that of He's initialisation, of so many weights."""
    layers = chain(5)
    layers[2].weight *= factor
    network = recording(layers)
    table = network.table()
    table.loc[(table["layer"] == "2") & (table["signal"] == "weight"), "samples"] = values // 32
    return Recording.from_frames(table, network.structure(), network.metadata)


def half_precision(**activation):
    layers = chain(4)
    layers[2].activation |= {"dtype": "float16", **activation}
    return recording(layers)


def dead(share, samples=64.0, heard=True):
    layers = chain(5)
    layers[2].activation |= {"dead_channel_fraction": share, "samples": samples}
    layers[4].variance = 1.0 if heard else 0.0
    return recording(layers)


def saturated(deviation, mean=0.0):
    bounded = [Layer(str(n), 1.0, structure={"nonlinearity": "tanh"}) for n in range(4)]
    bounded[1].activation |= {"variance": deviation**2, "mean": mean}
    return recording(bounded)


def answers(share):
    layers = chain(6)
    layers[-1].variance = share * layers[-1].second_moment
    return recording(layers)


def unseen(share):
    """So much of the parameters belongs to a layer that was never called."""
    network = recording(chain(4))
    rows = network.structure().to_dict("records")
    seen = sum(row["parameters"] for row in rows)
    added = {
        **rows[0],
        "layer": "unseen",
        "depth": None,
        "parameters": round(seen * share / (1 - share)),
    }
    structure = pd.DataFrame([*rows, added])
    return Recording.from_frames(network.table(), structure, network.metadata)


def normalised_over(samples):
    norm = Layer("norm", structure={"computes": "batch_norm", "fan_in": None}, weight=None)
    norm.activation["samples"] = samples
    return recording([*chain(3), norm])


# the deviation of a normal half of whose values lie beyond 5: 5 / 0.67449
HALF_BEYOND = 5.0 / 0.6744897501960817

# Code, threshold, the network of a value, and which way it gets sick: +1 upwards, -1 downwards.
# Margins are standard errors of three seeds, of which each varies by 0.05 decades at least.
LIMITS = {
    "relative gradient, least": ("SPP201", 3e-5, gradients, -1),
    "relative gradient, most": ("SPP202", 600.0, gradients, +1),
    "energy that grows": ("SPP203", 10**2.75, energy, +1),
    "energy that falls": ("SPP203", 10**-6.5, energy, -1),
    "first loss": ("SPP204", 30.0, loss, +1),
    "gradients over calls": ("SPP206", 4.0, growth_over_calls, +1),
    "decay": ("SPP101", 10**-0.9, lambda factor: recording(drifting(factor)), -1),
    "growth": ("SPP101", 10**0.9, lambda factor: recording(drifting(factor)), +1),
    "gain of a place": ("SPP102", 30 * 10 ** (3 * 0.05 / math.sqrt(3)), jump, +1),
    "loss of a place": ("SPP102", 10 ** (-3 * 0.05 / math.sqrt(3)) / 30, jump, -1),
    "exponential drift": ("SPP103", 50**0.1, lambda factor: recording(drifting(factor)), +1),
    "mean shift": ("SPP104", 100.0, shift, +1),
    "mean of SELU": ("SPP107", 0.1, lambda mean: selu_with(8, mean=mean), +1),
    "negative mean of SELU": ("SPP107", -0.1, lambda mean: selu_with(8, mean=mean), -1),
    "most variance of SELU": ("SPP107", 1.5, lambda v: selu_with(8, variance=v), +1),
    "least variance of SELU": ("SPP107", 0.8, lambda v: selu_with(8, variance=v), -1),
    "ordered phase": ("SPP108", 2 * math.exp(-6 / 20), lambda g: recording(plain(g)), -1),
    "chaotic phase": ("SPP108", 2 * math.exp(6 / 20), lambda g: recording(plain(g)), +1),
    "noise of dropout": ("SPP109", 1.5, dropout, +1),
    "silent branch": ("SPP105", 1e-6, one_branch, -1),
    "dominant branch": ("SPP105", 1e4, one_branch, +1),
    "branches": ("SPP105", 30.0, residual, +1),
    "gain of no initialisation": (
        "SPP303",
        1.5 * math.exp(4 * math.sqrt(2 / 1024)),
        gain,
        +1,
    ),
    "gain of few weights": (
        "SPP303",
        1.5 * math.exp(4 * math.sqrt(2 / 64)),
        lambda factor: gain(factor, values=64),
        +1,
    ),
    "groups, most": ("SPP304", 1.4 * 2.0 / 64, lambda g: grouped(g, groups=64), -1),
    "size of weights": ("SPP305", 6.0, lambda size: recording(chain(5, weight=size**2)), +1),
    "headroom": ("SPP402", 65504 / 4, lambda m: half_precision(maximum=m), +1),
    "headroom of negative values": ("SPP402", -65504 / 4, lambda m: half_precision(minimum=m), -1),
    "underflow": ("SPP402", 0.5, lambda s: half_precision(float16_underflow_fraction=s), +1),
    "dead channels": ("SPP501", 0.5, dead, +1),
    "values of a dead channel": ("SPP501", 64.0, lambda number: dead(0.6, number), +1),
    "dead layer": ("SPP501", 0.999, lambda share: dead(share, samples=16.0), +1),
    "saturation": ("SPP502", HALF_BEYOND, saturated, +1),
    "saturation by the mean": ("SPP502", 5.0, lambda mean: saturated(1e-3, mean), +1),
    "saturation by a negative mean": ("SPP502", -5.0, lambda mean: saturated(1e-3, mean), -1),
    "saturation of a constant": ("SPP502", 5.0, lambda mean: saturated(0.0, mean), +1),
    "one answer": ("SPP503", 1e-8, answers, -1),
    "certainty of a softmax": ("SPP505", 0.8, lambda c: softmax(c, answers=4), +1),
    "coverage": ("SPP901", 0.2, unseen, +1),
    "batch dependence": ("SPP903", 8.0, normalised_over, -1),
}


@pytest.mark.parametrize("limit", LIMITS)
def test_a_rule_speaks_a_percent_beyond_its_threshold_and_not_before(limit):
    code, threshold, network, upwards = LIMITS[limit]
    percent = 0.01 * upwards * np.sign(threshold)
    assert outcome(network(threshold * (1 - percent)), code) == "passed"
    assert outcome(network(threshold * (1 + percent)), code).code == code


def test_every_rule_with_thresholds_is_among_them():
    named = {code for code, *_ in LIMITS.values()}
    elsewhere = {
        "SPP001",  # fitted
        "SPP106",  # none
        "SPP110",  # values are whole numbers, below
        "SPP302",  # shares of whole layers, below
        "SPP401",  # any value at all
    }
    assert {rule.code for rule in all_rules() if rule.thresholds} - elsewhere == named


# -- errors and warnings ---------------------------------------------------------------------------


@pytest.mark.parametrize(("ratio", "severity"), [(990, Severity.WARNING), (1010, Severity.ERROR)])
def test_a_hopeless_first_loss_is_an_error(ratio, severity):
    assert outcome(loss(ratio), "SPP204").severity is severity


@pytest.mark.parametrize(("missing", "severity"), [(9, Severity.WARNING), (10, Severity.ERROR)])
def test_weights_without_gradient_are_an_error_where_they_are_more_than_nine_tenths(
    missing, severity
):
    layers = chain(10)
    for layer in layers[:missing]:
        layer.weight_gradient = None
    assert outcome(recording(layers), "SPP302").severity is severity


@pytest.mark.parametrize(
    ("share", "heard", "severity"),
    [
        (0.998, False, Severity.WARNING),
        (1.0, False, Severity.ERROR),
        (1.0, True, Severity.WARNING),
    ],
)
def test_dead_units_are_an_error_where_all_are_and_the_output_hears_nothing(share, heard, severity):
    assert outcome(dead(share, heard=heard), "SPP501").severity is severity


@pytest.mark.parametrize(
    ("units", "severity"), [(1, Severity.ERROR), (2, Severity.WARNING), (3, Severity.WARNING)]
)
def test_a_bottleneck_of_two_or_three_values_is_a_warning(units, severity):
    assert outcome(bottleneck(units), "SPP110").severity is severity
    assert outcome(bottleneck(4), "SPP110") == "passed"


# -- shares of layers, calls, answers --------------------------------------------------------------


def test_more_than_half_of_the_layers_before_selu_have_to_leave_its_domain():
    assert outcome(selu_with(4, variance=4.0), "SPP107") == "passed"
    assert outcome(selu_with(5, variance=4.0), "SPP107").code == "SPP107"


def test_a_recurrence_has_four_calls_at_least():
    assert "no layer is called again" in outcome(recurrent(1e-3, calls=3), "SPP206")
    assert outcome(recurrent(1e-3, calls=4), "SPP206").code == "SPP206"


def test_a_softmax_of_three_answers_is_not_one_of_attention():
    assert "no softmax within the network" in outcome(softmax(0.97, answers=3), "SPP505")
    assert outcome(softmax(0.97, answers=4), "SPP505").code == "SPP505"


def test_no_jump_is_told_of_three_places_and_no_slope_either():
    for code in ("SPP102", "SPP103"):
        assert "fewer than four places" in outcome(recording(drifting(9.0, 4)), code)
        assert "fewer" not in outcome(recording(drifting(1.0, 5)), code)


def test_no_drift_is_told_of_two_places():
    assert "fewer than three places" in outcome(recording(drifting(9.0, 3)), "SPP101")
    assert outcome(recording(drifting(10**4.55, 4)), "SPP101").code == "SPP101"
