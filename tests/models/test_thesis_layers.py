import math

import pytest
import torch
from torch import nn

from sppkit.models.layers import (
    DynamicTanh,
    MagnitudePreservingSum,
    magnitude_preserving_product,
    magnitude_preserving_sum,
)
from sppkit.theory import SELU_ALPHA, SELU_SCALE


def test_the_constants_of_selu_d11():
    """D11: scale 1.0507, alpha 1.6733, saturation -1.7581."""
    assert pytest.approx(1.0507, abs=5e-5) == SELU_SCALE
    assert pytest.approx(1.6733, abs=5e-5) == SELU_ALPHA
    assert nn.SELU()(torch.tensor(-100.0)).item() == pytest.approx(-1.7580993, abs=1e-6)


@pytest.mark.parametrize("weight", [0.0, 0.3, 0.5, 1.0])
def test_the_weighted_sum_keeps_the_variance_d11(weight):
    """D11: ((1 - w) a + w b) / sqrt((1 - w)^2 + w^2); at a half (a + b) / sqrt 2."""
    torch.manual_seed(0)
    a, b = torch.randn(2, 200_000, dtype=torch.double)
    total = magnitude_preserving_sum(a, b, weight)
    assert total.var().item() == pytest.approx(1.0, abs=0.02)
    expected = ((1 - weight) * a + weight * b) / math.hypot(1 - weight, weight)
    torch.testing.assert_close(total, expected)
    learned = torch.tensor(weight, dtype=torch.double)
    torch.testing.assert_close(magnitude_preserving_sum(a, b, learned), expected)
    torch.testing.assert_close(magnitude_preserving_sum(a, b), (a + b) / math.sqrt(2))


def test_the_weight_belongs_to_the_second_operand():
    a, b = torch.tensor(3.0), torch.tensor(5.0)
    assert magnitude_preserving_sum(a, b, 0.0) == a
    assert magnitude_preserving_sum(a, b, 1.0) == b


def test_the_gate_of_the_product_d11():
    """D11: a gate of a half gives 0.70711, and 0, 1/4, 3/4, 1 give 0, .3162, .9487, 1."""
    gates = torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0])
    expected = torch.tensor([0.0, 0.316228, 0.707107, 0.948683, 1.0])
    product = magnitude_preserving_product(torch.ones(5), gates)
    torch.testing.assert_close(product, expected, atol=1e-6, rtol=0)


def test_a_learned_sum_learns_its_weight():
    merge = MagnitudePreservingSum()
    a, b = torch.randn(2, 4, 3)
    torch.testing.assert_close(merge(a, b), magnitude_preserving_sum(a, b))
    merge(a, b).square().sum().backward()
    assert merge.weight.grad is not None
    assert not list(MagnitudePreservingSum(learned=False).parameters())


def test_dynamic_tanh_squashes_scales_and_shifts_d11():
    """D11: DyT, gain tanh(slope x) + bias, with slope 1/2, gain 1 and bias 0 at first."""
    layer = DynamicTanh(3)
    x = torch.randn(2, 3, 4, 4)
    torch.testing.assert_close(layer(x), torch.tanh(0.5 * x))
    with torch.no_grad():
        layer.slope.fill_(2.0)
        layer.gain.copy_(torch.tensor([1.0, 2.0, 3.0]))
        layer.bias.copy_(torch.tensor([0.0, 0.0, 5.0]))
    torch.testing.assert_close(layer(x)[:, 2], 3 * torch.tanh(2 * x[:, 2]) + 5)
    assert sum(parameter.numel() for parameter in layer.parameters()) == 3 + 3 + 1


def test_dynamic_tanh_of_tokens_has_its_channels_last():
    layer = DynamicTanh(5, slope=1.0, channel_axis=-1)
    with torch.no_grad():
        layer.gain.copy_(torch.arange(5.0))
    x = torch.randn(2, 7, 5)
    torch.testing.assert_close(layer(x), torch.arange(5.0) * torch.tanh(x))
