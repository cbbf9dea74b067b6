import json
import math

import numpy as np
import pandas as pd
import pytest
import torch

from sppkit.recording import Recording
from sppkit.rules import Severity, judge, weighing
from sppkit.rules.evidence import Evidence
from sppkit.rules.offender import first_offender
from tests.rules.frames import Layer, chain, recording
from tests.rules.test_forward_rules import outcome

# -- weights -------------------------------------------------------------------------------------


def test_every_known_initialisation_is_recognised():
    for gain in (1.0, 2.0, 1 / 3):
        assert outcome(recording(chain(5, weight=gain / 32)), "SPP303") == "passed"


def test_an_unknown_initialisation_is_told_with_the_nearest_and_the_factor():
    found = outcome(recording(chain(5, weight=20.0 / 32)), "SPP303")
    assert found.severity is Severity.INFO
    assert "fan-in x variance = 20, nearest is He (2 / fan-in) with 2" in found.message
    assert found.fix.factor == pytest.approx(1 / math.sqrt(20.0))


@pytest.mark.parametrize("told", [{"computes": "embedding"}, {"layer_type": "Embedding"}])
def test_a_table_of_embeddings_has_no_gain(told):
    layers = chain(5)
    layers[0].weight = 128 / 32
    assert outcome(recording(layers), "SPP303").layer == "0"
    layers[0].structure = told
    assert outcome(recording(layers), "SPP303") == "passed"


def grouped(gain, groups=8):
    layer = Layer("1", weight=gain / 32, structure={"groups": groups})
    return recording([Layer("0"), layer, Layer("2")])


def test_a_fan_in_that_ignores_groups_is_told_by_its_factor():
    assert outcome(grouped(2.0), "SPP304") == "passed"
    found = outcome(grouped(2.0 / 8), "SPP304")
    assert found.layer == "1"
    assert "1/8 of what a known initialisation gives" in found.message
    assert found.fix.kind == "group-aware fan"
    assert found.fix.factor == pytest.approx(math.sqrt(8.0))
    assert "no grouped convolution" in outcome(recording(chain(3)), "SPP304")


# -- numbers -------------------------------------------------------------------------------------


def test_the_origin_of_nan_is_a_weight_before_it_is_an_activation():
    layers = chain(6)
    for layer in layers[2:]:
        layer.activation["nonfinite_fraction"] = 1.0
    assert outcome(recording(layers), "SPP401").layer == "2"
    layers[4].weights["nonfinite_fraction"] = 0.25
    found = outcome(recording(layers), "SPP401")
    assert (found.layer, found.signal, found.measured) == ("4", "weight", 0.25)
    assert "in 3 of 3 seeds" in found.message
    assert found.fix.kind == "re-initialise"


def test_an_overflow_is_told_with_the_magnitudes_before_it():
    layers = chain(6)
    layers[3].activation["nonfinite_fraction"] = 0.5
    layers[2].activation["maximum"] = 1e30
    found = outcome(recording(layers), "SPP401")
    assert found.message.endswith("largest magnitudes before it: 0 3, 1 3, 2 1e+30")
    assert found.fix is None


def test_headroom_is_that_of_the_number_format():
    layers = chain(4)
    layers[2].activation |= {"dtype": "float16", "minimum": -20_000.0}
    found = outcome(recording(layers), "SPP402")
    assert found.layer == "2"
    assert "magnitudes of 2e+04 come within a factor of 4 of the largest float16" in found.message
    layers[2].activation["dtype"] = "bfloat16"
    assert outcome(recording(layers), "SPP402") == "passed"


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_a_quarter_of_the_largest_number_is_left_as_headroom(dtype):
    quarter = torch.finfo(getattr(torch, dtype)).max / 4
    layers = chain(4)
    layers[2].activation |= {"dtype": dtype, "maximum": 0.999 * quarter}
    assert outcome(recording(layers), "SPP402") == "passed"
    layers[2].activation["maximum"] = 1.001 * quarter
    assert outcome(recording(layers), "SPP402").layer == "2"


def test_float16_underflow_is_a_matter_of_headroom_too():
    layers = chain(4)
    layers[1].activation |= {"dtype": "float16", "float16_underflow_fraction": 0.75}
    found = outcome(recording(layers), "SPP402")
    assert "75% of the values lie below the smallest normal float16" in found.message


# -- units ---------------------------------------------------------------------------------------


def test_dead_units_are_an_error_where_the_output_hears_nothing():
    layers = chain(5)
    layers[2].activation["dead_channel_fraction"] = 0.6
    assert outcome(recording(layers), "SPP501") == "passed"  # of 16 values it may be chance
    layers[2].activation["samples"] = 64
    assert outcome(recording(layers), "SPP501").severity is Severity.WARNING
    layers[2].activation["dead_channel_fraction"] = 1.0
    assert outcome(recording(layers), "SPP501").severity is Severity.WARNING
    layers[4].variance = 0.0
    found = outcome(recording(layers), "SPP501")
    assert (found.layer, found.severity) == ("2", Severity.ERROR)
    assert found.message == "100% of the channels answer zero to every sample"


def test_pre_activations_that_are_never_positive_kill_their_rectifiers():
    layers = chain(5)
    layers[3].activation["maximum"] = -1.0
    assert outcome(recording(layers), "SPP501").layer == "3"
    layers[3].structure["nonlinearity"] = "tanh"
    assert outcome(recording(layers), "SPP501") == "passed"


def test_saturation_is_the_share_of_a_normal_beyond_the_limit():
    bounded = [Layer(str(n), 1.0, structure={"nonlinearity": "tanh"}) for n in range(4)]
    assert outcome(recording(bounded), "SPP502") == "passed"
    bounded[1].activation["variance"] = 100.0
    found = outcome(recording(bounded), "SPP502")
    assert found.layer == "1"
    assert found.measured == pytest.approx(2 * 0.30854, abs=1e-4)
    assert found.advice == ("Multiply the layer's initial weights by 0.1, with its bias at zero.")


def test_one_answer_to_everything_fails_and_the_layer_that_lost_the_input_is_named():
    layers = chain(6)
    for layer in layers[3:]:
        layer.variance = 1e-14
    found = outcome(recording(layers), "SPP503")
    assert (found.layer, found.severity) == ("3", Severity.ERROR)
    assert found.message == (
        "the output hardly depends on the input: of its second moment only a share of 5e-15 "
        "differs between samples; its output is the first that is the same for every sample"
    )


def test_small_outputs_that_differ_are_not_one_answer():
    layers = chain(6)
    layers[-1].second_moment, layers[-1].variance = 1e-20, 5e-21
    assert outcome(recording(layers), "SPP503") == "passed"


def test_equal_units_are_an_error_where_most_layers_have_them():
    layers = chain(5)
    equal = {"minimum": 0.25, "maximum": 0.25}
    layers[1].weights |= equal
    assert outcome(recording(layers), "SPP504").severity is Severity.WARNING
    layers[2].weights |= equal
    layers[3].weights |= equal
    found = outcome(recording(layers), "SPP504")
    assert found.severity is Severity.ERROR
    assert "all weights of 3 of 4 hidden layers are equal" in found.message


def softmax(certainty, answers=16):
    layer = Layer("attention.softmax", weight=None)
    layer.structure = {"layer_type": "Softmax", "fan_in": None, "computes": "softmax"}
    layer.activation = {"mean": 1 / answers, "second_moment": certainty / answers}
    return recording([Layer("0"), layer, Layer("1"), Layer("2")])


def test_a_softmax_that_has_made_up_its_mind_is_told():
    assert outcome(softmax(0.2), "SPP505") == "passed"
    found = outcome(softmax(0.97), "SPP505")
    assert found.layer == "attention.softmax"
    assert "Σp² = 0.97" in found.message
    assert found.fix.kind == "attention scale"
    assert "no softmax within the network" in outcome(recording(chain(3)), "SPP505")


# -- residual branches ---------------------------------------------------------------------------


def residual(branch, constant=1.0, gains="", **metadata):
    layers = [Layer("stem", 1.0, structure={"tap": "stem", "block": 0})]
    for number in range(1, 5):
        end = Layer(f"{number}.f", branch)
        end.structure = {
            "tap": "residual branch", "block": number, "constant": constant, "gains": gains,
        }  # fmt: skip
        block = Layer(str(number), 1.0, weight=None)
        block.structure = {"tap": "block", "block": number, "fan_in": None, "role": "container"}
        layers += [end, block]
    return recording([*layers, Layer("head")], metadata=metadata)


def test_branches_are_compared_with_what_they_are_added_to():
    assert outcome(residual(1.0), "SPP105") == "passed"
    found = outcome(residual(1e-8), "SPP105")
    assert (found.layer, found.severity) == ("1.f", Severity.WARNING)
    assert "the residual branch adds next to nothing: its second moment is 1e-08" in found.message
    assert found.fix.factor == pytest.approx(1e4)
    assert outcome(residual(1e4, constant=0.01), "SPP105") == "passed"
    assert outcome(residual(1e-8, gains=None), "SPP105") == found
    assert "no residual branches" in outcome(recording(chain(4)), "SPP105")


def test_branches_that_drown_their_skip_paths_in_most_blocks_are_an_error():
    found = outcome(residual(1e6), "SPP105")
    assert (found.layer, found.severity) == ("1.f", Severity.ERROR)
    assert "the residual branch drowns the skip path here and at most blocks" in found.message
    assert found.fix.layers == ("1.f", "2.f", "3.f", "4.f")
    assert found.fix.factor == pytest.approx(1e-3)


def test_silent_branches_that_get_no_gradient_never_wake():
    layers = chain(4)
    layers[1].weight_gradient = 0.0
    asleep = recording(layers, metadata={"silent_residual_weights": ["1.weight"]})
    found = outcome(asleep, "SPP106")
    assert (found.layer, found.severity) == ("1", Severity.ERROR)
    assert "1 of 1 silent residual branches can never wake" in found.message
    assert found.fix.kind == "re-initialise"


def test_zero_initialised_gains_are_information_and_their_branches_no_fault():
    network = residual(1e-8, silent_residual_gains=["1.gain", "2.gain"])
    found = outcome(network, "SPP106")
    assert found.severity is Severity.INFO
    assert found.message == "2 residual branches start silent, the first through '1.gain'"
    assert outcome(network, "SPP105") == "passed"
    assert outcome(residual(1.0), "SPP106") == "passed"


# -- the measurement -----------------------------------------------------------------------------


def test_coverage_counts_the_parameters_of_layers_that_were_never_read():
    network = recording(chain(4))
    rows = network.structure().to_dict("records")
    unseen = {**rows[0], "layer": "auxiliary", "depth": None, "parameters": 4096}
    hidden = type(network).from_frames(
        network.table(), type(network)((), [*rows, unseen]).structure(), network.metadata
    )
    found = outcome(hidden, "SPP901")
    assert (found.layer, found.severity) == ("auxiliary", Severity.ERROR)
    assert found.message.startswith("50% of the parameters belong to 1 layers of which nothing")
    assert outcome(network, "SPP901") == "passed"


def test_batch_normalisation_over_few_values_is_a_warning():
    norm = Layer("norm", structure={"computes": "batch_norm", "fan_in": None}, weight=None)
    network = recording([*chain(3), norm])
    assert outcome(network, "SPP903") == "passed"
    strict = {"thresholds": {"SPP903": {"fewest": 20.0}}}
    assert "over 16 values per channel in 1 layers" in outcome(network, "SPP903", **strict).message
    in_eval = recording([*chain(3), norm], metadata={"mode": "eval"})
    assert "in eval mode" in outcome(in_eval, "SPP903", **strict)


# -- the weighing rule ---------------------------------------------------------------------------

LOGISTIC = {
    "schema": 1,
    "kind": "logistic",
    "threshold": 0.5,
    "intercept": 1.0,
    "statistics": {
        "largest_gradient_norm": {
            "mean": 0.0,
            "scale": 2.0,
            "coefficient": 0.0,
            "bends": [{"at": -4.0, "side": "below", "coefficient": -2.0}],
        },
        "loss_over_chance": {"mean": 0.0, "scale": 1.0, "coefficient": -9.0, "bends": []},
    },
}
TREE = {
    "schema": 1,
    "kind": "tree",
    "tree": {
        "statistic": "largest_gradient_norm",
        "at": -4.0,
        "below": {"probability": 0.01},
        "above": {"probability": 0.99},
    },
}


@pytest.fixture(params=[LOGISTIC, TREE], ids=["logistic", "tree"])
def coefficients(request, monkeypatch, tmp_path):
    path = tmp_path / "weighing.json"
    path.write_text(json.dumps(request.param))
    monkeypatch.setattr(weighing, "COEFFICIENTS", path)
    weighing.fitted.cache_clear()
    yield request.param
    weighing.fitted.cache_clear()


def test_without_coefficients_the_weighing_rule_is_skipped(monkeypatch, tmp_path):
    monkeypatch.setattr(weighing, "COEFFICIENTS", tmp_path / "none.json")
    weighing.fitted.cache_clear()
    assert "there are no fitted coefficients" in outcome(recording(chain(4)), "SPP001")
    assert judge(recording(chain(4))).probability_of_training is None
    weighing.fitted.cache_clear()


def test_the_weighing_rule_passes_what_is_likely_to_train(coefficients):
    diagnosis = judge(recording(chain(4)), select=["SPP001"])
    assert diagnosis.passed == ("SPP001",)
    assert diagnosis.probability_of_training > 0.7
    assert diagnosis.nearness["SPP001"] < 0


def test_the_weighing_rule_fails_what_is_not_and_says_what_drives_it(coefficients):
    diagnosis = judge(recording(chain(4, weight_gradient=1e-10)), select=["SPP001"])
    found = diagnosis.findings[0]
    assert found.severity is Severity.ERROR
    assert found.measured == diagnosis.probability_of_training < 0.1
    assert "networks like this one did not train" in found.message
    if coefficients["kind"] == "logistic":
        assert "against it: largest gradient norm 3.2e-09" in found.message
    else:
        assert found.message == "networks like this one did not train: probability 0.01"


def test_the_logit_is_that_of_the_file():
    model = weighing.Weighing(LOGISTIC)
    values = {
        "largest_gradient_norm": np.array([-6.0, 0.0]),
        "loss_over_chance": np.array([0.1, np.nan]),
    }
    assert model.logits(values) == pytest.approx([1.0 - 4.0 - 0.9, 1.0])


# -- what healthy architectures do ---------------------------------------------------------------


def test_an_output_that_hears_only_through_silent_branches_is_not_one_answer():
    layers = chain(5)
    layers[-1].variance = 1e-12
    layers[0].gradient = 1e-14
    muted = recording(layers, metadata={"silent_residual_gains": ["1.gamma"]})
    assert "silent residual branches stand between" in outcome(muted, "SPP503")
    assert "branches silence them" in outcome(muted, "SPP203")
    assert outcome(recording(layers), "SPP503").severity is Severity.ERROR


def test_batch_normalisation_may_amplify_gradients_by_itself():
    layers = chain(5)
    layers[0].gradient *= 1e4
    assert outcome(recording(layers), "SPP203").severity is Severity.ERROR
    norm = Layer("norm", weight=None, structure={"computes": "batch_norm", "fan_in": None})
    layers.insert(1, norm)
    assert outcome(recording(layers), "SPP203") == "passed"
    in_eval = recording(layers, metadata={"mode": "eval"})
    assert outcome(in_eval, "SPP203").severity is Severity.ERROR


def test_weights_that_no_step_can_turn_are_an_error():
    assert outcome(recording(chain(5, weight=4.0)), "SPP305") == "passed"
    found = outcome(recording(chain(5, weight=400.0)), "SPP305")
    assert found.severity is Severity.ERROR
    assert found.measured == pytest.approx(20.0)
    assert found.fix.factor == pytest.approx((1.0 / (32 * 400.0)) ** 0.5)


def classifier(layers):
    return recording(layers, metadata={"loss": {"kind": "cross-entropy", "classes": 10}})


def narrow(units, **structure):
    layers = chain(5)
    layers[2].activation["channels"] = units
    layers[2].structure |= structure
    layers[3].structure["fan_in"] = units
    return classifier(layers)


def test_a_single_value_cannot_tell_classes_apart():
    assert outcome(classifier(chain(5)), "SPP110") == "passed"
    found = outcome(narrow(1), "SPP110")
    assert (found.layer, found.severity, found.measured) == ("2", Severity.ERROR, 1.0)
    assert found.message == (
        "everything passes '2', which returns 1 values per sample, to tell 10 classes apart"
    )
    assert outcome(narrow(3), "SPP110").severity is Severity.WARNING
    assert outcome(narrow(1, after="softmax"), "SPP110") == "passed"  # a weight of attention
    assert "no classifier" in outcome(recording(chain(5)), "SPP110")


def recurrent(factor, calls=8):
    network = recording([*chain(1), Layer("cell"), *chain(2)])
    table = network.table()
    once = table[(table["layer"] == "cell") & table["signal"].isin(["activation", "gradient"])]
    steps = [table]
    for call in range(1, calls):
        step = once.assign(call=call)
        backward = step["signal"] == "gradient"
        step.loc[backward, "second_moment"] *= factor**call
        steps.append(step)
    return Recording.from_frames(pd.concat(steps), network.structure(), network.metadata)


def test_gradients_that_grow_from_call_to_call_are_an_error():
    assert outcome(recurrent(0.5), "SPP206") == "passed"
    assert outcome(recurrent(10.0), "SPP206") == "passed"  # they vanish towards the first
    found = outcome(recurrent(0.1), "SPP206")
    assert (found.layer, found.severity) == ("cell", Severity.ERROR)
    assert found.measured == pytest.approx(1e7)
    assert "grows by a factor of 1e+07 over the 8 calls of 'cell'" in found.message
    assert found.fix.factor == pytest.approx(10**-0.5)
    assert "no layer is called again" in outcome(recording(chain(4)), "SPP206")


# -- a rehearsal of training -----------------------------------------------------------------------


def rehearsed(*errors, **changes):
    values = {
        str(seed): {"error": error, "loss": error, "steps": 9, "rate": 3e-3}
        for seed, error in enumerate(errors)
    }
    return recording(
        chain(5, **changes), metadata={"rehearsal": {"values": values, "left_out": ""}}
    )


def test_what_rules_foretell_is_a_warning_where_a_rehearsal_shows_the_contrary():
    sick = {"weight_gradient": 1e-9}
    assert outcome(rehearsed(0.9, **sick), "SPP201").severity is Severity.ERROR
    refuted = outcome(rehearsed(0.45, **sick), "SPP201")
    assert refuted.severity is Severity.WARNING
    assert refuted.message.endswith("a rehearsal of training made progress, which outweighs it")
    diagnosis = judge(rehearsed(0.2, **sick), ignore=["SPP001"])
    assert diagnosis.verdict == "pass"
    assert "SPP201" not in diagnosis.nearness


def test_every_seed_that_was_rehearsed_has_to_make_progress():
    sick = {"weight_gradient": 1e-9}
    assert outcome(rehearsed(0.2, 0.6, **sick), "SPP201").severity is Severity.ERROR


def test_what_is_a_fact_stays_an_error_whatever_a_rehearsal_shows():
    assert (
        outcome(rehearsed(0.2, activation={"nonfinite_fraction": 0.1}), "SPP401").severity
        is Severity.ERROR
    )


def test_a_network_without_a_rehearsal_is_judged_by_the_model_without(monkeypatch, tmp_path):
    statistic = {"rehearsed_error": {"bends": [{"at": -1.0, "side": "above", "coefficient": -9.0}]}}
    model = {
        **LOGISTIC,
        "statistics": statistic,
        "rehearsed": 0.995,
        "unrehearsed": {**LOGISTIC, "intercept": -3.0, "statistics": {}},
    }
    (tmp_path / "weighing.json").write_text(json.dumps(model))
    monkeypatch.setattr(weighing, "COEFFICIENTS", tmp_path / "weighing.json")
    weighing.fitted.cache_clear()
    try:
        succeeded, failed = judge(rehearsed(0.2)), judge(rehearsed(1.0))
        without = judge(recording(chain(5)))
    finally:
        weighing.fitted.cache_clear()
    assert succeeded.probability_of_training == 0.995
    assert failed.probability_of_training == pytest.approx(1 / (1 + math.exp(9 - 1)))
    assert without.probability_of_training == pytest.approx(1 / (1 + math.exp(3)))
    assert "SPP001" in succeeded.passed
    assert "rehearsed error 1" in next(f for f in failed.findings if f.code == "SPP001").message
    assert next(f for f in without.findings if f.code == "SPP001")


@pytest.mark.parametrize(("number", "severity"), [(2, Severity.ERROR), (60, None)])
def test_every_batch_normalisation_may_amplify_the_gradient(number, severity):
    """By pi / (pi - 1) each, or by five decades in all: of nine, sixty explain all, two do not."""
    first, *others = chain(4)
    first.gradient *= 1e9
    norms = [
        Layer(f"norm{n}", structure={"computes": "batch_norm", "fan_in": None}, weight=None)
        for n in range(number)
    ]
    found = outcome(recording([first, *norms, *others]), "SPP203")
    assert getattr(found, "severity", None) == severity


def test_what_is_not_finite_begins_where_it_does_so_forwards():
    """Backwards it spreads to the layers before, which are not to blame."""
    layers = chain(5)
    for layer in layers[2:]:
        layer.activation["nonfinite_fraction"] = 0.1
    network = recording(layers)
    table = network.table()
    table.loc[table["signal"] == "gradient", "nonfinite_fraction"] = 1.0
    spoilt = type(network).from_frames(table, network.structure(), network.metadata)
    assert first_offender(Evidence.of(spoilt)).layer == "2"


# -- dead units, in detail -------------------------------------------------------------------------


def dying(*shares, samples=64, **structure):
    """A chain whose layers have these shares of dead channels."""
    layers = chain(len(shares))
    for layer, share in zip(layers, shares, strict=True):
        layer.activation |= {"dead_channel_fraction": share, "samples": samples}
    return layers


def test_a_layer_that_only_passes_zeros_on_is_not_at_fault():
    silent = {"silent_residual_gains": ["1.gain"]}
    layers = dying(0.0, 1.0, 1.0, 0.6, 0.0)
    layers[1].name = "1.norm"
    assert outcome(recording(layers), "SPP501").layer == "1.norm"
    # the gain of module "1" explains the norm within it, and that explains the layer behind
    found = outcome(recording(layers, metadata=silent), "SPP501")
    assert (found.layer, found.measured) == ("3", 0.6)


def test_zeros_behind_a_living_layer_are_its_own_fault():
    silent = {"silent_residual_gains": ["1.gain"]}
    layers = dying(0.0, 1.0, 0.0, 1.0, 0.0)
    layers[1].name = "1.norm"
    assert outcome(recording(layers, metadata=silent), "SPP501").layer == "3"


def test_a_zero_weight_explains_the_zeros_of_its_layer():
    layers = dying(0.0, 1.0, 0.0, 0.0, 0.0)
    layers[1].weight, layers[1].weight_gradient = 0.0, None
    assert outcome(recording(layers), "SPP501") == "passed"
    layers[2].activation["dead_channel_fraction"] = 0.7
    assert outcome(recording(layers), "SPP501").layer == "2"


def test_a_zero_weight_explains_the_zeros_of_the_other_layers_of_its_module():
    layers = dying(0.0, 0.0, 0.7, 0.0)
    layers[1].name, layers[1].weight, layers[2].name = "branch.linear", 0.0, "branch.relu"
    assert outcome(recording(layers), "SPP501") == "passed"
    layers[2].name = "other.relu"
    assert outcome(recording(layers), "SPP501").layer == "other.relu"


def test_a_name_that_begins_like_that_of_a_silent_module_is_another_one():
    layers = dying(0.0, 0.7, 0.0, 0.0)
    layers[1].name = "10.norm"
    silent = {"silent_residual_gains": ["1.gain"]}
    assert outcome(recording(layers, metadata=silent), "SPP501").layer == "10.norm"


def test_a_state_that_begins_at_zero_is_not_dead_over_all_calls():
    network = recurrent(1.0)
    table = network.table()
    cell = (table["layer"] == "cell") & (table["signal"] == "activation")
    table.loc[cell, ["dead_channel_fraction", "samples"]] = [1.0, 64]
    dead = Recording.from_frames(table, network.structure(), network.metadata)
    assert outcome(dead, "SPP501").layer == "cell"
    table.loc[cell & (table["call"] == 3), "dead_channel_fraction"] = 0.1
    alive = Recording.from_frames(table, network.structure(), network.metadata)
    assert outcome(alive, "SPP501") == "passed"


def test_rectifiers_behind_a_normalisation_are_not_judged_by_the_layer_before_it():
    for nonlinearity in ("relu", "relu6", "threshold"):
        layers = chain(5)
        layers[3].activation["maximum"] = 0.0
        layers[3].structure["nonlinearity"] = nonlinearity
        assert outcome(recording(layers), "SPP501").layer == "3"
        layers[3].structure["normalised_after"] = True
        assert outcome(recording(layers), "SPP501") == "passed"


def test_an_output_that_is_muted_is_no_sign_that_nothing_is_heard():
    layers = dying(0.0, 0.0, 1.0, 0.0)
    layers[-1].variance = 0.0
    assert outcome(recording(layers), "SPP501").severity is Severity.ERROR
    muted = recording(layers, metadata={"silent_residual_gains": ["0.gain"]})
    assert outcome(muted, "SPP501").severity is Severity.WARNING


# -- saturation, one answer, equal units -----------------------------------------------------------


@pytest.mark.parametrize("name", ["tanh", "sigmoid", "softsign", "hardsigmoid", "hardtanh"])
def test_bounded_nonlinearities_saturate_and_others_do_not(name):
    layers = chain(4)
    assert "followed by a saturating nonlinearity" in outcome(recording(layers), "SPP502")
    layers[1].structure["nonlinearity"] = name
    layers[1].activation["variance"] = 1e4
    assert outcome(recording(layers), "SPP502").layer == "1"
    layers[1].structure["normalised_after"] = True
    assert "followed by a saturating nonlinearity" in outcome(recording(layers), "SPP502")


def test_pre_activations_of_little_spread_saturate_by_their_share_too():
    bounded = [Layer(str(n), 1.0, structure={"nonlinearity": "tanh"}) for n in range(4)]
    bounded[1].activation |= {"mean": 5.2, "variance": 0.25}
    found = outcome(recording(bounded), "SPP502")
    assert found.measured == pytest.approx(0.5 * math.erfc(-0.4 / math.sqrt(2)))


def test_of_seeds_the_median_saturates():
    bounded = [Layer(str(n), 1.0, structure={"nonlinearity": "tanh"}) for n in range(4)]
    network = recording(bounded)
    table = network.table()
    rows = (table["layer"] == "2") & (table["signal"] == "activation")
    table.loc[rows & (table["seed"] == 0), "mean"] = 100.0
    one = Recording.from_frames(table, network.structure(), network.metadata)
    assert outcome(one, "SPP502") == "passed"
    table.loc[rows & (table["seed"] == 2), "mean"] = 100.0
    two = Recording.from_frames(table, network.structure(), network.metadata)
    assert (outcome(two, "SPP502").layer, outcome(two, "SPP502").measured) == ("2", 1.0)


def nearly_alike(*shares, head=4e-9):
    """Layers of which such shares of the second moment vary; no layer is an offender."""
    layers = chain(len(shares) + 1)
    for layer, share in zip(layers, (*shares, head), strict=True):
        layer.variance = layer.second_moment * share
        layer.activation["average_channel_squared_mean"] = layer.variance
    return layers


def test_without_an_offender_the_first_layer_that_hardly_varies_lost_the_input():
    found = outcome(recording(nearly_alike(0.5, 0.5, 0.9e-3, 1e-5)), "SPP503")
    assert found.layer == "2"
    assert found.message.endswith(
        "only a share of 4e-09 differs between samples; the difference is lost at '2'"
    )
    assert found.advice == "Look at what this layer does to the samples."
    assert found.fix is None
    assert outcome(recording(nearly_alike(0.5, 1.1e-3, 0.9e-3)), "SPP503").layer == "2"


def test_a_layer_of_zeros_has_lost_the_input():
    layers = nearly_alike(0.5, 0.5, 0.5)
    layers[1].second_moment = layers[1].variance = 0.0
    assert outcome(recording(layers), "SPP503").layer == "1"


def test_where_all_layers_vary_the_head_lost_the_input():
    layers = nearly_alike(0.5, 0.5, 0.5)
    layers[-1].activation["average_channel_variance"] = 1.0
    assert outcome(recording(layers), "SPP503").layer == "3"


def test_an_output_that_is_not_known_or_of_a_head_of_zero_is_no_answer():
    layers = chain(4)
    unknown = recording(layers, metadata={"output": {"0": {}}})
    assert "not recorded, or is not finite" in outcome(unknown, "SPP503")
    one = {"1": {"second_moment": 1.0, "variance_across_samples": 1e-12}}
    found = outcome(recording(layers, metadata={"output": one}), "SPP503")
    assert found.measured == pytest.approx(1e-12, rel=1e-9, abs=0)
    layers[-1].weight = layers[-1].variance = 0.0
    assert outcome(recording(layers), "SPP503") == "the head's weights are zero"


@pytest.mark.parametrize(
    ("change", "told"),
    [({}, True), ({"groups": 2}, False), ({"fan_in": 1}, False), ({"fan_in": 2}, True)],
    ids=str,
)
def test_equal_weights_of_one_input_or_of_groups_are_no_equal_units(change, told):
    layers = chain(5)
    layers[1].weights |= {"minimum": 0.25, "maximum": 0.25}
    layers[1].structure |= change
    assert (outcome(recording(layers), "SPP504") != "passed") is told


def test_equal_units_are_an_error_in_more_than_half_of_the_hidden_layers():
    layers = chain(5)
    for number, severity in ((1, Severity.WARNING), (2, Severity.WARNING), (3, Severity.ERROR)):
        layers[number].weights |= {"minimum": 0.25, "maximum": 0.25}
        assert outcome(recording(layers), "SPP504").severity is severity


def test_equal_weights_of_the_head_are_not_told():
    layers = chain(5)
    layers[4].weights |= {"minimum": 0.25, "maximum": 0.25}
    assert outcome(recording(layers), "SPP504") == "passed"


# -- weights, in detail ----------------------------------------------------------------------------


def test_the_initialisation_of_the_head_and_before_a_normalisation_is_not_asked_for():
    layers = chain(4)
    layers[3].weight = layers[1].weight = 20 / 32
    layers[1].structure["normalised_after"] = True
    assert outcome(recording(layers), "SPP303") == "passed"
    for layer in layers:
        layer.structure["normalised_after"] = True
    assert "a normalisation follows all weights" in outcome(recording(layers), "SPP303")


def test_weights_of_zero_are_of_no_known_initialisation_and_not_told():
    layers = chain(4)
    layers[1].weight = 0.0
    assert outcome(recording(layers), "SPP303") == "passed"


def test_small_gains_that_are_unknown_are_told_too():
    layers = chain(5)
    layers[2].weight = 0.25 / 32
    assert outcome(recording(layers), "SPP303") == "passed"  # torch's default has a third
    layers[2].weight = 0.15 / 32
    found = outcome(recording(layers), "SPP303")
    assert "nearest is torch's default (1 / (3 fan-in)) with 0.333" in found.message


def test_two_groups_are_ignored_as_eight_are():
    found = outcome(grouped(0.5, groups=2), "SPP304")
    assert (found.layer, found.fix.factor) == ("1", pytest.approx(math.sqrt(2)))


def test_grouped_layers_before_a_normalisation_are_not_judged():
    network = grouped(2.0 / 8).structure().to_dict("records")
    network[1]["normalised_after"] = True
    frames = grouped(2.0 / 8)
    normalised = Recording.from_frames(frames.table(), pd.DataFrame(network), frames.metadata)
    assert "no grouped convolution without a normalisation" in outcome(normalised, "SPP304")


def test_the_largest_weights_are_told_whatever_their_number():
    layers = chain(5, weight=400.0)
    layers[3].weight, layers[3].structure["fan_in"] = 1600.0, 4
    found = outcome(recording(layers), "SPP305")
    assert (found.layer, found.fix.factor) == ("3", pytest.approx(math.sqrt(2 / (4 * 1600))))


def test_a_layer_of_weights_that_are_not_finite_sets_no_scale_for_the_others():
    layers = chain(5, weight=400.0)
    layers[0].weight, layers[0].weights["nonfinite_fraction"] = math.nan, 0.5
    found = outcome(recording(layers), "SPP305")
    assert found.layer == "1"
    assert found.fix.factor == pytest.approx(math.sqrt(2 / (32 * 400)))


def test_without_weights_nothing_is_said_of_their_size():
    assert "no weights were recorded" in outcome(recording(chain(4, weight=None)), "SPP305")


def test_the_margin_of_large_weights_is_that_of_the_median_layer():
    for size in (3.0, 12.0):
        diagnosis = judge(recording(chain(5, weight=size**2), seeds=4), select=["SPP305"])
        assert diagnosis.nearness["SPP305"] == pytest.approx(math.log10(size / 6) / (0.05 / 2))


# -- residual branches, in detail ------------------------------------------------------------------


def test_the_margin_of_branches_is_that_of_the_median_one():
    for ratio in (1.0, 1e-8, 1e6):
        nearness = judge(residual(ratio), select=["SPP105"]).nearness["SPP105"]
        cut = min(max(math.log10(ratio / 30), -2.0), 2.0)
        assert nearness == pytest.approx(cut / (0.05 / math.sqrt(3)))


def test_a_branch_of_exactly_zero_begins_there():
    assert outcome(residual(0.0), "SPP105") == "passed"


def test_silent_branches_are_asleep_where_more_than_half_get_no_gradient():
    layers = chain(6)
    layers[1].weight_gradient = 0.0
    names = ["1.weight", "2.weight"]
    half = recording(layers, metadata={"silent_residual_weights": names})
    assert outcome(half, "SPP106").severity is Severity.INFO
    layers[2].weight_gradient = 1e-25  # its square counts as zero
    both = recording(layers, metadata={"silent_residual_weights": names})
    assert outcome(both, "SPP106").severity is Severity.ERROR
    layers[2].weight_gradient = 1e-15
    one = recording(layers, metadata={"silent_residual_weights": names})
    assert outcome(one, "SPP106").severity is Severity.INFO


def test_a_branch_that_never_wakes_is_named_for_the_module_of_its_parameter():
    layers = chain(4)
    layers[1].name, layers[1].weight_gradient = "blocks.1.f", 0.0
    asleep = recording(layers, metadata={"silent_residual_weights": ["blocks.1.f.weight"]})
    found = outcome(asleep, "SPP106")
    assert (found.layer, found.fix.layers) == ("blocks.1.f", ("blocks.1.f",))


def test_a_silent_branch_sleeps_where_no_seed_wakes_it():
    layers = chain(4)
    layers[1].weight_gradient = 0.0
    network = recording(layers, metadata={"silent_residual_weights": ["1.weight"]})
    table = network.table()
    rows = (table["layer"] == "1") & (table["signal"] == "weight gradient")
    table.loc[rows & (table["seed"] == 2), "second_moment"] = 1e-8
    awake = Recording.from_frames(table, network.structure(), network.metadata)
    assert outcome(awake, "SPP106").severity is Severity.INFO


def test_without_a_real_loss_no_branch_is_called_asleep():
    layers = chain(4)
    network = recording(layers, loss=False, metadata={"silent_residual_weights": ["1.weight"]})
    assert outcome(network, "SPP106").severity is Severity.INFO


# -- recurrence, in detail -------------------------------------------------------------------------


def test_the_first_call_of_a_recurrence_does_not_count():
    network = recurrent(0.1)
    table = network.table()
    first = (table["layer"] == "cell") & (table["signal"] == "gradient") & (table["call"] == 0)
    table.loc[first, "second_moment"] = 1e30
    changed = Recording.from_frames(table, network.structure(), network.metadata)
    assert outcome(changed, "SPP206").measured == pytest.approx(1e7)


def test_gradients_over_calls_do_not_depend_on_the_order_of_the_rows():
    network = recurrent(0.1)
    turned = Recording.from_frames(
        network.table().iloc[::-1], network.structure(), network.metadata
    )
    assert outcome(turned, "SPP206").measured == pytest.approx(1e7)


def test_a_layer_that_differs_at_one_call_has_the_median_change():
    network = recurrent(0.1)
    table = network.table()
    late = (table["layer"] == "cell") & (table["signal"] == "gradient") & (table["call"] > 4)
    table.loc[late, "second_moment"] *= 1e-9
    changed = Recording.from_frames(table, network.structure(), network.metadata)
    assert outcome(changed, "SPP206").measured == pytest.approx(1e7)


def test_a_layer_called_at_several_sizes_is_no_recurrence():
    network = recurrent(0.1)
    table = network.table()
    one = (table["layer"] == "cell") & (table["call"] == 3)
    table.loc[one, "samples"] = 8
    changed = Recording.from_frames(table, network.structure(), network.metadata)
    assert "no layer is called again" in outcome(changed, "SPP206")


def test_the_first_of_several_exploding_recurrences_is_named():
    once = recurrent(0.1)
    table, structure = once.table(), once.structure()
    cell, row = table[table["layer"] == "cell"], structure[structure["layer"] == "cell"]
    # of 2, 7 and 14 decades; the first is executed first and does not explode
    tables, structures = [table], [structure]
    for name, depth, decades in (("mild", 0, 2.0), ("wild", 21, 14.0)):
        added = cell.assign(layer=name, depth=depth)
        backward = added["signal"] == "gradient"
        calls = added.loc[backward, "call"].astype(float)
        added.loc[backward, "second_moment"] *= 10.0 ** (calls * (7.0 - decades) / 7.0)
        tables.append(added)
        structures.append(row.assign(layer=name, depth=depth))
    several = Recording.from_frames(pd.concat(tables), pd.concat(structures), once.metadata)
    diagnosis = judge(several, select=["SPP206"])
    assert diagnosis.findings[0].layer == "cell"
    # that of the wildest is cut two decades beyond the threshold
    assert diagnosis.nearness["SPP206"] == pytest.approx(2.0 / (0.05 / math.sqrt(3)))


def test_the_margin_of_a_recurrence_that_passes_is_told():
    nearness = judge(recurrent(10 ** (-3.0 / 7)), select=["SPP206"]).nearness
    assert nearness["SPP206"] == pytest.approx(-1.0 / (0.05 / math.sqrt(3)))


def test_layers_that_residual_blocks_share_are_no_recurrence():
    assert "no recurrence" in outcome(residual(1.0), "SPP206")


# -- coverage, in detail ---------------------------------------------------------------------------


def test_a_layer_of_which_only_a_weight_gradient_was_read_is_observed():
    network = recording(chain(4))
    table = network.table()
    for dropped, seen in ((["activation"], True), (["activation", "weight gradient"], False)):
        rows = table[~((table["layer"] == "1") & table["signal"].isin(dropped))]
        part = Recording.from_frames(rows, network.structure(), network.metadata)
        assert (outcome(part, "SPP901") == "passed") is seen


def test_layers_of_one_parameter_count_and_those_of_none_do_not():
    single = chain(3)
    for layer in single:
        layer.structure["parameters"] = 1
    assert outcome(recording(single), "SPP901") == "passed"
    for layer in single:
        layer.structure["parameters"] = 0
    assert "no parameters" in outcome(recording(single), "SPP901")


# -- softmax, in detail ----------------------------------------------------------------------------


def test_a_softmax_that_answers_zero_is_not_judged():
    network = softmax(0.97)
    table = network.table()
    table.loc[table["layer"] == "attention.softmax", "mean"] = 0.0
    zero = Recording.from_frames(table, network.structure(), network.metadata)
    assert "no softmax within the network" in outcome(zero, "SPP505")


# -- weighing, in detail ---------------------------------------------------------------------------


def test_the_terms_of_the_logit_are_standardised_and_bend_on_both_sides():
    model = weighing.Weighing({
        "kind": "logistic", "intercept": 0.5, "threshold": 0.3,
        "statistics": {
            "a": {"mean": 1.0, "scale": 2.0, "coefficient": 3.0},
            "b": {"bends": [
                {"at": 1.0, "side": "below", "coefficient": -2.0},
                {"at": 2.0, "side": "above", "coefficient": -5.0},
            ]},
        },
    })  # fmt: skip
    values = {"a": np.array([5.0, 1.0, np.nan]), "b": np.array([0.0, 4.0, 1.5])}
    parts = model.contributions(values)
    assert parts["a"].tolist() == [6.0, 0.0, 0.0]
    assert parts["b"].tolist() == [-2.0, -10.0, 0.0]
    assert model.logits(values).tolist() == [4.5, -9.5, 0.5]
    assert model.threshold == 0.3


def test_a_tree_is_descended_by_statistics_and_where_one_is_undefined_as_it_says():
    def leaf(probability):
        return {"probability": probability}

    node = {"statistic": "b", "at": 0.0, "below": leaf(0.2), "above": leaf(0.6)}
    tree = {"statistic": "a", "at": 1.0, "undefined": "below", "below": leaf(0.1), "above": node}
    model = weighing.Weighing({"kind": "tree", "tree": tree})
    values = {
        "a": np.array([0.9, 1.0, 2.0, np.nan, 2.0]), "b": np.array([0.0, -0.1, 0.0, 9.0, np.nan])
    }  # fmt: skip
    wanted = np.array([0.1, 0.2, 0.6, 0.1, 0.6])
    assert model.logits(values) == pytest.approx(np.log(wanted / (1 - wanted)))
    assert model.contributions(values) == {}
    assert model.threshold == 0.5


@pytest.mark.parametrize(("probability", "logit"), [(0.0, -1), (1.0, 1)])
def test_certain_leaves_are_one_in_a_million(probability, logit):
    model = weighing.Weighing({"kind": "tree", "tree": {"probability": probability}})
    found = model.logits({"a": np.zeros(1)})
    assert found == pytest.approx([logit * math.log((1 - 1e-6) / 1e-6)])


def test_the_statistics_that_speak_most_against_training_are_named_in_their_order(
    monkeypatch, tmp_path
):
    def bend(coefficient):
        return {"bends": [{"at": 0.0, "side": "below", "coefficient": coefficient}]}

    model = {
        **LOGISTIC,
        "statistics": {
            "largest_gradient_norm": bend(-1.0),
            "smallest_gradient_norm": bend(-4.0),
            "first_layer_gradient_norm": bend(-3.0),
            "last_layer_gradient_norm": bend(-2.0),
            "total_gradient_norm": bend(+0.1),
        },
    }
    (tmp_path / "weighing.json").write_text(json.dumps(model))
    monkeypatch.setattr(weighing, "COEFFICIENTS", tmp_path / "weighing.json")
    weighing.fitted.cache_clear()
    try:
        network = recording(chain(4, weight_gradient=1e-10))
        found = judge(network, select=["SPP001"]).findings[0]
    finally:
        weighing.fitted.cache_clear()
    assert found.message.endswith(
        "; against it: smallest gradient norm 3.2e-09, first layer gradient norm 3.2e-09, last "
        "layer gradient norm 3.2e-09"
    )
    assert found.advice == "Rescale the weights layer by layer (LSUV)."
    assert (found.layer, found.statistic) == ("", "probability of training")
    assert (found.fix.kind, found.fix.layers) == ("LSUV", ("0", "1", "2"))
    assert found.expected == "above 0.5"


def test_what_speaks_for_training_is_not_named_and_seeds_count_by_their_median():
    against = {"one_seed": [-9.0, -1.0, -1.0], "all_seeds": [-2.0] * 3, "speaks_for": [0.5] * 3}
    contributions = {name: np.array(parts) for name, parts in against.items()}
    values = {"one_seed": np.zeros(3), "all_seeds": np.ones(3), "speaks_for": np.ones(3)}
    assert weighing._strongest(contributions, values) == "all seeds 10, one seed 1"


def test_an_offender_is_named_beside_the_weighed_evidence(coefficients):
    layers = chain(5, weight_gradient=1e-10)
    layers[2].weight *= 1e-6
    found = outcome(recording(layers), "SPP001")
    assert found.layer == "2"
    assert "; its weights have 1e-06 times the variance of its peers'" in found.message
    assert found.advice == "Multiply its initial weights by 1e+03."
    assert (found.fix.kind, found.fix.layers) == ("scale initialisation", ("2",))


def test_an_offender_that_nothing_mends_leaves_the_scaling_of_all_layers(coefficients):
    layers = chain(5, weight_gradient=1e-10)
    layers[2].activation["nonfinite_fraction"] = 0.5
    found = outcome(recording(layers), "SPP001")
    assert found.advice == "Re-initialise it."
    assert found.fix.kind == "LSUV"


def test_the_weighing_rule_has_a_threshold_of_its_own(coefficients):
    network = recording(chain(4))
    strict = judge(network, select=["SPP001"], thresholds={"SPP001": {"probability": 0.9999}})
    assert strict.findings[0].expected == "above 0.9999"


def test_without_gradients_of_a_loss_nothing_is_weighed(coefficients):
    assert "no gradients under a real loss" in outcome(recording(chain(4), loss=False), "SPP001")


def test_a_network_whose_rehearsal_failed_is_weighed_with_it_and_one_without_is_not(
    monkeypatch, tmp_path
):
    rehearsal = {"rehearsed_error": {"bends": [{"at": -2.0, "side": "above", "coefficient": 1.0}]}}
    model = {**LOGISTIC, "intercept": 0.0, "statistics": rehearsal}  # no probabilities beside it
    (tmp_path / "weighing.json").write_text(json.dumps(model))
    monkeypatch.setattr(weighing, "COEFFICIENTS", tmp_path / "weighing.json")
    weighing.fitted.cache_clear()
    try:
        found = [judge(network).probability_of_training for network in (
            rehearsed(0.1), rehearsed(1.0), recording(chain(5)),
        )]  # fmt: skip
    finally:
        weighing.fitted.cache_clear()
    assert found == pytest.approx([1 / (1 + math.exp(-1)), 1 / (1 + math.exp(-2)), 0.5])


def test_the_coefficients_that_were_fitted_are_part_of_the_package():
    assert weighing.COEFFICIENTS.name == "weighing.json"
    weighing.fitted.cache_clear()
    assert weighing.fitted().content["schema"] == 1


def test_a_logit_of_thousands_is_a_probability_all_the_same():
    from sppkit.rules.weighing import _probability

    assert _probability(1e6) == 1.0
    assert 0 <= _probability(-1e6) < 1e-200


def test_of_several_normalisations_over_few_values_the_first_is_named():
    norms = [
        Layer(name, structure={"computes": "batch_norm", "fan_in": None}, weight=None)
        for name in ("wide", "first", "second")
    ]
    for norm, samples in zip(norms, (16, 6, 4), strict=True):
        norm.activation["samples"] = samples
    for seeds in (1, 3):
        found = outcome(recording([*norms, *chain(2)], seeds=seeds), "SPP903")
        assert (found.layer, found.measured) == ("first", 6.0)
        assert "over 6 values per channel in 2 layers" in found.message
