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


def test_gradients_vanish_where_they_are_nothing_beside_the_weights_of_all_layers():
    layers = chain(7, weight_gradient=1e-9)
    found = outcome(recording(layers), "SPP201")
    assert found.severity is Severity.ERROR
    assert found.message == (
        "gradients do not arrive: |gradient| / |weight| is at most 4e-09 at each of 7 layers"
    )
    layers[3].weight_gradient = 1e-3
    assert outcome(recording(layers), "SPP201") == "passed"


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
