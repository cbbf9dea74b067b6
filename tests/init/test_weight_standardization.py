"""Scaled weight standardisation, compared with the bundled convolution that has it built in."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from sppkit.init import initialize_weights, standardize_weights
from sppkit.models.layers import ScaledStandardizedConv2d
from sppkit.theory import nonlinearity_gain


@pytest.mark.parametrize("groups", [1, 2, 8])
def test_it_is_what_the_convolution_of_the_references_computes(groups):
    plain = nn.Conv2d(8, 8, 3, groups=groups)
    reference = ScaledStandardizedConv2d(8, 8, 3, groups=groups)
    reference.load_state_dict({**plain.state_dict(), "gain": torch.full((8,), 1.3)})
    standardize_weights(plain, 1.3)
    assert torch.allclose(plain.weight, reference.effective_weight())


def test_units_have_mean_zero_and_the_norm_of_the_gain():
    layer = nn.Linear(50, 7)
    with torch.no_grad():
        layer.weight.mul_(9).add_(4)
    standardize_weights(layer, 1.7)
    assert torch.allclose(layer.weight.mean(1), torch.zeros(7), atol=1e-6)
    assert torch.allclose(layer.weight.norm(dim=1), torch.full((7,), 1.7))


def test_a_chain_with_the_gain_of_relu_keeps_the_variance_of_samples():
    """Of He's initialisation a growing part is a mean per unit: its variance falls to 0.1 here."""
    torch.manual_seed(0)
    layers = []
    for _ in range(12):
        layers += [nn.Linear(512, 512, bias=False), nn.ReLU()]
    model = nn.Sequential(nn.Linear(512, 512, bias=False), nn.ReLU(), *layers)
    rectifier_model = copy.deepcopy(model)
    initialize_weights(rectifier_model, "he", {str(i): "relu" for i in range(2, 26, 2)})
    gains = {str(i): nonlinearity_gain("relu") for i in range(2, 26, 2)}
    assert len(standardize_weights(model, gains)) == 13
    with torch.no_grad():
        x = torch.randn(256, 512)
        kept, lost = (float(m[:25](x).var(0).mean()) for m in (model, rectifier_model))
    print(kept, lost)
    assert kept == pytest.approx(1.0, rel=0.25)
    assert lost < 0.3


def test_gradients_reach_the_weights_and_the_parametrization_comes_off():
    layer = nn.Conv2d(4, 4, 3)
    before = layer.weight.detach().clone()
    standardize_weights(layer)
    layer(torch.randn(1, 4, 5, 5)).sum().backward()
    assert layer.parametrizations.weight.original.grad is not None
    parametrize.remove_parametrizations(layer, "weight", leave_parametrized=False)
    assert torch.equal(layer.weight, before)


def test_layers_that_it_would_silence_or_that_have_it_are_left_out():
    model = nn.Sequential(
        nn.Conv2d(4, 4, 1, groups=4),
        nn.ConvTranspose2d(4, 4, 3),
        ScaledStandardizedConv2d(4, 4, 3),
        nn.Conv2d(4, 4, 3),
    )
    assert standardize_weights(model) == ("3",)
    assert standardize_weights(model) == ()
