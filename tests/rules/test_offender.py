"""Whom rules blame: each kind of offender, the limits from which it is one, and their order."""

import math

import numpy as np
import pandas as pd
import pytest

from sppkit.rules import Fix
from sppkit.rules.curve import Curve
from sppkit.rules.evidence import Evidence
from sppkit.rules.initialisation import (
    KNOWN,
    Weights,
    ignores_groups,
    known_gains,
    preserving_gain,
    weights_of,
)
from sppkit.rules.offender import Offender, drifting_from, first_offender, steps_of, uniform_drift
from sppkit.theory import nonlinearity_moments
from tests.rules.frames import UNITS, Layer, chain, recording
from tests.rules.test_evidence import edited, evidence_of
from tests.rules.test_forward_rules import drifting


def with_parameter(network, layer, **values):
    """Add a row of a parameter to a layer: its bias, or its effective weight."""

    def edit(table):
        weight = table[(table["layer"] == layer) & (table["signal"] == "weight")]
        return pd.concat([table, weight.assign(**values)])

    return edited(network, edit)


def with_bias(network, layer, second_moment):
    return with_parameter(network, layer, tensor="bias", samples=1, second_moment=second_moment)


def test_layers_that_are_all_alike_have_no_offender():
    assert first_offender(evidence_of(chain(6))) is None


# -- not finite ------------------------------------------------------------------------------------


def test_the_first_values_that_are_not_finite_are_blamed():
    layers = chain(6)
    layers[4].weights["nonfinite_fraction"] = 1e-6
    wanted = "it holds the first values that are not finite"
    assert first_offender(evidence_of(layers)) == Offender("4", wanted, "Re-initialise it.")
    layers[2].weights["nonfinite_fraction"] = 1.0
    assert first_offender(evidence_of(layers)).layer == "2"
    layers[3].activation["nonfinite_fraction"] = 0.1
    assert first_offender(evidence_of(layers)).layer == "3"


@pytest.mark.parametrize("seeds", [1, 3])
def test_the_first_layer_may_be_the_one_that_is_not_finite(seeds):
    layers = chain(6)
    for place in (0, 1):
        layers[place].activation["nonfinite_fraction"] = 0.5
    assert first_offender(evidence_of(layers, seeds=seeds)).layer == "0"


def test_a_layer_that_was_never_called_is_not_blamed_for_what_is_not_finite():
    layers = chain(6)
    layers[4].weights["nonfinite_fraction"] = 1.0
    never = edited(recording(layers), lambda t: t.assign(depth=t["depth"].where(t["layer"] != "4")))
    assert first_offender(Evidence.of(never)) is None


# -- weights ---------------------------------------------------------------------------------------


def test_layers_whose_fan_in_ignores_their_groups_are_blamed_together():
    layers = chain(6)
    for place, groups in ((1, 8), (3, 16), (4, 8)):
        layers[place].structure["groups"] = groups
        layers[place].weight /= groups
    layers[4].structure["normalised_after"] = True
    assert first_offender(evidence_of(layers)) == Offender(
        "1",
        "its initialisation ignores its 8 groups, as 2 layers' do",
        "Multiply the initial weights of all 2 by √groups = 2.83.",
        Fix("group-aware fan", ("1", "3"), math.sqrt(8)),
    )


@pytest.mark.parametrize("sign", [-1, 1])
def test_weights_six_tenths_of_a_decade_off_their_peers_are_blamed(sign):
    layers = chain(6)
    layers[3].weight *= 10 ** (sign * 0.595)
    assert first_offender(evidence_of(layers)) is None
    layers[3].weight *= 10 ** (sign * 0.01)
    found = first_offender(evidence_of(layers))
    variance = 10 ** (sign * 0.605)
    assert found.layer == "3"
    assert found.why == (
        f"its weights have {variance:.3g} times the variance of its peers' (fan-in x variance = "
        f"{2 * variance:.3g})"
    )
    assert found.advice == f"Multiply its initial weights by {variance**-0.5:.3g}."
    assert found.fix == Fix("scale initialisation", ("3",), pytest.approx(variance**-0.5))


def test_peers_are_compared_by_what_each_needs():
    layers = chain(6)
    for place in (1, 2, 3, 4):  # all four times as large: the first layer is the odd one
        layers[place].weight *= 16
    found = first_offender(evidence_of(layers))
    assert (found.layer, found.fix.factor) == ("0", pytest.approx(math.sqrt(8)))


def test_two_inner_layers_are_no_peers_and_neither_head_nor_normalised_layers_count():
    layers = chain(4)
    layers[1].weight *= 100
    assert first_offender(evidence_of(layers)).layer == "1"
    layers[2].structure["normalised_after"] = True
    assert first_offender(evidence_of(layers)) is None


def test_weights_of_zero_are_drawn_anew():
    layers = chain(6)
    layers[2].weight = 0.0
    assert first_offender(evidence_of(layers)) == Offender(
        "2",
        "its weights are all zero",
        "Draw its weights anew.",
        Fix("re-initialise", ("2",)),
    )


@pytest.mark.parametrize("weight", [0.0, 1e-13 / UNITS])
def test_healthy_layers_are_not_blamed_where_most_weights_are_as_good_as_zero(weight):
    layers = chain(6)
    for place in (1, 2, 4, 5):
        layers[place].weight = weight
    layers[4].structure["normalised_after"] = True  # its scale has no effect; 5 is the head
    kind = "as good as zero (fan-in x variance = 1e-13)" if weight else "all zero"
    assert first_offender(evidence_of(layers)) == Offender(
        "1",
        f"its weights are {kind}, in 2 layers alike",
        "Draw the weights of all 2 anew.",
        Fix("re-initialise", ("1", "2")),
    )


def test_weights_above_what_is_as_good_as_zero_are_scaled():
    layers = chain(6)
    layers[2].weight = 1.1e-12 / UNITS
    assert first_offender(evidence_of(layers)).fix == Fix(
        "scale initialisation", ("2",), pytest.approx((2 / 1.1e-12) ** 0.5)
    )


def test_weights_that_silence_a_residual_branch_are_not_blamed():
    layers = chain(6)
    layers[1].weight = layers[2].weight = 0.0
    silent = {"silent_residual_weights": ["1.weight"]}
    assert first_offender(evidence_of(layers, metadata=silent)).fix == Fix("re-initialise", ("2",))
    silent["silent_residual_weights"].append("2.weight")
    assert first_offender(evidence_of(layers, metadata=silent)) is None


def test_a_bias_that_is_most_of_the_output_is_blamed():
    layers = chain(5, second_moment=4.0)
    network = recording(layers)
    assert first_offender(Evidence.of(with_bias(network, "2", 3.1))) is None
    assert first_offender(Evidence.of(with_bias(network, "2", 3.3))) == Offender(
        "2",
        "its bias (second moment 3.3) is 82% of its output",
        "Start the bias at zero.",
        Fix("reset biases", ("2",)),
    )
    small = recording(chain(5, second_moment=1.0))
    assert first_offender(Evidence.of(with_bias(small, "2", 0.99))) is None
    assert first_offender(Evidence.of(with_bias(small, "2", 1.01))).layer == "2"


def test_a_bias_of_the_head_has_no_output_to_be_compared_with():
    assert first_offender(Evidence.of(with_bias(recording(chain(5)), "4", 100.0))) is None


def test_a_loud_head_is_blamed_from_sixteen_times_its_peers_on():
    layers = chain(5)
    layers[4].weight *= 10**1.19
    assert first_offender(evidence_of(layers)) is None
    layers[4].weight *= 10**0.02
    assert first_offender(evidence_of(layers)) == Offender(
        "4",
        "fan-in x variance of the head's weights is 32.4",
        "Multiply the head's initial weights by 0.176.",
        Fix("scale initialisation", ("4",), pytest.approx((2 * 10**1.21) ** -0.5)),
    )


def test_the_gain_that_is_needed_is_known_by_the_names_that_recordings_have():
    assert preserving_gain("hardsigmoid") == preserving_gain("hard_sigmoid") > 1
    assert preserving_gain("logsigmoid") == preserving_gain("log_sigmoid") != 1


def test_a_head_is_no_peer_of_its_own():
    layers = chain(2)
    layers[1].weight *= 20
    assert first_offender(evidence_of(layers)).layer == "1"


def test_a_head_is_compared_with_one_where_its_peers_are_small():
    layers = chain(5, weight=0.1 / UNITS)
    layers[4].weight = 15.0 / UNITS
    assert first_offender(evidence_of(layers)) is None
    layers[4].weight = 17.0 / UNITS
    assert first_offender(evidence_of(layers)).layer == "4"


def test_a_quiet_head_does_no_harm():
    layers = chain(5)
    layers[4].weight *= 1e-6
    assert first_offender(evidence_of(layers)) is None


# -- the signal ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("sign", "told"), [(1, "0.627"), (-1, "1.59")])
def test_a_drift_of_four_decades_at_the_median_place_blames_all_layers_alike(sign, told):
    assert first_offender(evidence_of(drifting(10 ** (sign * 0.395), 12))) is None
    assert first_offender(evidence_of(drifting(10 ** (sign * 0.405), 12))) == Offender(
        "2",
        "every layer does the same",
        f"Multiply the initial weights of all hidden layers by {told}.",
        Fix(
            "scale initialisation",
            tuple(map(str, range(11))),
            pytest.approx(10 ** (-sign * 0.2025)),
        ),
    )


def test_a_drift_over_two_steps_is_no_uniform_one():
    assert first_offender(evidence_of(drifting(1e3, 4))) is None
    assert first_offender(evidence_of(drifting(1e3, 5))).why == "every layer does the same"


def test_a_uniform_drift_is_mended_where_no_normalisation_follows():
    layers = drifting(0.1, 6)
    layers[2].structure["normalised_after"] = True
    assert uniform_drift(evidence_of(layers)).fix.layers == ("0", "1", "3", "4")


def shifting(*decades):
    """Layers whose squared mean is so many decades above their variance."""
    layers = chain(len(decades))
    for layer, shift in zip(layers, decades, strict=True):
        layer.variance = layer.second_moment / (1 + 10.0**shift)
    return evidence_of(layers)


def test_a_layer_that_adds_a_mean_of_more_than_two_and_a_half_decades_is_blamed():
    assert first_offender(shifting(0.0, 0.1, 2.59, 2.6, 2.6)) is None
    assert first_offender(shifting(0.0, 0.1, 2.61, 2.6, 2.6)) == Offender(
        "2",
        "its squared mean is 407 times its variance",
        "Take the constant out that it adds, or start its bias at zero.",
        Fix("reset biases", ("2",)),
    )


def test_a_layer_has_to_reach_the_shift_and_not_only_to_undo_another():
    assert first_offender(shifting(-3.0, -3.0, 2.45, 2.4, 2.4)) is None
    assert first_offender(shifting(-3.0, -3.0, 2.55, 2.4, 2.4)).layer == "2"


def test_the_first_of_several_shifts_is_blamed():
    assert first_offender(shifting(0.0, 0.0, 0.0, 3.0, 0.0, 4.0)).layer == "3"


def test_the_layer_from_which_on_all_answers_are_alike_is_blamed():
    layers = chain(6)
    for layer in layers[2:]:
        layer.activation["average_channel_squared_mean"] = 1.0  # no shift to be blamed
        layer.variance = 1.9e-10
    wanted = Offender(
        "2",
        "its output is the first that is the same for every sample",
        "Look at its bias and its gain: start them at zero and at one.",
        Fix("reset biases", ("2",)),
    )
    quiet = [Layer(str(n), variance=1e-3) for n in range(2)]
    for layer in [*quiet, *layers[2:]]:
        layer.activation["average_channel_squared_mean"] = 0.0
    assert first_offender(evidence_of([*quiet, *layers[2:]])) == wanted
    told = evidence_of([*quiet, *layers[2:]], metadata={"alike_from": "4"})
    assert first_offender(told).layer == "4"
    layers[-1].variance = 2.1e-10  # of a second moment of 2 it is more than 1e-10
    assert first_offender(evidence_of([*quiet, *layers[2:]])) is None


def test_layers_that_all_let_the_input_fade_are_blamed_together():
    def faded(factor, count):
        layers = [Layer(str(n), variance=factor**n) for n in range(count)]
        for layer in layers:
            layer.activation["average_channel_squared_mean"] = 1.0
        layers[-1].variance = 0.0
        return evidence_of(layers)

    found = first_offender(faded(0.25, 10))  # 9 steps, one of them below what logarithms keep
    assert found.layer == "1"
    assert "every layer leaves 0.25 of the variance between samples" in found.why
    assert found.advice == "Multiply the initial weights of all hidden layers by 2."
    assert found.fix.layers == tuple(str(n) for n in range(9))
    assert found.fix.factor == pytest.approx(2.0)
    assert first_offender(faded(0.5, 10)).fix.kind == "reset biases"  # 2.4 decades


def test_a_table_of_embeddings_is_no_peer_of_weights():
    layers = chain(6)
    layers[0].weight = 64 * layers[0].weight
    assert first_offender(evidence_of(layers)).layer == "0"
    layers[0].structure = {"computes": "embedding"}
    assert first_offender(evidence_of(layers)) is None


def test_one_seed_that_hears_the_input_is_enough():
    layers = chain(6)
    for layer in layers:
        layer.variance = 0.0
        layer.activation["average_channel_squared_mean"] = 0.0
    assert first_offender(evidence_of(layers)).layer == "0"
    stated = {
        str(seed): {"second_moment": 1.0, "variance_across_samples": share}
        for seed, share in enumerate((0.0, 0.5, 0.0))
    }
    assert first_offender(evidence_of(layers, metadata={"output": stated})) is None


def test_a_layer_alike_in_some_seeds_is_not_the_first_that_is_alike():
    layers = chain(5)
    for layer in layers:
        layer.activation["average_channel_squared_mean"] = 0.0
    for layer in layers[1:]:
        layer.variance = 0.0
    network = recording(layers)

    def edit(table):
        chosen = (table["layer"] == "1") & (table["signal"] == "activation") & (table["seed"] == 1)
        return table.assign(
            average_channel_variance=table["average_channel_variance"].where(~chosen, 1.0)
        )

    assert first_offender(Evidence.of(network)).layer == "1"
    assert first_offender(Evidence.of(edited(network, edit))).layer == "2"


@pytest.mark.parametrize("sign", [-1, 1])
def test_a_place_at_which_the_signal_changes_unlike_everywhere_else_is_blamed(sign):
    def jumping(decades):
        layers = drifting(2.0, 8)
        for layer in layers[4:]:
            layer.second_moment *= 10 ** (sign * decades)
        return evidence_of(layers)

    assert first_offender(jumping(0.59)) is None
    factor = 2 * 10 ** (sign * 0.61)
    assert first_offender(jumping(0.61)) == Offender(
        "4",
        f"the second moment changes by a factor of {factor:.3g} there, and by 2 at the median "
        "place",
        "Look at what this layer adds or multiplies.",
        Fix("LSUV", ("4",)),
    )


def test_two_steps_are_no_peers():
    for count, blamed in ((4, None), (5, "1")):
        layers = chain(count)
        layers[0].second_moment *= 1e-3
        assert getattr(first_offender(evidence_of(layers)), "layer", None) == blamed


# -- the order -------------------------------------------------------------------------------------


def test_what_explains_more_is_blamed_first():
    layers = drifting(10.0, 9)  # from the last in order to the first
    for layer in layers[6:]:
        layer.second_moment *= 1e5
    layers[-1].weight *= 1e6
    blamed = [first_offender(evidence_of(layers)).why[:20]]
    network = with_bias(recording(layers), "5", 1e9)
    blamed.append(first_offender(Evidence.of(network)).why[:20])
    layers[4].weight *= 100
    network = with_bias(recording(layers), "5", 1e9)
    blamed.append(first_offender(Evidence.of(network)).why[:20])
    layers[3].structure["groups"] = 64
    layers[3].weight /= 64
    blamed.append(first_offender(evidence_of(layers)).why[:20])
    layers[2].activation["nonfinite_fraction"] = 1.0
    blamed.append(first_offender(evidence_of(layers)).why[:20])
    assert blamed == [
        *("every layer does the", "its bias (second mom", "its weights have 100"),
        *("its initialisation i", "it holds the first v"),
    ]


def test_a_loud_head_is_blamed_before_a_jump():
    layers = drifting(2.0, 8)
    for layer in layers[4:]:
        layer.second_moment *= 1e3
        layer.variance *= 1e3
    assert first_offender(evidence_of(layers)).why.startswith("the second moment changes")
    layers[-1].weight *= 1e6
    assert first_offender(evidence_of(layers)).layer == "7"


# -- steps -----------------------------------------------------------------------------------------


def test_steps_are_undefined_beyond_what_logarithms_are_cut_at():
    curve = Curve(tuple("abcdef"), np.array([[1.0, 10.0, 0.0, 1e-12, 1e12, 1e3]]))
    np.testing.assert_array_equal(np.isnan(steps_of(curve)), [False, True, True, True, True])
    assert steps_of(curve)[0] == pytest.approx(1.0)
    assert steps_of(Curve(("a",), np.ones((3, 1)))).shape == (0,)
    assert steps_of(Curve(("a", "b"), np.array([[1.0, 100.0]]))).tolist() == [2.0]


def test_a_drift_begins_at_the_first_place_beyond_the_limit_or_at_the_last():
    curve = Curve(tuple("abc"), np.array([[1.0, 0.3, 0.05]]))
    assert drifting_from(curve, 0.5) == "b"
    assert drifting_from(curve, 1.0) == "c"
    assert drifting_from(curve, 9.0) == "c"


# -- how the weights were drawn --------------------------------------------------------------------


def test_weights_are_described_layer_by_layer():
    layers = chain(3)
    layers[1].structure |= {
        "fan_in": 8, "fan_out": 16, "groups": 4, "before": "dropout > tanh > flatten",
        "nonlinearity": "gelu", "normalised_after": True,
    }  # fmt: skip
    layers[1].weights |= {"minimum": 0.25, "maximum": 0.25}
    network = with_bias(recording(layers), "1", 0.5)
    first, second, head = weights_of(Evidence.of(network))
    assert second == Weights(
        layer="1", gain=pytest.approx(8 * 2 / UNITS), fan_in=8, fan_out=16, groups=4,
        nonlinearity="gelu", fed_by="tanh", values=UNITS * UNITS, normalised=True, constant=True,
        bias=0.5,
    )  # fmt: skip
    assert first == Weights(
        layer="0", gain=pytest.approx(2.0), fan_in=32, fan_out=32, groups=1, nonlinearity="relu",
        fed_by="", values=UNITS * UNITS, normalised=False, constant=False, bias=0.0,
    )  # fmt: skip
    assert (head.nonlinearity, head.fed_by) == ("", "relu")


def test_weights_as_they_are_used_count_before_those_that_are_stored():
    network = with_parameter(
        recording(chain(3)), "1", signal="effective weight", second_moment=5.0 / UNITS
    )
    assert [w.gain for w in weights_of(Evidence.of(network))] == [
        *(pytest.approx(2.0), pytest.approx(5.0), pytest.approx(2.0))
    ]


def test_layers_without_recorded_weights_are_not_described():
    layers = chain(3)
    layers[1].weight = None
    assert [w.layer for w in weights_of(evidence_of(layers))] == ["0", "2"]


def test_weights_of_zero_are_not_called_constant():
    layers = chain(3)
    layers[1].weight = 0.0
    assert [w.constant for w in weights_of(evidence_of(layers))] == [False] * 3


def described(gain, groups=1, fan_in=32, fan_out=128, fed_by="tanh"):
    return Weights("a", gain, fan_in, fan_out, groups, "", fed_by, 1024, False, False, 0.0)


def test_known_initialisations_have_their_gains():
    needed = 1 / nonlinearity_moments("tanh").second_moment
    assert known_gains(described(1.0)) == {
        "LeCun": 1.0,
        "He": 2.0,
        "Glorot": pytest.approx(32 * 2 / (32 + 128)),
        "He, fan-out": pytest.approx(32 * 2 / 128),
        "torch's default": pytest.approx(1 / 3),
        "as needed": pytest.approx(needed),
    }
    assert described(1.0).needed == pytest.approx(needed)


def test_every_known_initialisation_is_named_with_its_variance():
    assert KNOWN == {
        "LeCun": "1 / fan-in",
        "He": "2 / fan-in",
        "Glorot": "2 / (fan-in + fan-out)",
        "He, fan-out": "2 / fan-out",
        "torch's default": "1 / (3 fan-in)",
        "as needed": "1 / (fan-in E[g²])",
    }
    assert list(KNOWN) == list(known_gains(described(1.0)))


def test_the_gain_that_keeps_second_moments():
    assert preserving_gain("relu") == pytest.approx(2.0)
    assert preserving_gain("selu") == pytest.approx(1.0)
    assert preserving_gain("max_pool2d") == preserving_gain("") == 1.0


@pytest.mark.parametrize(
    ("gain", "groups", "ignores"),
    [
        (1 / 8, 8, True),
        (1.39 * 2 / 8, 8, True),
        (1.41 * preserving_gain("tanh") / 8, 8, False),
        (1 / 8, 1, False),
        (1.0, 8, False),
        (1.41**-1 * 1.0 / 8, 8, False),
        (1.39**-1 * 1.0 / 8, 8, True),
        (1.0, 2, False),  # LeCun's, though twice as much would be He's
        (0.72, 2, False),  # within 1.4 of LeCun's
        (0.0, 8, False),
    ],
)
def test_a_gain_that_is_a_known_one_over_the_groups_ignores_them(gain, groups, ignores):
    assert ignores_groups(described(gain, groups)) is ignores
