import math

import pytest

from sppkit.rules import Severity, judge
from tests.rules.frames import Layer, chain, recording


def outcome(network, code, **arguments):
    """Give the findings, or the reason for which the rule was skipped."""
    diagnosis = judge(network, select=[code], **arguments)
    return diagnosis.findings[0] if diagnosis.findings else (
        diagnosis.skipped[0].reason if diagnosis.skipped else "passed"
    )  # fmt: skip


def drifting(factor, count=12, **every):
    return [
        Layer(str(n), second_moment=2.0 * factor**n, variance=factor**n, **every)
        for n in range(count)
    ]


# -- SPP101 forward drift ------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.0])
def test_a_mild_drift_is_no_error(factor):
    assert outcome(recording(drifting(factor)), "SPP101") == "passed"


@pytest.mark.parametrize(
    ("factor", "verb", "multiplier"), [(0.1, "shrinks", "3.16"), (10.0, "grows", "0.316")]
)
def test_a_uniform_drift_names_the_first_layer_that_drifted_and_the_factor(
    factor, verb, multiplier
):
    found = outcome(recording(drifting(factor)), "SPP101")
    assert found.severity is Severity.ERROR
    assert found.layer == "1"
    assert found.measured == pytest.approx(factor**10)
    assert f"{verb} by a factor of 1e+10 over 11 places" in found.message
    assert found.advice == f"Multiply the initial weights of all hidden layers by {multiplier}."
    assert found.fix.kind == "scale initialisation"
    assert found.fix.factor == pytest.approx(factor**-0.5)
    assert "11" not in found.fix.layers  # the head


def test_a_single_outlying_layer_is_blamed_instead_of_all():
    layers = drifting(1.0)
    for layer in layers[5:]:
        layer.second_moment *= 1e-10
        layer.variance *= 1e-10
    layers[5].weight *= 1e-10
    found = outcome(recording(layers), "SPP101")
    assert found.layer == "5"
    assert "1e-10 times the variance of its peers'" in found.message
    assert found.fix.layers == ("5",)
    assert found.fix.factor == pytest.approx(1e5)


def test_drift_is_not_judged_over_two_places():
    assert "fewer than three places" in outcome(recording(chain(3)), "SPP101")


def test_weights_before_a_normalisation_may_have_any_scale():
    layers = []
    for number in range(8):
        linear = Layer(f"{number}.linear", second_moment=100.0**number, variance=100.0**number)
        linear.structure = {"normalised_after": True, "after": "batch_norm > relu"}
        norm = Layer(f"{number}.norm", second_moment=1.0, weight=None)
        norm.structure = {"computes": "batch_norm", "fan_in": None, "layer_type": "BatchNorm1d"}
        layers += [linear, norm]
    assert outcome(recording([*layers, Layer("head")]), "SPP101") == "passed"


def test_the_margin_says_how_near_the_evidence_is_in_standard_errors():
    exactly = 10 ** (-9.0 / 10)
    near = judge(recording(drifting(exactly), seeds=5, spread=0.0), select=["SPP101"])
    assert near.nearness["SPP101"] == pytest.approx(0.0, abs=1e-6)
    far = judge(recording(drifting(1.0), seeds=5), select=["SPP101"])
    assert far.nearness["SPP101"] < -50


# -- SPP102, SPP103 ------------------------------------------------------------------------------


def test_a_place_that_jumps_unlike_its_peers_is_a_warning_there():
    layers = drifting(1.0)
    for layer in layers[7:]:
        layer.second_moment *= 400.0
    found = outcome(recording(layers), "SPP102")
    assert (found.layer, found.severity) == ("7", Severity.WARNING)
    assert found.message == (
        "the second moment changes by a factor of 400; by 1 at the median place"
    )
    assert found.fix.factor == pytest.approx(1 / 20)
    assert outcome(recording(drifting(3.0)), "SPP102") == "passed"


@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_a_place_behind_which_nothing_is_finite_is_no_jump(value):
    layers = drifting(1.0)
    for layer in layers[7:]:
        layer.second_moment = value
    assert outcome(recording(layers), "SPP102") == "passed"
    layers[3].second_moment *= 1e6
    assert outcome(recording(layers), "SPP102").layer == "3"


def test_exponential_drift_is_told_from_linear_growth():
    found = outcome(recording(drifting(2.0)), "SPP103")
    assert found.severity is Severity.WARNING
    assert found.measured == pytest.approx(2.0)
    growing = [Layer(str(n), second_moment=1.0 + 30 * n) for n in range(12)]
    assert outcome(recording(growing), "SPP103") == "passed"


def test_a_single_jump_is_no_exponential_drift():
    layers = drifting(1.0)
    for layer in layers[7:]:
        layer.second_moment *= 1e6
    assert outcome(recording(layers), "SPP103") == "passed"


# -- SPP104, SPP107, SPP108 ----------------------------------------------------------------------


def test_the_mean_shift_of_he_initialisation_passes_and_one_that_swamps_is_named():
    layers = [Layer(str(n), variance=2.0 / 16) for n in range(8)]
    assert outcome(recording(layers), "SPP104") == "passed"
    layers[4].variance = layers[5].variance = 1e-4
    found = outcome(recording(layers), "SPP104")
    assert found.layer == "4"
    assert found.measured == pytest.approx(2e4, rel=1e-3)
    assert found.fix.kind == "scaled weight standardisation"


def selu(variance, count=8):
    return [
        Layer(str(n), second_moment=variance, variance=variance, structure={"nonlinearity": "selu"})
        for n in range(count)
    ]


def test_the_domain_of_self_normalisation_is_that_of_the_theorem():
    assert outcome(recording(selu(1.0)), "SPP107") == "passed"
    found = outcome(recording(selu(4.0)), "SPP107")
    assert "mean 0 and variance 4, outside the domain of self-normalisation" in found.message
    assert found.fix.factor == pytest.approx(0.5)
    assert "no layer with weights is followed by SELU" in outcome(recording(chain(6)), "SPP107")


def plain(gain, count=20):
    return [
        Layer(str(n), second_moment=1.0, weight=gain / 32, structure={"after": "relu"})
        for n in range(count)
    ]


def test_the_depth_scale_of_relu_is_half_the_weight_variance():
    assert outcome(recording(plain(2.0)), "SPP108") == "passed"
    found = outcome(recording(plain(1.0)), "SPP108")
    assert found.severity is Severity.WARNING
    assert found.measured == pytest.approx(0.5, rel=1e-4)
    assert "0.5 (ordered phase): its depth scale is 1.4 layers, the network has 20" in found.message
    assert found.fix.factor == pytest.approx(math.sqrt(2.0), rel=1e-4)
    assert "chaotic phase" in outcome(recording(plain(4.0)), "SPP108").message


def test_networks_that_are_not_plain_have_no_depth_scale():
    layers = plain(1.0)
    layers[5].structure["computes"] = "conv2d"
    assert "no plain fully connected network" in outcome(recording(layers), "SPP108")


# -- SPP109 --------------------------------------------------------------------------------------


def dropping(share, count=6):
    layers = []
    for number in range(count):
        drop = Layer(f"{number}.drop", weight=None, activation={"zero_fraction": share})
        drop.structure = {"layer_type": "Dropout", "fan_in": None, "computes": "dropout"}
        layers += [Layer(f"{number}.linear"), drop]
    return recording([*layers, Layer("head")])


def test_the_noise_of_dropout_multiplies_over_layers():
    assert outcome(dropping(0.1), "SPP109") == "passed"
    found = outcome(dropping(0.5), "SPP109")
    assert (found.layer, found.severity) == ("0.drop", Severity.ERROR)
    assert found.measured == pytest.approx(64.0)
    assert "6 dropout layers multiply the second moment by 64 in all" in found.message
    assert "Lower p to 0.17 in each" in found.advice
