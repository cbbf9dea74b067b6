import math

import numpy as np
import pytest
import torch
from torch import Tensor

from sppkit import statistics
from sppkit.statistics import (
    EXTENDED_STATISTICS,
    STATISTICS,
    WEIGHT_STATISTICS,
    evaluate,
    quantile,
)
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
