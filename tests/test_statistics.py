import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from sppkit import statistics
from sppkit.statistics import (
    EXTENDED_STATISTICS,
    PAIR_STATISTICS,
    POWERS,
    STATISTICS,
    WEIGHT_STATISTICS,
    evaluate,
    evaluate_all,
    quantile,
)
from sppkit.summaries import Summaries
from sppkit.summary import ChannelSummary, packed_size
from tests.oracle import by_channel, summary_of

ALL = (*STATISTICS, *WEIGHT_STATISTICS, *EXTENDED_STATISTICS)
CHANNELS = 6


def half_dead() -> Tensor:
    x = torch.randn(8, CHANNELS, 4, 4).relu()
    x[:, ::2] = 0
    return x


TENSORS = {
    "normal": lambda: torch.randn(8, CHANNELS, 4, 4),
    "offset": lambda: 3 + torch.randn(8, CHANNELS, 4, 4),
    "unequal channels": lambda: torch.randn(50, CHANNELS) * torch.arange(1.0, 7) - 2,
    "half dead": half_dead,
    "positive": lambda: torch.randn(8, CHANNELS, 4, 4).exp(),
    "negative": lambda: -torch.randn(8, CHANNELS, 4, 4).exp(),
    "gradients of 1e-24": lambda: 1e-24 * torch.randn(8, CHANNELS, 4, 4),
    "values of 1e20": lambda: 1e20 * torch.randn(8, CHANNELS, 4, 4),
    "one value per channel": lambda: torch.randn(1, CHANNELS),
}

# Every statistic again, from the values themselves: x is (C, values per channel).
DEFINITIONS = {
    "mean": lambda x: x.mean(),
    "variance": lambda x: x.var(),
    "second_moment": lambda x: (x**2).mean(),
    "average_channel_squared_mean": lambda x: (x.mean(1) ** 2).mean(),
    "average_channel_variance": lambda x: x.var(1).mean(),
    "minimum": lambda x: x.min(),
    "maximum": lambda x: x.max(),
    "zero_fraction": lambda x: (x == 0).mean(),
    "nonfinite_fraction": lambda x: (~np.isfinite(x)).mean(),
    "dead_channel_fraction": lambda x: (x == 0).all(1).mean(),
    "mean_unit_wise_norm": lambda x: np.linalg.norm(x, axis=1).mean(),
    "maximum_unit_wise_norm": lambda x: np.linalg.norm(x, axis=1).max(),
    "mean_absolute": lambda x: np.abs(x).mean(),
    "kurtosis": lambda x: ((x - x.mean()) ** 4).mean() / x.var() ** 2,
    "float16_underflow_fraction": lambda x: (np.abs(x[x != 0]) < 2.0**-14).mean(),
}
APPROXIMATE = {"quantile_05": 0.05, "quantile_50": 0.5, "quantile_95": 0.95}


@pytest.mark.parametrize("name", DEFINITIONS)
@pytest.mark.parametrize("tensor", TENSORS)
def test_a_statistic_agrees_with_its_definition(tensor, name):
    values = TENSORS[tensor]()
    wanted = DEFINITIONS[name](by_channel(values, 1))
    found = getattr(statistics, name)(summary_of(values))
    assert found == pytest.approx(wanted, rel=1e-12, abs=0)


@pytest.mark.parametrize("name", APPROXIMATE)
@pytest.mark.parametrize("tensor", TENSORS)
def test_a_quantile_has_the_sign_and_the_power_of_two_of_the_true_one(tensor, name):
    values = by_channel(TENSORS[tensor](), 1)
    found = getattr(statistics, name)(summary_of(TENSORS[tensor]().new_tensor(values.T)))
    true = np.quantile(values, APPROXIMATE[name], method="inverted_cdf")
    assert math.frexp(abs(found))[1] - math.frexp(abs(true))[1] in (0, 1)
    assert np.sign(found) == np.sign(true)
    assert values.min() <= found <= values.max()


@pytest.mark.parametrize("scale", [1.0, 1.3, 1.7, 1e-24, 1e20])
def test_quantiles_of_a_normal_distribution_are_within_their_stated_resolution(scale):
    normal = torch.distributions.Normal(0.0, 1.0)
    evenly = normal.icdf((torch.arange(20_000) + 0.5) / 20_000).double()
    summary = summary_of(scale * evenly, None)
    for q, tolerance in [(0.05, 0.125), (0.25, 0.035), (0.75, 0.035), (0.95, 0.125)]:
        wanted = scale * normal.icdf(torch.tensor(q)).item()
        assert quantile(summary, q) == pytest.approx(wanted, rel=tolerance, abs=0)


def test_quantiles_are_exact_where_the_values_leave_no_choice():
    constant = summary_of(torch.full((8, CHANNELS), 0.7))
    assert [quantile(constant, q) for q in (0.05, 0.5, 0.95)] == [pytest.approx(0.7)] * 3
    mostly_zero = summary_of(torch.tensor([[-1.0, 0, 0, 0, 0, 0, 0, 0, 0, 1.0]]).T)
    assert quantile(mostly_zero, 0.5) == 0


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("exponent", [-127, -126, -1, 0, 126])
def test_a_quantile_divides_the_power_of_two_that_holds_it_evenly_in_the_logarithm(exponent, sign):
    # one value on either side, so that the extremes cut nothing off; the half of eight is four
    inside = torch.full((8,), 1.5 * 2.0**exponent)
    values = torch.cat([inside, torch.tensor([-(2.0**127), 2.0**127])])[:, None]
    low = -149 if exponent == -127 else exponent  # all subnormal numbers lie together
    middle = sign * 2.0 ** ((low + exponent + 1) / 2)
    found = quantile(summary_of(sign * values, None), 0.5)
    assert found == pytest.approx(middle, rel=1e-12, abs=0)


@pytest.mark.parametrize("value", [3e38, 1e40, 1e-50])
@pytest.mark.parametrize("sign", [-1, 1])
def test_quantiles_at_the_ends_of_the_range_of_float32_stay_between_the_extremes(value, sign):
    constant = summary_of(torch.full((8, 1), sign * value, dtype=torch.float64))
    assert quantile(constant, 0.5) == pytest.approx(sign * value, rel=1e-15, abs=0)


@pytest.mark.parametrize("name", APPROXIMATE)
def test_a_quantile_is_that_of_its_name(name):
    summary = summary_of(torch.linspace(-1, 3, 4001), None)
    assert getattr(statistics, name)(summary) == quantile(summary, APPROXIMATE[name])


def test_quantiles_are_undefined_where_the_histogram_is():
    summary = summary_of(torch.randn(8, CHANNELS).relu()).scaled(1 / 3)
    assert [math.isnan(quantile(summary, q)) for q in (0.05, 0.5, 0.95)] == [True] * 3


@pytest.mark.parametrize("q", [0.0, 1.0, -0.5, math.nan])
def test_a_share_outside_of_zero_to_one_is_refused(q):
    with pytest.raises(ValueError, match=f"^q={q} must lie between 0 and 1, exclusive$"):
        quantile(summary_of(torch.randn(4, 2)), q)


def test_the_largest_unit_wise_norm_of_a_single_value_is_its_magnitude():
    assert statistics.maximum_unit_wise_norm(summary_of(torch.tensor([[-3.0]]))) == 3.0


@pytest.mark.parametrize("tensor", TENSORS)
def test_the_second_moment_is_squared_mean_plus_variance(tensor):
    found = evaluate(summary_of(TENSORS[tensor]()), STATISTICS)
    parts = found["average_channel_squared_mean"] + found["average_channel_variance"]
    assert found["second_moment"] == pytest.approx(parts, rel=1e-14, abs=0)


def test_statistics_of_a_hand_made_tensor_are_the_numbers_one_finds_by_hand():
    # Channels (1, 3) and (0, 0): means 2 and 0, variances 1 and 0.
    found = evaluate(summary_of(torch.tensor([[1.0, 0.0], [3.0, 0.0]])), ALL)
    quantiles = {name: found.pop(name) for name in APPROXIMATE}
    assert found == {
        "mean": 1.0,
        "variance": 1.5,
        "second_moment": 2.5,
        "average_channel_squared_mean": 2.0,
        "average_channel_variance": 0.5,
        "minimum": 0.0,
        "maximum": 3.0,
        "zero_fraction": 0.5,
        "nonfinite_fraction": 0.0,
        "dead_channel_fraction": 0.5,
        "mean_unit_wise_norm": math.sqrt(10) / 2,
        "maximum_unit_wise_norm": math.sqrt(10),
        "mean_absolute": 1.0,
        "kurtosis": pytest.approx((0 + 16 + 1 + 1) / 4 / 1.5**2),
        "float16_underflow_fraction": 0.0,
    }
    assert quantiles["quantile_05"] == quantiles["quantile_50"] == 0
    assert 2 <= quantiles["quantile_95"] <= 3


def test_the_kurtosis_of_a_normal_distribution_is_three_and_of_two_values_one():
    normal = torch.distributions.Normal(0.0, 1.0)
    evenly = normal.icdf((torch.arange(200_000, dtype=torch.float64) + 0.5) / 200_000)
    assert statistics.kurtosis(summary_of(evenly, None)) == pytest.approx(3, rel=2e-3)
    assert statistics.kurtosis(summary_of(torch.tensor([-1.0, 1.0]), None)) == 1


@pytest.mark.parametrize("channels", [0, 3])
@pytest.mark.parametrize("statistic", ALL, ids=lambda statistic: statistic.__name__)
def test_a_statistic_of_an_empty_tensor_is_undefined_and_silent(statistic, channels):
    assert math.isnan(statistic(ChannelSummary.empty(channels, extended=True)))


@pytest.mark.parametrize("statistic", EXTENDED_STATISTICS, ids=lambda s: s.__name__)
def test_an_extended_statistic_of_a_base_summary_is_undefined(statistic):
    packed = summary_of(torch.randn(8, CHANNELS)).pack()[: packed_size(CHANNELS, False)]
    assert math.isnan(statistic(ChannelSummary.unpack(packed, CHANNELS)))


def test_a_nonfinite_value_leaves_what_does_not_depend_on_it():
    tensor = torch.randn(8, CHANNELS)
    tensor[0, 0], tensor[1, 1] = math.nan, math.inf
    found = evaluate(summary_of(tensor), ALL)
    defined = {name for name, value in found.items() if not math.isnan(value)}
    assert defined == {
        "minimum",
        "maximum",
        "zero_fraction",
        "nonfinite_fraction",
        "dead_channel_fraction",
        "float16_underflow_fraction",
        *APPROXIMATE,
    }
    assert found["nonfinite_fraction"] == 2 / (8 * CHANNELS)
    assert found["maximum"] == tensor[tensor.isfinite()].max()


def test_extremes_are_undefined_where_nothing_is_finite():
    found = evaluate(summary_of(torch.full((4, CHANNELS), math.inf)), ALL)
    assert math.isnan(found["minimum"])
    assert math.isnan(found["maximum"])
    assert math.isnan(found["quantile_50"])
    assert found["nonfinite_fraction"] == 1


def test_values_at_the_smallest_normal_number_of_float16_do_not_underflow():
    tensor = torch.tensor([2.0**-14, -(2.0**-14), 2.0**-14 * (1 - 2**-23), 0.0])
    found = statistics.float16_underflow_fraction(summary_of(tensor, None))
    assert found == pytest.approx(1 / 3)


def test_the_names_of_all_statistics_are_different():
    names = [statistic.__name__ for statistic in ALL]
    assert len(set(names)) == len(names)
    assert set(names) == {*DEFINITIONS, *APPROXIMATE}


def test_every_statistic_is_a_python_float():
    found = evaluate(summary_of(torch.randn(8, CHANNELS)), ALL)
    assert {type(value) for value in found.values()} == {float}


@pytest.mark.parametrize("statistic", [*ALL, *PAIR_STATISTICS], ids=lambda s: s.__name__)
def test_a_statistic_keeps_the_docstring_of_its_formula(statistic):
    assert statistic.__doc__.startswith("Return the ")


def test_tensors_side_by_side_have_the_statistics_that_each_has_alone():
    # of different channels, one without channels, one without values
    shapes = [(50, 4), (0, 3), (8, CHANNELS, 4, 4), (5, 0), (50, 2), (1, 2)]
    parts = [summary_of(10.0**-k * torch.randn(shape)) for k, shape in enumerate(shapes)]
    found = evaluate_all(Summaries.of(parts), ALL)
    for k, part in enumerate(parts):
        alone = {
            name: pytest.approx(v, rel=1e-12, abs=0, nan_ok=True)
            for name, v in evaluate(part, ALL).items()
        }
        assert {name: values[k] for name, values in found.items()} == alone, shapes[k]


@pytest.mark.parametrize("missing", ["m3", "m4"])
def test_the_kurtosis_is_undefined_without_a_moment_that_it_needs(missing):
    partial = replace(summary_of(torch.randn(8, CHANNELS)), **{missing: None})
    assert math.isnan(statistics.kurtosis(partial))


@pytest.mark.parametrize("statistic", [*STATISTICS, *EXTENDED_STATISTICS], ids=lambda s: s.__name__)
@pytest.mark.parametrize("tensor", ["unequal channels", "half dead"])
def test_a_statistic_grows_with_the_values_by_the_power_of_its_unit(tensor, statistic):
    values = TENSORS[tensor]()
    once, eightfold = (statistic(summary_of(x)) for x in (values, 8 * values))
    assert eightfold == pytest.approx(once * 8.0 ** POWERS.get(statistic.__name__, 0), rel=1e-12)


# -- a tensor and its weight -----------------------------------------------------------------------


def gradients_and_weights() -> tuple[Tensor, Tensor]:
    """Of five units; the weights of one are zero, those of another are next to nothing."""
    gradients, weights = torch.randn(5, 12), torch.randn(5, 12)
    weights[1], weights[2], gradients[2] = 0, 1e-6, 100 * gradients[2]
    return gradients, weights


def test_norms_are_compared_with_those_of_the_weight():
    gradients, weights = gradients_and_weights()
    found = statistics.norm_to_weight_ratio(summary_of(gradients, 0), summary_of(weights, 0))
    assert found == pytest.approx(gradients.double().norm() / weights.double().norm())


def test_unit_wise_norms_are_compared_with_those_of_the_weight_but_a_thousandth_at_least():
    gradients, weights = gradients_and_weights()
    norms, of_weights = (x.double().norm(dim=1) for x in (gradients, weights))
    for units in ([0, 3, 4], [0, 1, 3], [0, 2], [3]):
        found = statistics.maximum_unit_wise_norm_to_weight_ratio(
            summary_of(gradients[units], 0), summary_of(weights[units], 0)
        )
        wanted = (norms / of_weights.clamp(min=1e-3))[units].max()
        assert found == pytest.approx(float(wanted), rel=1e-12)


def test_ratios_of_a_weight_without_elements_are_undefined():
    empty = ChannelSummary.empty(0)
    assert [math.isnan(ratio(empty, empty)) for ratio in PAIR_STATISTICS] == [True, True]


def test_the_norm_of_a_gradient_is_infinitely_many_times_that_of_a_weight_of_zero():
    gradient, zero = summary_of(torch.ones(2, 3)), summary_of(torch.zeros(2, 3))
    assert statistics.norm_to_weight_ratio(gradient, zero) == math.inf
