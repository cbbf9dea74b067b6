import math

import numpy as np
import pandas as pd
import pytest

from sppkit.recording import Recording
from sppkit.rules import Severity, judge, named_statistics
from sppkit.rules.backward import _power
from tests.rules.frames import UNITS, Layer, chain, recording
from tests.rules.test_forward_rules import outcome


@pytest.mark.parametrize("code", ["SPP201", "SPP202", "SPP302"])
def test_gradients_of_the_unit_probe_are_never_judged_as_those_of_a_loss(code):
    reason = outcome(recording(chain(6, weight_gradient=1e-30), loss=False), code)
    assert "no gradients under a real loss were recorded" in reason


# -- SPP201, SPP202 ------------------------------------------------------------------------------


def test_gradients_vanish_where_they_are_nothing_beside_the_weights_of_all_layers():
    layers = chain(7, weight_gradient=1e-9)
    found = outcome(recording(layers), "SPP201")
    assert found.severity is Severity.ERROR
    assert found.message == (
        "gradients do not arrive: |gradient| / |weight| is at most 4e-09 at each of 7 layers"
    )
    layers[3].weight_gradient = 1e-3
    assert outcome(recording(layers), "SPP201") == "passed"


@pytest.mark.parametrize(
    ("log", "told"), [(-12.0, "zero"), (-11.9, "zero"), (-11.88, "at most 1.3e-12")]
)
def test_gradients_at_which_logarithms_are_cut_are_called_zero(log, told):
    assert _power(log) == told


def test_gradients_of_exactly_zero_are_called_zero():
    found = outcome(recording(chain(6, weight_gradient=0.0)), "SPP201")
    assert "|gradient| / |weight| is zero at each of 6 layers" in found.message


def test_zeros_that_a_zero_head_explains_are_not_judged():
    layers = chain(6, weight_gradient=0.0)
    layers[-1].weight = 0.0
    assert "the head's weights are zero" in outcome(recording(layers), "SPP201")


def test_zeros_that_silent_branches_explain_are_left_out():
    layers = chain(6, weight_gradient=0.0)
    layers[0].weight_gradient = 1e-3
    silent = {"silent_residual_gains": ["1.gain"]}
    assert outcome(recording(layers, metadata=silent), "SPP201") == "passed"


def test_gradients_explode_where_they_exceed_the_weights_of_most_layers():
    assert outcome(recording(chain(6, weight_gradient=10.0)), "SPP202") == "passed"
    layers = chain(6, weight_gradient=1e3)
    layers[2].weight_gradient = 1e5
    found = outcome(recording(layers), "SPP202")
    assert found.layer == "2"
    assert found.message == (
        "gradients explode: at the median layer |gradient| / |weight| is 4e+03, the most at '2'"
    )


# -- SPP203, SPP204 ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("factor", "verb"), [(1e-8, "falls short of"), (1e5, "exceeds")], ids=["forgets", "chaos"]
)
def test_energy_that_changes_on_its_way_is_an_imbalance(factor, verb):
    layers = chain(9)
    layers[0].gradient *= factor
    found = outcome(recording(layers), "SPP203")
    assert f"gradient times activation at '0' {verb} that at '8' by a factor of" in found.message
    assert found.measured == pytest.approx(factor)


def test_energy_is_blind_to_scales():
    layers = [Layer(str(n), second_moment=100.0**n, gradient=0.01**n) for n in range(6)]
    assert outcome(recording(layers), "SPP203") == "passed"


def loss_of(value):
    return {"loss": {"chance": 2.0, "values": {str(seed): value for seed in range(3)}}}


def test_the_first_loss_is_compared_with_that_of_chance():
    assert outcome(recording(chain(4), metadata=loss_of(6.0)), "SPP204") == "passed"
    found = outcome(recording(chain(4), metadata=loss_of(500.0)), "SPP204")
    assert found.severity is Severity.WARNING
    assert found.message == (
        "the untrained network's loss is 250 times that of chance: the outputs have a root mean "
        "square of 1.41"
    )
    assert found.layer == "3"
    assert found.fix.factor == pytest.approx(2.0**-0.5)
    assert outcome(recording(chain(4), metadata=loss_of(1e5)), "SPP204").severity is Severity.ERROR
    assert "was not recorded" in outcome(recording(chain(4)), "SPP204")


def test_a_loud_head_is_blamed_for_the_first_loss():
    layers = chain(4)
    layers[-1].weight = 1e4 / 32
    found = outcome(recording(layers, metadata=loss_of(1e5)), "SPP204")
    assert (found.layer, found.fix.factor) == ("3", pytest.approx(0.01))
    assert "fan-in x variance of the head's weights is 1e+04" in found.message


@pytest.mark.parametrize(
    ("behind", "told"), [("softmax", True), ("log_softmax", False), ("", False)]
)
def test_a_softmax_before_cross_entropy_is_told(behind, told):
    layers = chain(4)
    layers[-1].structure["nonlinearity"] = behind or None
    found = outcome(recording(layers), "SPP205")
    assert (found != "passed") is told
    if told:
        assert found.layer == "3"
        assert found.message == (
            "a softmax stands between the head and the loss: cross-entropy takes logits"
        )
    assert "no cross-entropy" in outcome(recording(layers, loss=False), "SPP205")


# -- SPP302 --------------------------------------------------------------------------------------


def test_weights_that_are_cut_off_are_counted_and_the_first_is_named():
    layers = chain(5)
    layers[1].weight_gradient = layers[2].weight_gradient = None
    found = outcome(recording(layers), "SPP302")
    assert (found.layer, found.severity) == ("1", Severity.WARNING)
    assert found.measured == pytest.approx(0.4)
    assert found.message == (
        "2 parameters, 40% of all values, get no gradient from the loss; the first belongs to '1'"
    )


def test_a_network_without_any_gradient_fails():
    found = outcome(recording(chain(5, weight_gradient=None)), "SPP302")
    assert (found.layer, found.severity) == ("4", Severity.ERROR)
    assert found.message.endswith("get no gradient from the loss; it stops behind '4'")
    assert found.measured == 1.0


def test_the_decision_is_taken_over_seeds_in_logarithms():
    layers = chain(6, weight=1.0, weight_gradient=6e-6)
    diagnosis = judge(recording(layers, seeds=4), select=["SPP201"])
    assert diagnosis.nearness["SPP201"] == pytest.approx(np.log10(5) / (0.05 / 2))


# -- in detail -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "told"),
    [
        *((name, True) for name in ("softmax", "sigmoid", "relu", "tanh", "relu6", "hardsigmoid")),
        *((name, True) for name in ("hardtanh", "softsign")),
        *((name, False) for name in ("log_softmax", "gelu", "identity")),
    ],
)
def test_what_bounds_the_logits_is_told(name, told):
    layers = chain(4)
    layers[-1].structure["nonlinearity"] = name
    assert (outcome(recording(layers), "SPP205") != "passed") is told


@pytest.mark.parametrize(
    "loss", [{"kind": "mean squared error"}, {}, None, "unit-gradient"], ids=str
)
def test_logits_are_asked_for_by_cross_entropy_only(loss):
    layers = chain(4)
    layers[-1].structure["nonlinearity"] = "softmax"
    found = outcome(recording(layers, metadata={"loss": loss}), "SPP205")
    assert "no cross-entropy, or there is no head" in found


def test_a_network_without_a_head_has_no_logits():
    layers = [Layer("0", structure={"nonlinearity": "softmax"})]
    assert "there is no head" in outcome(recording(layers), "SPP205")


def test_a_loud_first_loss_under_a_drift_blames_the_drift():
    layers = [Layer(str(n), second_moment=4.0**n, variance=4.0**n) for n in range(6)]
    found = outcome(recording(layers, metadata=loss_of(500.0)), "SPP204")
    assert found.message.endswith("times that of chance: every layer does the same")
    assert (found.layer, found.fix.factor) == ("1", pytest.approx(0.5))


@pytest.mark.parametrize(("factor", "drifts"), [(10**0.26, True), (10**0.24, False)])
def test_a_drift_is_blamed_where_its_steps_make_twice_half_a_decade(factor, drifts):
    """Of four steps each has to make a quarter of a decade: together one, twice what drifts."""
    layers = [Layer(str(n), second_moment=factor**n, variance=factor**n) for n in range(6)]
    found = outcome(recording(layers, metadata=loss_of(500.0)), "SPP204")
    assert ("every layer does the same" in found.message) is drifts


@pytest.mark.parametrize(("count", "blamed"), [(3, "2"), (4, "1")])
def test_two_steps_are_a_drift_and_one_alone_is_none(count, blamed):
    layers = [Layer(str(n), second_moment=100.0**n, variance=100.0**n) for n in range(count)]
    found = outcome(recording(layers, metadata=loss_of(500.0)), "SPP204")
    assert found.layer == blamed


def test_an_output_of_zero_is_scaled_by_no_infinity():
    stated = {str(seed): {"second_moment": 0.0, "variance_across_samples": 1.0} for seed in (0, 1)}
    metadata = {**loss_of(500.0), "output": stated}
    found = outcome(recording(chain(4), metadata=metadata), "SPP204")
    assert found.fix.factor == pytest.approx(1e15)


def test_without_a_record_of_the_output_no_factor_is_told():
    metadata = {**loss_of(500.0), "output": {}}
    found = outcome(recording(chain(4), metadata=metadata), "SPP204")
    assert found.message.endswith(
        "times that of chance: no layer differs from its peers, and the scale of the outputs was "
        "not recorded"
    )
    assert found.advice == "Make the head's initial weights smaller."
    assert (found.layer, found.fix) == ("3", None)


def test_without_a_record_of_weights_or_of_their_gradients_none_is_missed():
    without = recording(chain(4, weight=None))
    assert "no weights were recorded" in outcome(without, "SPP302")
    not_asked = recording(
        chain(4, weight_gradient=None), metadata={"signals": ["activation", "weight"]}
    )
    assert "gradients of weights were not recorded" in outcome(not_asked, "SPP302")


def test_weights_of_layers_that_were_never_called_need_no_gradient():
    layers = chain(5)
    layers[2].weight_gradient = None
    network = recording(layers)
    assert outcome(network, "SPP302").layer == "2"
    table = network.table()
    table["depth"] = table["depth"].where(table["layer"] != "2")
    never = Recording.from_frames(table, network.structure(), network.metadata)
    assert outcome(never, "SPP302") == "passed"


def test_weights_count_by_their_size_and_those_in_use_not_beside_those_that_are_stored():
    layers = chain(5)
    layers[2].weight_gradient = None
    network = recording(layers)
    table = network.table()
    weights = table["signal"] == "weight"
    table.loc[weights & (table["layer"] == "2"), "samples"] = 3 * UNITS
    used = table[weights].assign(signal="effective weight")
    for rows in (table, pd.concat([table, used])):
        known = Recording.from_frames(rows, network.structure(), network.metadata)
        found = outcome(known, "SPP302")
        assert found.measured == pytest.approx(3 / 7)
        assert found.message.startswith("1 parameters, 43% of all values")


def test_in_training_too_weights_without_a_gradient_are_found():
    layers = chain(5)
    layers[2].weight_gradient = None
    network = recording(layers)
    training = network.table().assign(phase="train")
    found = outcome(
        Recording.from_frames(training, network.structure(), network.metadata), "SPP302"
    )
    assert (found.layer, found.measured) == ("2", pytest.approx(0.2))


def test_weights_are_counted_once_and_not_per_seed():
    layers = chain(10)
    layers[0].weight_gradient = layers[3].weight_gradient = None
    for seeds in (1, 5):
        found = outcome(recording(layers, seeds=seeds), "SPP302")
        assert found.message.startswith("2 parameters, 20% of all values")


def test_what_stops_behind_the_first_layer_is_named_for_the_last_without_a_gradient():
    layers = chain(6)
    for layer in layers[:3]:
        layer.weight_gradient = None
    assert outcome(recording(layers), "SPP302").message.endswith("it stops behind '2'")
    layers[4].weight_gradient = None
    assert outcome(recording(layers), "SPP302").message.endswith("the first belongs to '0'")


def test_energy_of_several_outputs_is_compared_with_that_of_the_output():
    layers = chain(5)
    layers[0].gradient *= 1e-9
    network = recording(layers)
    table, structure = network.table(), network.structure()
    last = table[(table["layer"] == "4") & table["signal"].isin(["activation", "gradient"])]
    outputs = [last.assign(layer="", role="container", tensor=name) for name in ("0", "1")]
    several = Recording.from_frames(pd.concat([table, *outputs]), structure, network.metadata)
    found = outcome(several, "SPP203")
    assert found.measured == pytest.approx(1e-9 / 2, rel=1e-6, abs=0)


def test_without_a_head_the_energy_is_compared_with_that_of_the_output():
    layers = [Layer("0", gradient=1e-13), Layer("block.0"), Layer("block", weight=None)]
    layers[2].structure = {"tap": "block", "block": 1, "fan_in": None, "role": "container"}
    network = recording(layers)
    table = network.table()
    root = table[table["layer"] == "block"].assign(layer="", depth=9)
    whole = Recording.from_frames(pd.concat([table, root]), network.structure(), network.metadata)
    found = outcome(whole, "SPP203")
    assert found.message.startswith(
        "gradient times activation at '0' falls short of that at 'the output' by a factor of 1e+09"
    )


@pytest.mark.parametrize(("name", "factor"), [("chaos", 1e5), ("forgetting", 1e-8)])
def test_a_change_of_energy_at_its_limit_passes(name, factor):
    layers = chain(9)
    layers[0].gradient *= factor
    network = recording(layers, seeds=1)
    decades = abs(named_statistics(network)["growth_of_energy"])
    assert outcome(network, "SPP203", thresholds={"SPP203": {name: decades}}) == "passed"
    below = {"SPP203": {name: math.nextafter(decades, 0.0)}}
    assert outcome(network, "SPP203", thresholds=below).layer == "0"


def test_a_small_growth_of_energy_beyond_a_smaller_limit_exceeds():
    layers = chain(9)
    layers[0].gradient *= 10**0.8
    found = outcome(recording(layers), "SPP203", thresholds={"SPP203": {"chaos": 0.5}})
    assert "at '0' exceeds that at '8' by a factor of 6.31" in found.message


def test_energy_that_is_not_known_of_one_seed_is_judged_by_the_others():
    layers = chain(9)
    layers[0].gradient *= 1e5
    network = recording(layers)
    table = network.table()
    table.loc[(table["seed"] == 1) & (table["signal"] == "gradient"), "second_moment"] = np.nan
    known = Recording.from_frames(table, network.structure(), network.metadata)
    assert outcome(known, "SPP203").measured == pytest.approx(1e5)


def test_a_single_layer_has_no_imbalance():
    reason = "no gradients of first layer and head, or branches silence them"
    assert outcome(recording(chain(1)), "SPP203") == reason
