import numpy as np
import pytest

from sppkit.rules import Severity, judge
from tests.rules.frames import Layer, chain, recording
from tests.rules.test_forward_rules import outcome


@pytest.mark.parametrize("code", ["SPP201", "SPP202", "SPP302"])
def test_gradients_of_the_unit_probe_are_never_judged_as_those_of_a_loss(code):
    reason = outcome(recording(chain(6, weight_gradient=1e-30), loss=False), code)
    assert "no gradients under a real loss were recorded" in reason


# -- SPP201, SPP202 ------------------------------------------------------------------------------


def test_gradients_vanish_where_no_hidden_layer_has_one():
    layers = chain(6, weight_gradient=1e-11)
    layers[-1].weight_gradient = 1.0  # the head always gets one
    found = outcome(recording(layers), "SPP201")
    assert found.severity is Severity.ERROR
    assert "in all 5 hidden layers its root mean square is at most 1e-11" in found.message
    layers[3].weight_gradient = 1e-3
    assert outcome(recording(layers), "SPP201") == "passed"


def test_gradients_of_exactly_zero_are_called_zero():
    assert (
        "root mean square is zero"
        in outcome(recording(chain(6, weight_gradient=0.0)), "SPP201").message
    )


def test_zeros_that_a_zero_head_explains_are_not_judged():
    layers = chain(6, weight_gradient=0.0)
    layers[-1].weight = 0.0
    assert "the head's weights are zero" in outcome(recording(layers), "SPP201")


def test_zeros_that_silent_branches_explain_are_left_out():
    layers = chain(6, weight_gradient=0.0)
    layers[0].weight_gradient = 1e-3
    silent = {"silent_residual_gains": ["1.gain"]}
    assert outcome(recording(layers, metadata=silent), "SPP201") == "passed"


def test_exploding_gradients_are_relative_to_their_weights():
    assert outcome(recording(chain(6, weight_gradient=1e2)), "SPP202") == "passed"
    layers = chain(6)
    layers[2].weight_gradient = 1e9
    found = outcome(recording(layers), "SPP202")
    assert found.layer == "2"
    assert "the gradient of '2' is 4e+09 times as large as its weights" in found.message


# -- SPP203, SPP204 ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("factor", "verb"), [(0.1, "falls short of"), (10.0, "exceeds")], ids=["forgets", "chaos"]
)
def test_energy_that_changes_on_its_way_is_an_imbalance(factor, verb):
    layers = [Layer(str(n), gradient=1e-4 * factor ** (8 - n)) for n in range(9)]
    found = outcome(recording(layers), "SPP203")
    assert f"gradient times activation at '0' {verb} that at '7' by a factor of" in found.message
    assert found.measured == pytest.approx(factor**7)


def test_energy_is_blind_to_scales():
    layers = [Layer(str(n), second_moment=100.0**n, gradient=0.01**n) for n in range(6)]
    assert outcome(recording(layers), "SPP203") == "passed"


def loss_of(value):
    return {"loss": {"chance": 2.0, "values": {str(seed): value for seed in range(3)}}}


def test_the_first_loss_is_compared_with_that_of_chance():
    assert outcome(recording(chain(4), metadata=loss_of(6.0)), "SPP204") == "passed"
    found = outcome(recording(chain(4), metadata=loss_of(500.0)), "SPP204")
    assert found.message == "the untrained network's loss is 250 times that of chance"
    assert found.layer == "3"
    assert found.fix.factor == pytest.approx(2.0**-0.5)
    assert "was not recorded" in outcome(recording(chain(4)), "SPP204")


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
    assert found.severity is Severity.ERROR
    assert found.measured == 1.0


def test_the_decision_is_taken_over_seeds_in_logarithms():
    layers = chain(6, weight_gradient=2e-9)
    diagnosis = judge(recording(layers, seeds=4), select=["SPP201"])
    assert diagnosis.nearness["SPP201"] == pytest.approx(np.log10(5) / (0.05 / 2))
