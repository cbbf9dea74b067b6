import math
import warnings

import numpy as np
import pytest
import torch
from torch.nn import functional

from sppkit import theory
from sppkit.models import (
    GainedNonlinearity,
    ScaledStandardizedConv2d,
    StochasticDepth,
    magnitude_preserving_sum,
    make_nonlinearity,
)

# -- scaled weight standardisation


def test_effective_weight_of_the_worked_example():
    convolution = ScaledStandardizedConv2d(4, 1, 1)
    with torch.no_grad():
        convolution.weight.copy_(torch.tensor([1.0, 2.0, 3.0, 4.0]).view(1, 4, 1, 1))
    expected = torch.tensor([-0.670820, -0.223607, 0.223607, 0.670820])
    torch.testing.assert_close(
        convolution.effective_weight().flatten(), expected, atol=1e-6, rtol=0
    )


@pytest.mark.parametrize("groups", [1, 2, 8])
def test_filters_have_mean_zero_and_norm_of_their_gain(groups):
    convolution = ScaledStandardizedConv2d(8, 16, 3, groups=groups)
    with torch.no_grad():
        convolution.weight.mul_(7.0).add_(3.0)
        convolution.gain.copy_(torch.linspace(-2, 2, 16))
    filters = convolution.effective_weight().flatten(1)
    assert filters.shape == (16, 8 // groups * 9)
    torch.testing.assert_close(filters.mean(1), torch.zeros(16), atol=1e-6, rtol=0)
    torch.testing.assert_close(filters.norm(dim=1), convolution.gain.abs(), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "arguments",
    [
        {"padding": 1},
        {"padding": 1, "groups": 2, "stride": 2},
        {"dilation": 2, "bias": False},
        {"padding": (0, 1), "stride": (2, 1)},
    ],
)
def test_output_is_the_convolution_with_the_effective_weight(arguments):
    convolution = ScaledStandardizedConv2d(4, 6, 3, **arguments)
    x = torch.randn(2, 4, 7, 8)
    options = {name: value for name, value in arguments.items() if name != "bias"}
    expected = functional.conv2d(x, convolution.effective_weight(), convolution.bias, **options)
    torch.testing.assert_close(convolution(x), expected)


def test_circular_padding_wraps_around():
    convolution = ScaledStandardizedConv2d(2, 3, 3, padding=1, padding_mode="circular")
    x = torch.randn(1, 2, 5, 5)
    wrapped = functional.pad(x, (1, 1, 1, 1), mode="circular")
    expected = functional.conv2d(wrapped, convolution.effective_weight(), convolution.bias)
    torch.testing.assert_close(convolution(x), expected)


def test_a_common_mean_of_the_inputs_leaves_no_trace():
    convolution = ScaledStandardizedConv2d(64, 32, 3)
    x = torch.randn(2, 64, 9, 9)
    torch.testing.assert_close(convolution(x + 100.0), convolution(x), atol=1e-3, rtol=0)


def test_parameters_start_as_in_the_authors_code():
    convolution = ScaledStandardizedConv2d(64, 512, 3)
    assert convolution.weight.std().item() == pytest.approx(1 / math.sqrt(64 * 9), rel=0.01)
    assert convolution.gain.unique().item() == 1.0
    assert convolution.bias.unique().item() == 0.0


def test_eps_is_a_floor_for_constant_filters():
    convolution = ScaledStandardizedConv2d(3, 2, 3)
    with torch.no_grad():
        convolution.weight.fill_(0.5)
    assert convolution.effective_weight().abs().max().item() == 0.0
    convolution(torch.randn(1, 3, 4, 4)).sum().backward()
    assert torch.isfinite(convolution.weight.grad).all()


def test_gradient_reaches_weight_gain_and_bias():
    convolution = ScaledStandardizedConv2d(3, 2, 3).double()
    x = torch.randn(1, 3, 4, 4, dtype=torch.double)

    def output(weight, gain, bias):
        parameters = {"weight": weight, "gain": gain, "bias": bias}
        return torch.func.functional_call(convolution, parameters, (x,))

    torch.autograd.gradcheck(output, (convolution.weight, convolution.gain, convolution.bias))


def test_a_filter_of_one_weight_is_zero_and_said_so():
    with pytest.warns(UserWarning, match="fan-in 1"):
        convolution = ScaledStandardizedConv2d(4, 4, 1, groups=4)
    assert convolution.effective_weight().abs().max().item() == 0.0


def test_a_filter_of_more_weights_does_not_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ScaledStandardizedConv2d(4, 4, 3, groups=4)


# -- nonlinearities


@pytest.mark.parametrize("name", theory.NONLINEARITIES)
def test_torch_and_theory_mean_the_same_function(name):
    z = np.linspace(-9, 9, 2001)
    activation = make_nonlinearity(name)(torch.from_numpy(z)).numpy()
    np.testing.assert_allclose(activation, theory.NONLINEARITIES[name](z), atol=1e-12)


@pytest.mark.parametrize("name", ["relu", "silu", "tanh"])
def test_gained_nonlinearity_has_unit_variance(name):
    z = torch.from_numpy(np.random.default_rng(0).standard_normal(400_000))
    # 5 standard deviations of a sample variance, the fourth moment being below 10
    assert GainedNonlinearity(name)(z).var().item() == pytest.approx(1.0, abs=0.025)


def test_gain_can_be_given():
    assert GainedNonlinearity("relu", gain=2.0)(torch.tensor(3.0)).item() == 6.0


def test_unknown_nonlinearity_lists_all():
    with pytest.raises(ValueError, match=r"did you mean 'gelu'.*leaky_relu"):
        make_nonlinearity("gellu")


# -- merges and drops


def test_magnitude_preserving_sum_keeps_the_variance():
    a, b = torch.from_numpy(np.random.default_rng(0).standard_normal((2, 200_000)))
    assert magnitude_preserving_sum(a, b).var().item() == pytest.approx(1.0, abs=0.02)
    assert magnitude_preserving_sum(torch.tensor(1.0), torch.tensor(1.0)).item() == pytest.approx(
        math.sqrt(2)
    )


def test_stochastic_depth_drops_whole_samples_without_rescaling():
    torch.manual_seed(0)
    x = torch.randn(1000, 2, 3, 3)
    y = StochasticDepth(0.25)(x)
    kept = (y != 0).flatten(1).any(1)
    assert torch.equal(y[kept], x[kept])
    # 5 standard deviations of a share of 1000
    assert kept.double().mean().item() == pytest.approx(0.75, abs=0.07)


def test_stochastic_depth_rests_in_evaluation():
    x = torch.randn(4, 2, 3, 3)
    assert torch.equal(StochasticDepth(0.9).eval()(x), x)


@pytest.mark.parametrize("rate", [-0.1, 1.0])
def test_stochastic_depth_refuses_rates_outside_its_range(rate):
    with pytest.raises(ValueError, match=r"\[0, 1\)"):
        StochasticDepth(rate)
