import itertools
import math

import numpy as np
import pandas as pd
import pytest

from sppkit.recording import Recording
from sppkit.rules import Fix, Severity, judge
from sppkit.rules.forward import _linear_is_better
from sppkit.theory import gradient_factor
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


def test_a_growth_of_less_than_a_decade_grows_too_where_the_limit_is_less():
    found = outcome(recording(drifting(1.1, 6)), "SPP101", thresholds={"SPP101": {"growth": 0.1}})
    assert "grows by a factor of 1.46 over 5 places" in found.message


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


@pytest.mark.parametrize(
    "told",
    [{"computes": "embedding"}, {"layer_type": "Embedding"}, {"layer_type": "EmbeddingBag"}],
    ids=str,
)
def test_a_table_of_embeddings_has_no_input_to_keep_apart(told):
    layers = [Layer(str(n), variance=2.0 / 16) for n in range(8)]
    layers[1].variance = 1e-4
    assert outcome(recording(layers), "SPP104").layer == "1"
    layers[1].structure = told
    assert outcome(recording(layers), "SPP104") == "passed"
    layers[4].variance = 1e-4
    assert outcome(recording(layers), "SPP104").layer == "4"


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


@pytest.mark.parametrize(("mean", "variance"), [(0.1, 1.0), (-0.1, 1.0), (0.0, 0.8), (0.0, 1.5)])
def test_the_domain_of_self_normalisation_is_closed(mean, variance):
    layers = selu(variance)
    for layer in layers:
        layer.activation["mean"] = mean
    assert outcome(recording(layers), "SPP107") == "passed"
    for layer in layers:
        layer.activation["mean"] = 1.001 * mean
        layer.second_moment *= 1.001 if variance > 1 else 0.999
    moved = outcome(recording(layers), "SPP107")
    assert "outside the domain of self-normalisation" in moved.message


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
    assert "Lower p to 0.32 in each" in outcome(dropping(0.9, 3), "SPP109").advice


def test_the_margin_of_dropout_that_is_too_much_is_told():
    decades = 6 * math.log10(1 / (1 - 0.5)) - 1.5
    nearness = judge(dropping(0.5), select=["SPP109"]).nearness["SPP109"]
    assert nearness == pytest.approx(decades / (0.05 / 3**0.5))


# -- in detail -------------------------------------------------------------------------------------


def line_is_better(log):
    """Fit a power and a line, each by least squares of relative errors; compare logarithms."""
    place = np.arange(len(log), dtype=np.float64)
    both = np.stack([np.ones_like(place), place], axis=1)
    power = both @ np.linalg.lstsq(both, log, rcond=None)[0]
    values = 10.0**log
    line = both @ np.linalg.lstsq(both / values[:, None], np.ones_like(log), rcond=None)[0]
    if (line <= 0).any():
        return False
    return bool(((np.log10(line) - log) ** 2).sum() < ((power - log) ** 2).sum())


def test_a_line_competes_with_a_power_by_what_it_leaves_unexplained():
    random = np.random.default_rng(0)
    for spread, fewest in ((0.3, 10), (3.0, 1)):  # of the wide ones many a line passes zero
        curves = [
            np.cumsum(random.uniform(-spread, spread, 7) + random.uniform(-0.2, 0.4))
            for _ in range(300)
        ]
        wanted = [line_is_better(log) for log in curves]
        assert [_linear_is_better(log) for log in curves] == wanted
        assert fewest < sum(wanted) < 290


@pytest.mark.parametrize("odd", [np.nan, np.inf])
def test_what_is_not_finite_grows_by_no_line(odd):
    assert _linear_is_better(np.log10(1.0 + 3 * np.arange(5.0)))
    assert not _linear_is_better(np.array([0.0, 1.0, odd, 1.2]))


@pytest.mark.parametrize(("decades", "layer"), [(0.45, "2"), (0.55, "1")])
def test_an_exponential_drift_is_named_for_the_first_place_half_a_decade_away(decades, layer):
    assert outcome(recording(drifting(10**decades)), "SPP103").layer == layer


def test_the_ratio_of_a_mean_shift_is_that_of_squared_mean_to_variance():
    for ratio, told in ((0.99, False), (1.01, True)):
        layers = chain(4)
        layers[1].variance = 2.0 / (1 + ratio)
        for layer in (layers[0], layers[2]):
            layer.variance = 2.0
        network = recording(layers)
        found = judge(network, select=["SPP104"], thresholds={"SPP104": {"ratio": 1.0}}).findings
        assert bool(found) is told


def test_exponential_decay_is_told_as_growth_is():
    assert outcome(recording(drifting(50**-0.101)), "SPP103").code == "SPP103"
    assert outcome(recording(drifting(50**-0.099)), "SPP103") == "passed"


def test_growth_that_transitions_set_back_is_no_exponential_drift():
    layers = drifting(2.0)
    for layer in layers[6:]:
        layer.second_moment /= 2.0**9
    assert outcome(recording(layers), "SPP103") == "passed"


def test_dropout_beside_skip_paths_or_before_several_outputs_is_not_judged():
    layers = [Layer("stem", structure={"tap": "stem", "block": 0}), Layer("1")]
    layers[1].structure = {"tap": "block", "block": 1}
    reason = "dropout does not multiply from layer to layer here"
    assert outcome(recording([*layers, Layer("head")]), "SPP109") == reason
    network = dropping(0.5)
    table = network.table()
    last = table[(table["layer"] == "head") & (table["signal"] == "activation")]
    outputs = [last.assign(layer="", role="container", tensor=name) for name in ("0", "1")]
    several = Recording.from_frames(
        pd.concat([table, *outputs]), network.structure(), network.metadata
    )
    assert outcome(several, "SPP109") == reason


def bottleneck(*widths, classes=10, **last):
    """A chain of layers of such widths; what is told of the layer behind the last."""
    layers = chain(len(widths) + 2)
    for place, width in enumerate(widths, start=1):
        layers[place].activation["channels"] = width
        layers[place].structure["fan_out"] = width
        layers[place + 1].structure["fan_in"] = width
    layers[len(widths) + 1].structure |= last
    return recording(layers, metadata={"loss": {"kind": "cross-entropy", "classes": classes}})


def test_the_narrowest_passage_is_told():
    assert outcome(bottleneck(3, 32, 2, 3), "SPP110").layer == "3"


@pytest.mark.parametrize(
    "last", [{"computes": "conv2d"}, {"fan_in": 32}, {"before": "tanh"}], ids=str
)
def test_a_layer_whose_output_goes_elsewhere_as_well_is_no_passage(last):
    assert outcome(bottleneck(1), "SPP110").layer == "1"
    assert outcome(bottleneck(1, **last), "SPP110") == "passed"


def test_a_layer_that_takes_something_else_as_well_is_no_passage():
    network = bottleneck(1)
    structure = network.structure()
    structure.loc[structure["layer"] == "1", "before"] = "tanh"
    other = Recording.from_frames(network.table(), structure, network.metadata)
    assert outcome(other, "SPP110") == "passed"


def test_a_layer_of_many_positions_is_no_bottleneck():
    network = bottleneck(1)
    table = network.table()
    rows = (table["layer"] == "1") & (table["signal"] == "activation")
    table.loc[rows, "samples"] = 16 * 8  # eight positions of each of 16 samples
    structure = network.structure()
    structure.loc[structure["layer"] == "2", "fan_in"] = 8
    wide = Recording.from_frames(table, structure, network.metadata)
    assert outcome(wide, "SPP110") == "passed"


def test_two_classes_are_told_apart_by_one_number():
    assert "no classifier of three classes" in outcome(bottleneck(1, classes=2), "SPP110")
    assert outcome(bottleneck(1, classes=3), "SPP110").layer == "1"


def test_mean_shift_asks_for_a_hidden_layer():
    assert "no hidden layer" in outcome(
        recording([Layer("a", structure={"fan_in": None})]), "SPP104"
    )


# -- the depth scale, in detail --------------------------------------------------------------------


def test_networks_of_two_layers_or_with_normalisations_have_no_depth_scale():
    assert "of three layers or more" in outcome(recording(plain(1.0, 2)), "SPP108")
    assert outcome(recording(plain(1.0, 3)), "SPP108") == "passed"
    layers = plain(1.0)
    layers[4].structure["after"] = layers[5].structure["before"] = "layer_norm"
    assert "normalisations between its layers" in outcome(recording(layers), "SPP108")
    layers[4].structure["after"] = layers[5].structure["before"] = "relu > tanh"
    assert "normalisations between its layers" in outcome(recording(layers), "SPP108")


def test_pre_activations_that_are_not_known_leave_no_depth_scale():
    layers = plain(1.0)
    layers[4].second_moment = math.nan
    assert "or no numbers" in outcome(recording(layers), "SPP108")


def test_a_normalisation_behind_the_first_layer_counts_and_one_before_it_does_not():
    layers = plain(1.0)
    layers[0].structure["before"] = "layer_norm"
    assert outcome(recording(layers), "SPP108").measured == pytest.approx(0.5)
    layers[0].structure["after"] = layers[1].structure["before"] = "layer_norm"
    assert "normalisations between its layers" in outcome(recording(layers), "SPP108")


def test_layers_without_a_nonlinearity_multiply_by_their_weight_variance():
    layers = plain(0.5)
    for last, layer in itertools.pairwise(layers):
        last.structure["after"] = layer.structure["before"] = ""
    assert outcome(recording(layers), "SPP108").measured == pytest.approx(0.5)


def test_outlying_layers_do_not_set_the_depth_scale_and_neither_do_the_first_and_the_head():
    layers = plain(2.0)
    for place in (0, 3, 7, 19):
        layers[place].weight *= 1e-6
    assert outcome(recording(layers), "SPP108") == "passed"
    few = plain(1.0, 4)  # of which two are asked
    few[1].weight = few[2].weight = 2.0 * math.exp(-1.4) / 32
    assert outcome(recording(few), "SPP108") == "passed"
    few[1].weight = few[2].weight = 2.0 * math.exp(-1.6) / 32
    assert outcome(recording(few), "SPP108").measured == pytest.approx(math.exp(-1.6), rel=1e-6)


def test_the_head_is_no_layer_of_the_depth_scale():
    layers = plain(2.0, 4)  # two are asked, of which one is small: their median lies between
    layers[1].weight *= math.exp(-4.0)
    found = outcome(recording(layers), "SPP108")
    assert found.measured == pytest.approx(math.exp(-2.0), rel=1e-6)


def test_the_depth_scale_is_computed_at_the_measured_pre_activations():
    def tanh(second_moment):
        layers = plain(2.0)
        for last, layer in itertools.pairwise(layers):
            last.structure["after"] = layer.structure["before"] = "tanh"
            last.second_moment = second_moment
        return recording(layers)

    expected = gradient_factor(9.0, weight_variance=2.0, nonlinearity="tanh")
    assert outcome(tanh(9.0), "SPP108").measured == pytest.approx(expected)
    assert expected < 0.6
    assert outcome(tanh(0.01), "SPP108").measured == pytest.approx(1.96, rel=0.01)


@pytest.mark.parametrize("weight", [0.0, 1e-30, 0.9e-12 / 32])
def test_weights_that_are_as_good_as_zero_are_drawn_anew_and_not_multiplied(weight):
    layers = plain(1.0, 6)
    for place in (0, 2, 4, 5):  # of the four between the first and the head, two
        layers[place].weight = weight
    found = outcome(recording(layers), "SPP108")
    assert (found.layer, found.signal) == ("2", "weight")
    assert found.measured == pytest.approx(16 * weight, rel=1e-6, abs=1e-40)
    assert found.expected == "within 0.368 to 2.72 for 6 layers"
    assert found.message == (
        "the weights of 2 of 4 layers between the first and the head are zero, or as good as zero: "
        f"they multiply squared gradients by {16 * weight:.3g}"
    )
    assert found.advice == "Draw their weights anew."
    assert found.fix == Fix("re-initialise", ("2", "4"))


def test_weights_above_what_is_as_good_as_zero_are_multiplied():
    found = outcome(recording(plain(1.1e-12)), "SPP108")
    assert "(ordered phase)" in found.message
    assert found.fix.factor == pytest.approx((1.1e-12 / 2) ** -0.5)


def test_fewer_than_half_of_the_weights_at_zero_do_not_set_the_depth_scale():
    layers = plain(1.0, 9)
    for place in (0, 2, 3, 5, 8):  # of the seven between the first and the head, three
        layers[place].weight = 0.0
    assert outcome(recording(layers), "SPP108").measured == pytest.approx(0.5)
