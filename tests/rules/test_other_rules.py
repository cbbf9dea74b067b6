import json
import math

import pandas as pd
import pytest

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


def residual(branch, constant=1.0, **metadata):
    layers = [Layer("stem", 1.0, structure={"tap": "stem", "block": 0})]
    for number in range(1, 5):
        end = Layer(f"{number}.f", branch)
        end.structure = {
            "tap": "residual branch", "block": number, "constant": constant, "gains": "",
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


def test_the_logit_is_that_of_the_file():
    model = weighing.Weighing(LOGISTIC)
    import numpy as np

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
