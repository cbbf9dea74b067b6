import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from sppkit import theory
from sppkit.theory import (
    nonlinearity_gain,
    nonlinearity_moments,
    normalizer_free_ladder,
    padding_factor,
    postactivation_ladder,
    preactivation_ladder,
)

# Monte-Carlo values of deepmind-research/nfnets/base.py: right to about 1e-3
PUBLISHED_GAINS = {
    "identity": 1.0,
    "relu": 1.7139588594436646,
    "relu6": 1.7131484746932983,
    "leaky_relu": 1.70590341091156,
    "elu": 1.2716004848480225,
    "celu": 1.270926833152771,
    "selu": 1.0008515119552612,
    "gelu": 1.7015043497085571,
    "silu": 1.7881293296813965,
    "sigmoid": 4.803835391998291,
    "tanh": 1.5939117670059204,
    "softplus": 1.9203323125839233,
    "softsign": 2.338853120803833,
    "log_sigmoid": 1.9193484783172607,
}

# independently integrated, to the digits given
EXACT_GAINS = {
    "relu6": 1.7128586,
    "leaky_relu": 1.7048316,
    "elu": 1.2708434,
    "celu": 1.2708434,
    "gelu": 1.7009262,
    "gelu_tanh": 1.7009166,
    "silu": 1.7871872,
    "sigmoid": 4.8013134,
    "tanh": 1.5925374,
    "softplus": 1.9191260,
    "softsign": 2.3375334,
    "log_sigmoid": 1.9191260,
    "hard_swish": 1.8138715,
    "hard_sigmoid": 6.0150345,
    "mish": 1.5920254,
}


# -- nonlinearities

OF_TORCH = {
    "identity": lambda z: z,
    "gelu_tanh": lambda z: functional.gelu(z, approximate="tanh"),
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "log_sigmoid": functional.logsigmoid,
    "hard_swish": functional.hardswish,
    "hard_sigmoid": functional.hardsigmoid,
}


@pytest.mark.parametrize("name", theory.NONLINEARITIES)
def test_a_nonlinearity_is_that_of_torch(name):
    z = torch.cat([torch.linspace(-9, 9, 145), torch.tensor([-700.0, 700.0])]).double()
    wanted = OF_TORCH.get(name) or getattr(functional, name)
    found = theory.NONLINEARITIES[name](z.numpy())
    np.testing.assert_allclose(found, wanted(z), rtol=1e-12, atol=1e-15)


# -- gains and moments


@pytest.mark.parametrize("name", PUBLISHED_GAINS)
def test_gain_is_within_sampling_error_of_the_published_one(name):
    assert nonlinearity_gain(name) == pytest.approx(PUBLISHED_GAINS[name], rel=1e-3)


@pytest.mark.parametrize("name", EXACT_GAINS)
def test_gain_is_exact_to_the_digits_known(name):
    assert nonlinearity_gain(name) == pytest.approx(EXACT_GAINS[name], abs=5.1e-8)


def test_gain_of_relu_has_its_closed_form():
    assert nonlinearity_gain("relu") == pytest.approx(math.sqrt(2 / (1 - 1 / math.pi)), rel=1e-12)


def test_gain_of_identity_and_selu_is_one():
    assert nonlinearity_gain("identity") == pytest.approx(1.0, rel=1e-13)
    assert nonlinearity_gain("selu") == pytest.approx(1.0, rel=1e-13)


def test_gain_of_a_function_equals_that_of_its_name():
    assert nonlinearity_gain(lambda z: np.maximum(z, 0)) == nonlinearity_gain("relu")


@pytest.mark.parametrize("name", theory.NONLINEARITIES)
def test_gain_gives_unit_variance_to_samples(name):
    z = np.random.default_rng(0).standard_normal(400_000)
    scaled = nonlinearity_gain(name) * theory.NONLINEARITIES[name](z)
    # the variance of a sample variance is at most about 10/n for these functions: 5 sigma
    assert scaled.var() == pytest.approx(1.0, abs=5 * math.sqrt(10 / len(z)))


def test_selu_constants_have_their_closed_form():
    a = math.erfc(math.sqrt(0.5)) * math.sqrt(math.e)
    b = math.erfc(math.sqrt(2)) * math.e**2
    alpha = math.sqrt(2 / math.pi) / (1 - a)
    spread = 2 * b + math.pi * a**2 - 2 * (2 + math.pi) * a + math.pi + 2
    assert pytest.approx(alpha, rel=1e-13) == theory.SELU_ALPHA
    scale = (1 - a) * math.sqrt(2 * math.pi) / math.sqrt(spread)
    assert pytest.approx(scale, rel=1e-13) == theory.SELU_SCALE


def test_moments_of_relu_have_their_closed_form():
    moments = nonlinearity_moments("relu")
    assert moments.mean == pytest.approx(1 / math.sqrt(2 * math.pi), rel=1e-13)
    assert moments.second_moment == pytest.approx(0.5, rel=1e-13)
    assert moments.variance == pytest.approx(0.5 - 0.5 / math.pi, rel=1e-13)


@pytest.mark.parametrize("mean", [-1.5, 0.0, 0.3])
@pytest.mark.parametrize("variance", [1e-8, 0.09, 1.0, 1e6])
def test_moments_of_relu_under_any_gaussian_have_their_closed_form(mean, variance):
    deviation = math.sqrt(variance)
    share = 0.5 * math.erfc(-mean / deviation * math.sqrt(0.5))
    density = math.exp(-0.5 * mean**2 / variance) / math.sqrt(2 * math.pi)
    expected_mean = mean * share + deviation * density
    expected_second = (mean**2 + variance) * share + mean * deviation * density
    moments = nonlinearity_moments("relu", mean=mean, variance=variance)
    assert moments.mean == pytest.approx(expected_mean, rel=1e-10, abs=1e-14)
    assert moments.second_moment == pytest.approx(expected_second, rel=1e-10, abs=1e-14)


@pytest.mark.parametrize("mean", [-1.0, 0.3, 3.0, 6.0])
@pytest.mark.parametrize("deviation", [0.1, 1.0, 5.0])
def test_a_corner_away_from_zero_costs_nothing(mean, deviation):
    def mean_of_relu(mean):
        share = 0.5 * math.erfc(-mean / deviation * math.sqrt(0.5))
        density = math.exp(-0.5 * (mean / deviation) ** 2) / math.sqrt(2 * math.pi)
        return mean * share + deviation * density

    found = nonlinearity_moments("relu6", mean=mean, variance=deviation**2).mean
    expected = mean_of_relu(mean) - mean_of_relu(mean - 6.0)
    assert found == pytest.approx(expected, rel=1e-12, abs=1e-13)


def test_moments_of_a_point_mass_are_the_function_itself():
    moments = nonlinearity_moments("tanh", mean=0.7, variance=0.0)
    assert (moments.mean, moments.variance) == (pytest.approx(math.tanh(0.7)), 0.0)


@pytest.mark.parametrize("name", theory.NONLINEARITIES)
def test_moments_are_finite_and_quiet_for_a_wide_gaussian(name):
    moments = nonlinearity_moments(name, mean=-3.0, variance=1e8)
    assert math.isfinite(moments.second_moment)


def test_unknown_name_names_the_nearest_and_lists_all():
    with pytest.raises(ValueError, match=r"'rellu' \(did you mean 'relu'\?\)") as error:
        nonlinearity_gain("rellu")
    assert str(error.value).endswith(f"; valid names: {', '.join(theory.NONLINEARITIES)}")


def test_a_name_like_no_other_is_refused_without_a_guess():
    with pytest.raises(ValueError, match=r"^unknown nonlinearity 'xyz'; valid names: identity, "):
        nonlinearity_gain("xyz")


@pytest.mark.parametrize("name", ["glu", "log_softmax", "softmax"])
def test_functions_of_several_numbers_are_refused_with_the_reason(name):
    with pytest.raises(ValueError, match="not a function of one number") as error:
        nonlinearity_gain(name)
    assert str(error.value).endswith(f"valid names: {', '.join(theory.NONLINEARITIES)}")


def test_constant_function_is_refused():
    with pytest.raises(ValueError, match="is constant"):
        nonlinearity_gain(lambda z: np.full_like(z, 5.0))
    with pytest.raises(ValueError, match="is constant"):
        nonlinearity_gain(np.zeros_like)


def test_function_that_is_not_elementwise_is_refused():
    with pytest.raises(ValueError, match="same shape"):
        nonlinearity_gain(lambda z: z.mean())


def test_function_that_is_not_finite_is_refused():
    with pytest.raises(ValueError, match=r"is not finite on \[-11\.99\d*, 11\.99\d*\]$"):
        nonlinearity_gain(lambda z: np.where(z > 11, np.inf, z))


@pytest.mark.parametrize(
    ("mean", "variance"),
    [(0.0, -1.0), (math.nan, 1.0), (math.inf, 1.0), (0.0, math.inf), (0.0, math.nan)],
)
def test_moments_are_of_a_finite_mean_and_a_variance_that_is_not_negative(mean, variance):
    with pytest.raises(ValueError, match=f"variance >= 0, got {mean} and {variance}$"):
        nonlinearity_moments("relu", mean=mean, variance=variance)


# -- ladders


def test_normalizer_free_ladder_is_that_of_the_paper():
    ladder = normalizer_free_ladder((3, 4, 6, 3))
    entering = [1, 1.04, 1.08, 1.12, 1.04, 1.08, 1.12, 1.16]
    entering += [1.04, 1.08, 1.12, 1.16, 1.2, 1.24, 1.04, 1.08]
    leaving = [1.04, 1.08, 1.12, 1.04, 1.08, 1.12, 1.16]
    leaving += [1.04, 1.08, 1.12, 1.16, 1.2, 1.24, 1.04, 1.08, 1.12]
    np.testing.assert_allclose(ladder.entering_variance, entering, rtol=1e-14)
    np.testing.assert_allclose(ladder.average_channel_variance, leaving, rtol=1e-14)
    np.testing.assert_array_equal(ladder.average_channel_squared_mean, np.zeros(16))
    np.testing.assert_array_equal(ladder.residual_average_channel_variance, np.ones(16))


def test_normalizer_free_betas_are_those_of_the_authors_code():
    inverse_beta = normalizer_free_ladder((7,)).entering_variance ** -0.5
    published = [1, 0.980581, 0.96225, 0.944911, 0.928477, 0.912871, 0.898027]
    np.testing.assert_allclose(inverse_beta, published, atol=5e-7)


def test_normalizer_free_ladder_of_other_depths_and_alphas():
    f0 = [1, 1.04, 1.04, 1.08, 1.04, 1.08, 1.12, 1.16, 1.2, 1.24, 1.04, 1.08]
    np.testing.assert_allclose(normalizer_free_ladder((1, 2, 6, 3)).entering_variance, f0)
    np.testing.assert_allclose(
        normalizer_free_ladder((3, 4), alpha=1.0).average_channel_variance, [2, 3, 4, 2, 3, 4, 5]
    )
    resnet101 = normalizer_free_ladder((3, 4, 23, 3)).average_channel_variance
    assert resnet101[29] == pytest.approx(1.92)


def test_relu_bn_ladder_counts_the_unit_terms():
    ladder = preactivation_ladder((3, 2), order="relu-bn")
    np.testing.assert_allclose(ladder.average_channel_variance, [2, 3, 4, 2, 3])
    np.testing.assert_array_equal(ladder.average_channel_squared_mean, np.zeros(5))
    np.testing.assert_allclose(ladder.residual_average_channel_variance, np.ones(5))


def test_bn_relu_ladder_splits_the_second_moment():
    ladder = preactivation_ladder((3,), order="bn-relu")
    terms = np.array([2.0, 3.0, 4.0])
    np.testing.assert_allclose(ladder.average_channel_variance, (1 - 1 / math.pi) * terms)
    np.testing.assert_allclose(ladder.average_channel_squared_mean, terms / math.pi)
    np.testing.assert_allclose(ladder.residual_average_channel_variance, 1 - 1 / math.pi)


def test_bn_relu_ladder_scales_with_the_weights():
    # fan-out scaling of a bottleneck's last convolution: fan_in / fan_out = 1/4
    quarter = preactivation_ladder((2,), weight_gain=0.5)
    np.testing.assert_allclose(quarter.residual_average_channel_variance, 0.170, atol=5e-4)


def test_bn_relu_ladder_of_selu_has_no_mean():
    ladder = preactivation_ladder((2,), weight_gain=1.0, nonlinearity="selu")
    np.testing.assert_allclose(ladder.average_channel_variance, [2, 3], rtol=1e-12)
    np.testing.assert_allclose(ladder.average_channel_squared_mean, 0, atol=1e-12)


def test_postactivation_ladder_matches_simulated_networks():
    ladder = postactivation_ladder((6,))
    # measured on torchvision-like networks: their own sampling error is about 0.3 %
    variance = [0.683, 0.999, 1.342, 1.693, 2.047, 2.408]
    squared_mean = [0.318, 0.685, 1.085, 1.512, 1.953, 2.412]
    np.testing.assert_allclose(ladder.average_channel_variance, variance, rtol=3e-3)
    np.testing.assert_allclose(ladder.average_channel_squared_mean, squared_mean, rtol=3e-3)
    np.testing.assert_array_equal(ladder.residual_average_channel_variance, np.ones(6))


def test_postactivation_ladder_starts_with_the_moments_of_relu():
    ladder = postactivation_ladder((1,))
    assert ladder.average_channel_variance[0] == pytest.approx(1 - 1 / math.pi, rel=1e-12)
    assert ladder.average_channel_squared_mean[0] == pytest.approx(1 / math.pi, rel=1e-12)


@pytest.mark.parametrize("alpha", [1.0, 0.2, 3.0])
@pytest.mark.parametrize("first_block", ["projection", "identity"])
def test_postactivation_ladder_matches_sampled_walks(first_block, alpha):
    random = np.random.default_rng(0)
    x = random.standard_normal(400_000)
    x = np.maximum(x, 0) if first_block == "identity" else x
    ladder = postactivation_ladder((12,), first_block=first_block, alpha=alpha)
    for mean_square, variance in zip(
        ladder.average_channel_squared_mean, ladder.average_channel_variance, strict=True
    ):
        x = np.maximum(x + alpha * random.standard_normal(len(x)), 0)
        assert x.mean() ** 2 == pytest.approx(mean_square, rel=0.01)
        assert x.var() == pytest.approx(variance, rel=0.01)


def test_postactivation_ladder_is_set_back_at_transitions():
    ladder = postactivation_ladder((2, 3), first_block="identity")
    later = postactivation_ladder((3,))
    np.testing.assert_allclose(
        ladder.average_channel_variance[2:], later.average_channel_variance, rtol=1e-9
    )
    assert ladder.average_channel_variance[0] > later.average_channel_variance[0]


def test_ladders_have_one_value_per_block():
    for ladder in (
        normalizer_free_ladder((3, 8, 36, 3)),
        preactivation_ladder((3, 8, 36, 3)),
        postactivation_ladder((3, 8, 36, 3)),
    ):
        assert ladder.average_channel_variance.shape == (50,)
        assert ladder.average_channel_squared_mean.shape == (50,)
        assert ladder.residual_average_channel_variance.shape == (50,)


@pytest.mark.parametrize("depths", [(), (2, 0), (-1,)])
def test_depths_must_be_positive(depths):
    with pytest.raises(ValueError, match="blocks per stage"):
        normalizer_free_ladder(depths)


def test_unknown_orders_are_refused():
    with pytest.raises(ValueError, match="'relu-bn' or 'bn-relu', got 'post'"):
        preactivation_ladder((2,), order="post")
    with pytest.raises(ValueError, match="'projection' or 'identity'"):
        postactivation_ladder((2,), first_block="none")


@pytest.mark.parametrize("alpha", [0.0, 0.01, -1.0, math.nan, math.inf])
def test_an_alpha_that_the_quadrature_does_not_reach_is_refused(alpha):
    with pytest.raises(ValueError, match=r"must be a number from 0\.05 on"):
        postactivation_ladder((2,), alpha=alpha)


# -- padding


@pytest.mark.parametrize(
    ("size", "factor"),
    [(56, 0.976), (28, 0.953), (14, 0.907), (7, 0.819), (4, 0.694), (2, 0.444)],
)
def test_padding_factor_of_a_3x3(size, factor):
    """N8: what zero padding takes."""
    assert padding_factor(size, size) == pytest.approx(factor, abs=5e-4)
    assert padding_factor(size, 5) == pytest.approx((1 - 2 / (3 * size)) * (1 - 2 / 15))


def test_padding_factor_counts_taps_of_any_kernel():
    # taps of a kernel of 5 on 3 positions: 3 + 3 + 3 of 15
    assert padding_factor(3, 1000, kernel_size=5) == pytest.approx(9 / 15 * (1 - 6 / 5000))
    assert padding_factor(4, 9, kernel_size=1) == 1.0
    # of nine taps one falls on a single position
    assert padding_factor(1, 1) == pytest.approx(1 / 9)


@pytest.mark.parametrize("arguments", [{"kernel_size": 2}, {"kernel_size": 0}, {"kernel_size": -1}])
def test_padding_factor_is_defined_for_odd_kernels_only(arguments):
    with pytest.raises(ValueError, match="kernel_size is odd"):
        padding_factor(4, 4, **arguments)


@pytest.mark.parametrize(("height", "width"), [(0, 4), (4, 0), (-1, 4)])
def test_padding_factor_is_defined_for_maps_with_positions_only(height, width):
    with pytest.raises(ValueError, match=f"are 1 or more, got {height} and {width}"):
        padding_factor(height, width)
