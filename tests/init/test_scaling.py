"""Multiplying weights by a factor."""

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from sppkit.init import scale_weights


def test_weights_are_multiplied_and_biases_are_not():
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    before = {k: v.clone() for k, v in model.state_dict().items()}
    assert scale_weights(model, 2.5, layers="2") == ("2",)
    after = model.state_dict()
    assert torch.equal(after["2.weight"], 2.5 * before["2.weight"])
    assert all(torch.equal(after[k], before[k]) for k in before if k != "2.weight")


def test_a_chain_with_a_gain_per_layer_is_made_to_keep_its_second_moment():
    """A chain of L linear layers with Var[w] = g²/n multiplies E[x²] by g^(2L); times 1/g, by 1."""
    torch.manual_seed(0)
    model = nn.Sequential(*(nn.Linear(512, 512, bias=False) for _ in range(6)))
    for layer in model:
        nn.init.normal_(layer.weight, std=0.5 * 512**-0.5)
    x = torch.randn(256, 512)
    with torch.no_grad():
        assert float(model(x).square().mean()) == pytest.approx(0.25**6, rel=0.1)
        scale_weights(model, 2.0)
        assert float(model(x).square().mean()) == pytest.approx(1.0, rel=0.1)


def test_a_weight_that_is_parametrized_by_norm_and_direction_is_assigned_through():
    model = nn.Sequential(parametrizations.weight_norm(nn.Linear(4, 4)))
    before = model[0].weight.detach().clone()
    scale_weights(model, 3.0)
    assert torch.allclose(model[0].weight, 3 * before)


def test_a_weight_that_takes_no_values_is_refused_with_the_name_of_what_computes_it():
    class Doubled(nn.Module):
        def forward(self, w):
            return 2 * w

    model = nn.Sequential(nn.Linear(4, 4))
    nn.utils.parametrize.register_parametrization(model[0], "weight", Doubled())
    with pytest.raises(ValueError, match="computed by Doubled, which takes no values"):
        scale_weights(model, 3.0)


@pytest.mark.parametrize("factor", [0.0, float("nan"), float("inf")])
def test_a_factor_that_destroys_the_weights_is_refused(factor):
    with pytest.raises(ValueError, match="must be finite and not 0"):
        scale_weights(nn.Linear(2, 2), factor)
