import math

import pytest
import torch
from torch import nn
from torch.nn import functional

import sppkit
from sppkit.models.layers import (
    BinaryConv2d,
    BinaryScaledStandardizedConv2d,
    ChannelBias,
    RPReLU,
    RSign,
    approximate_sign,
    binarize,
)

# -- the sign and its gradient


def test_the_sign_of_zero_is_zero_b1():
    """B1: an input of exactly 0 is dropped, as in the authors' code."""
    x = torch.tensor([-2.0, -1e-30, 0.0, 1e-30, 3.0])
    assert approximate_sign(x).tolist() == [-1.0, -1.0, 0.0, 1.0, 1.0]


def test_the_gradient_of_the_sign_is_a_tent_b1():
    """B1: 0, 0, 1, 2, 1, 0, 0 at -1.5 to 1.5 in steps of a half."""
    x = torch.arange(-1.5, 1.6, 0.5, requires_grad=True)
    approximate_sign(x).sum().backward()
    assert x.grad.tolist() == [0.0, 0.0, 1.0, 2.0, 1.0, 0.0, 0.0]


def test_the_gradient_is_that_of_the_piecewise_quadratic():
    x = torch.linspace(-1.4, 1.4, 57, dtype=torch.double, requires_grad=True)
    quadratic = torch.where(x < 0, x * x + 2 * x, -x * x + 2 * x)
    bounded = torch.where(x.abs() < 1, quadratic, x.detach().sign())
    cotangent = torch.linspace(-1, 2, 57, dtype=torch.double)
    (expected,) = torch.autograd.grad(bounded, x, cotangent)
    (measured,) = torch.autograd.grad(approximate_sign(x), x, cotangent)
    torch.testing.assert_close(measured, expected)


def test_rsign_moves_its_threshold_per_channel_b3():
    """B3: RSign."""
    sign = RSign(2)
    with torch.no_grad():
        sign.shift.bias.copy_(torch.tensor([0.5, -0.5]))
    x = torch.full((1, 2, 1, 1), 0.1)
    assert sign(x).flatten().tolist() == [1.0, -1.0]


def test_rprelu_is_a_prelu_with_a_movable_corner_b3():
    """B3: RPReLU, with slopes of 0.25."""
    activation = RPReLU(2)
    assert activation.prelu.weight.tolist() == [0.25, 0.25]
    with torch.no_grad():
        activation.shift_in.bias.copy_(torch.tensor([1.0, 0.0]))
        activation.shift_out.bias.copy_(torch.tensor([0.0, 3.0]))
    x = torch.tensor([-2.0, -2.0]).view(1, 2, 1, 1)
    assert activation(x).flatten().tolist() == [-0.25, 2.5]


def test_a_channel_bias_reaches_every_position():
    bias = ChannelBias(3)
    bias(torch.randn(2, 3, 4, 5)).sum().backward()
    assert bias.bias.grad.tolist() == [40.0] * 3


# -- binary weights


def test_a_binary_filter_has_one_magnitude_and_its_signs():
    weight = torch.tensor([[1.0, -3.0, 0.5, -0.5], [0.2, 0.2, -0.2, 0.2]]).view(2, 4, 1, 1)
    expected = [[1.25, -1.25, 1.25, -1.25], [0.2, 0.2, -0.2, 0.2]]
    torch.testing.assert_close(binarize(weight).flatten(1), torch.tensor(expected))


def test_gradients_pass_straight_through_where_weights_are_within_one():
    weight = torch.tensor([0.5, -0.9, 1.5, -2.0]).view(1, 4, 1, 1).requires_grad_()
    cotangent = torch.tensor([1.0, 2.0, 3.0, 4.0]).view(1, 4, 1, 1)
    binarize(weight).backward(cotangent)
    assert weight.grad.flatten().tolist() == [1.0, 2.0, 0.0, 0.0]


def test_the_authors_first_weights_are_all_positive():
    torch.manual_seed(0)
    weight = BinaryConv2d(64, 8, 3).effective_weight()
    assert (weight > 0).all()
    # the mean of 576 numbers, uniform below 1e-3, and 5 of its standard deviations
    assert weight.mean(dim=(1, 2, 3)).sub(5e-4).abs().max().item() < 5 * 1e-3 / math.sqrt(12 * 576)


def test_weights_by_fan_in_train_without_a_first_stage():
    """Uniform of variance 1 / N: N W_b² = (sqrt(3) / 2)² = 3/4, and signs of both kinds."""
    torch.manual_seed(0)
    convolution = BinaryConv2d(64, 128, 3, initial="fan_in")
    weight = convolution.effective_weight()
    assert (weight > 0).double().mean().item() == pytest.approx(0.5, abs=0.01)
    assert 576 * weight.square().mean().item() == pytest.approx(0.75, rel=0.01)
    assert convolution.weight.var().item() == pytest.approx(1 / 576, rel=0.02)


def test_the_magnitude_of_standardised_binary_weights_b2():
    """B2: |W_b| = 0.034626 for uniform weights below 1e-3 and a fan-in of 576.

    E|u| = sqrt(3) / 2 for a standardised uniform variable, over sqrt(576), less what eps = 1e-5
    takes from a deviation of 1e-3 / sqrt(12).
    """
    deviation = 1e-3 / math.sqrt(12)
    expected = math.sqrt(3) / 2 / math.sqrt(576) * deviation / (deviation + 1e-5)
    # The published value is that of one filter; over filters it spreads by 2 % / sqrt(256).
    assert expected == pytest.approx(0.034626, rel=0.01)
    torch.manual_seed(0)
    weight = BinaryScaledStandardizedConv2d(64, 256, 3).effective_weight()
    assert weight.abs().mean().item() == pytest.approx(0.034626, rel=0.01)
    assert weight.abs().mean().item() == pytest.approx(expected, rel=2e-3)
    assert weight[0].abs().unique().numel() <= 2  # one magnitude, but for rounding


@pytest.mark.parametrize(("draw", "variance"), [(torch.rand, 0.70), (torch.randn, 2 / math.pi)])
def test_the_variance_of_binary_convolutions_of_signs_b2(draw, variance):
    """B2: N W_b^2 is 0.70 for uniform weights (eps), 2 / pi for gaussian ones."""
    torch.manual_seed(0)
    convolution = BinaryScaledStandardizedConv2d(64, 256, 3)
    with torch.no_grad():
        convolution.weight.copy_(draw(convolution.weight.shape) * 1e-3)
        if draw is torch.randn:
            convolution.weight.mul_(1e4)
        output = convolution(torch.randn(8, 64, 12, 12).sign())
    assert output.var(dim=(0, 2, 3)).mean().item() == pytest.approx(variance, rel=0.02)


def test_the_gain_stands_outside_and_is_learned_b2():
    """B2: gain outside, magnitude without gradient, straight through to W."""
    convolution = BinaryScaledStandardizedConv2d(4, 2, 3)
    before = convolution.effective_weight()
    with torch.no_grad():
        convolution.gain.copy_(torch.tensor([2.0, -1.0]))
    torch.testing.assert_close(
        convolution.effective_weight(), before * torch.tensor([2.0, -1.0]).view(2, 1, 1, 1)
    )
    convolution(torch.randn(1, 4, 5, 5)).square().sum().backward()
    assert torch.isfinite(convolution.weight.grad).all()
    assert (convolution.weight.grad != 0).any()
    assert (convolution.gain.grad != 0).all()


@pytest.mark.parametrize("kind", [BinaryConv2d, BinaryScaledStandardizedConv2d])
def test_output_is_the_convolution_with_the_effective_weight(kind):
    convolution = kind(3, 5, 3, 2, 1, "circular", initial="fan_in")
    x = torch.randn(2, 3, 8, 8)
    wrapped = functional.pad(x, (1, 1, 1, 1), mode="circular")
    expected = functional.conv2d(wrapped, convolution.effective_weight(), stride=2)
    torch.testing.assert_close(convolution(x), expected)


def test_unknown_first_weights_are_refused():
    with pytest.raises(ValueError, match="positive, fan_in; got 'negative'"):
        BinaryConv2d(3, 4, 3, initial="negative")


def test_the_recorder_reads_binary_weights_beside_the_stored_ones_b4():
    """B4: statistics of effective weights, binarised and standardised, beside the raw ones."""
    recording = sppkit.probe(
        lambda: nn.Sequential(BinaryScaledStandardizedConv2d(16, 8, 3, 1, 1), nn.Flatten()),
        input_size=(16, 6, 6),
        seeds=1,
        signals=["weight", "effective weight"],
    )
    rows = recording.table().query("tensor == 'weight'").set_index("signal")
    assert rows.loc["weight", "mean"] == pytest.approx(5e-4, rel=0.1)
    # mean zero of W' does not make the binary mean zero, but of one magnitude: 0.83 / 12
    assert rows.loc["effective weight", "second_moment"] ** 0.5 == pytest.approx(
        0.8357 / 12, rel=0.02
    )
