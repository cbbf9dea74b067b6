"""Statistics: pure functions of a channel summary; their names are columns and axis labels.

Notation: a tensor has C channels (or units), channel c holds n_c values with mean m_c and sum of
squared deviations M2_c; N is the sum of the n_c. All channels of one tensor hold equally many.
A statistic that is undefined is NaN: of an empty tensor, of moments where a value is not finite,
and the extended ones of a base summary.

Every statistic is written once, for many tensors side by side (`Summaries`), and gives an array
with one number for each; of the `ChannelSummary` of a single tensor it gives a float.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import update_wrapper
from typing import overload

import numpy as np

from sppkit.summaries import Summaries
from sppkit.summary import HISTOGRAM_BINS, Array, ChannelSummary

FLOAT32_BIAS = 127
"""What is added to an exponent in the pattern of a float32."""

EXPONENTS = HISTOGRAM_BINS // 2
"""Number of float32 exponents: the histogram holds them twice, for either sign."""

FINITE = EXPONENTS - 1
"""The exponents of finite numbers are the first so many."""

FLOAT16_SMALLEST_NORMAL_EXPONENT = -14

_ENDS = 2.0 ** np.concatenate([[-149], np.arange(1, EXPONENTS) - FLOAT32_BIAS])
"""Magnitudes between which the finite exponents lie, from the smallest subnormal number on."""

BIN_LOW = np.concatenate([-_ENDS[:0:-1], [0.0], _ENDS[:-1]])
BIN_HIGH = np.concatenate([-_ENDS[-2::-1], [0.0], _ENDS[1:]])
"""Ends of the bins that `_ascending` orders."""


class Statistic:
    """A function of the summaries of many tensors, which takes that of a single one too.

    Args:
        function: from one or more `Summaries` of as many tensors, and plain numbers, to an array
            with one number per tensor.
    """

    def __init__(self, function: Callable[..., Array]) -> None:
        self._function = function
        update_wrapper(self, function)
        self.__name__: str = function.__name__

    @overload
    def __call__(self, *summaries: Summaries) -> Array: ...
    @overload
    def __call__(self, *summaries: ChannelSummary) -> float: ...
    def __call__(self, *summaries: Summaries | ChannelSummary) -> Array | float:
        """Evaluate it; NaN and infinities are answers, not accidents."""
        many = [s if isinstance(s, Summaries) else Summaries.of([s]) for s in summaries]
        with np.errstate(all="ignore"):
            found = self._function(*many)
        return found if isinstance(summaries[0], Summaries) else float(found[0])


@Statistic
def mean(tensors: Summaries) -> Array:
    """Return the mean of all values: sum_c n_c m_c / N."""
    return tensors.mean


@Statistic
def variance(tensors: Summaries) -> Array:
    """Return the biased variance of all values: sum((x - mean)^2) / N.

    Pooled: channels of different means raise it. It exceeds the average channel variance by the
    variance of the channel means.
    """
    return tensors.pooled_m2 / tensors.values


@Statistic
def second_moment(tensors: Summaries) -> Array:
    """Return the mean square of all values: sum(x^2) / N.

    Equal to the average channel squared mean plus the average channel variance.
    """
    return tensors.squares / tensors.values


@Statistic
def average_channel_squared_mean(tensors: Summaries) -> Array:
    """Return the mean over channels of the squared channel mean: sum_c m_c^2 / C.

    Near 0 in a network whose channels stay centred; growth over depth is a mean shift.

    References:
        Characterizing signal propagation to close the performance gap in unnormalized ResNets,
        Brock, De and Smith, 2021, https://arxiv.org/abs/2101.08692, section 3.
    """
    return tensors.squared_means / tensors.nonempty_channels


@Statistic
def average_channel_variance(tensors: Summaries) -> Array:
    """Return the mean over channels of the biased channel variance: sum_c (M2_c / n_c) / C.

    Measured at the end of a residual branch it is the paper's residual average channel variance.
    The variance is divided by n_c, not by n_c - 1, as in the authors' code.

    References:
        Brock, De and Smith, 2021, https://arxiv.org/abs/2101.08692, section 3.
    """
    return tensors.variances / tensors.nonempty_channels


@Statistic
def minimum(tensors: Summaries) -> Array:
    """Return the smallest finite value."""
    return _finite_or_nan(tensors.least)


@Statistic
def maximum(tensors: Summaries) -> Array:
    """Return the largest finite value."""
    return _finite_or_nan(tensors.greatest)


@Statistic
def zero_fraction(tensors: Summaries) -> Array:
    """Return the share of values that are exactly zero."""
    return tensors.zeros / tensors.values


@Statistic
def nonfinite_fraction(tensors: Summaries) -> Array:
    """Return the share of values that are NaN or infinite."""
    return tensors.nonfinite / tensors.values


@Statistic
def dead_channel_fraction(tensors: Summaries) -> Array:
    """Return the share of channels whose every value is exactly zero.

    Of one batch: a unit that is silent here may answer to other inputs.
    """
    return tensors.dead_channels / tensors.nonempty_channels


@Statistic
def mean_unit_wise_norm(tensors: Summaries) -> Array:
    """Return the mean over units of the Euclidean norm: mean_c sqrt(sum(x_c^2)).

    References:
        High-performance large-scale image recognition without normalization, Brock, De, Smith and
        Simonyan, 2021, https://arxiv.org/abs/2102.06171, section 4 (adaptive gradient clipping).
    """
    return tensors.norms / tensors.nonempty_channels


@Statistic
def maximum_unit_wise_norm(tensors: Summaries) -> Array:
    """Return the largest Euclidean norm of a unit: max_c sqrt(sum(x_c^2)).

    References:
        Brock, De, Smith and Simonyan, 2021, https://arxiv.org/abs/2102.06171, section 4.
    """
    return np.where(tensors.values > 0, tensors.greatest_norm, np.nan)


@Statistic
def mean_absolute(tensors: Summaries) -> Array:
    """Return the mean absolute value: sum(abs(x)) / N."""
    if tensors.channels.absolute_sum is None:
        return tensors.undefined
    return tensors.total(tensors.channels.absolute_sum) / tensors.values


@Statistic
def kurtosis(tensors: Summaries) -> Array:
    """Return the kurtosis of all values: N sum((x - mean)^4) / (sum((x - mean)^2))^2.

    Not the excess: 3 of a normal distribution, 1 the least. Pooled like `variance`, so that
    channels of different scale raise it. Undefined where all values are equal.
    """
    channels, d = tensors.channels, tensors.deviation
    if channels.m3 is None or channels.m4 is None:
        return tensors.undefined
    m4 = channels.m4 + 4 * d * channels.m3 + 6 * d**2 * channels.m2 + channels.count * d**4
    m2 = tensors.pooled_m2
    return tensors.total(m4) / m2 * (tensors.values / m2)


@Statistic
def quantile_05(tensors: Summaries) -> Array:
    """Return the 5 % quantile of the finite values, to about 12 %; see `quantile`."""
    return _quantiles(tensors, 0.05)


@Statistic
def quantile_50(tensors: Summaries) -> Array:
    """Return the median of the finite values, to the power of two; see `quantile`."""
    return _quantiles(tensors, 0.5)


@Statistic
def quantile_95(tensors: Summaries) -> Array:
    """Return the 95 % quantile of the finite values, to about 12 %; see `quantile`."""
    return _quantiles(tensors, 0.95)


@Statistic
def float16_underflow_fraction(tensors: Summaries) -> Array:
    """Return the share of the non-zero values below 2^-14, float16's smallest normal number.

    Exact. Such values lose precision in float16, and those below 2^-25 become zero.
    """
    if tensors.channels.histogram is None:
        return tensors.undefined
    by_exponent = tensors.channels.histogram.reshape(-1, 2, EXPONENTS).sum(axis=1)
    below = by_exponent[:, : FLOAT16_SMALLEST_NORMAL_EXPONENT + FLOAT32_BIAS].sum(axis=1)
    return np.asarray(below / by_exponent.sum(axis=1))


STATISTICS: tuple[Statistic, ...] = (
    mean,
    variance,
    second_moment,
    average_channel_squared_mean,
    average_channel_variance,
    minimum,
    maximum,
    zero_fraction,
    nonfinite_fraction,
    dead_channel_fraction,
)
"""Of every signal."""

WEIGHT_STATISTICS: tuple[Statistic, ...] = (mean_unit_wise_norm, maximum_unit_wise_norm)
"""Of weights, their gradients and updates as well, where channels are the output units."""


@Statistic
def norm_to_weight_ratio(tensors: Summaries, weights: Summaries) -> Array:
    """Return the norm of a gradient or update over that of its weight: |x| / |w|, all elements.

    Infinite where the weight is zero. Of an update at a healthy learning rate it is about 1e-3.
    """
    norms, of_weights = np.sqrt(tensors.squares), np.sqrt(weights.squares)
    return np.asarray(norms / of_weights)


@Statistic
def maximum_unit_wise_norm_to_weight_ratio(tensors: Summaries, weights: Summaries) -> Array:
    """Return the largest ratio of unit-wise norms: max_o |x_o| / max(|w_o|, 1e-3).

    Of a gradient it is what adaptive gradient clipping compares with its threshold; the unit o is
    clipped where its ratio exceeds it. Both tensors have the same units.

    References:
        High-performance large-scale image recognition without normalization, Brock, De, Smith,
        Simonyan, 2021, arXiv 2102.06171, equation 3.
    """
    largest = tensors.most(tensors.norm / np.maximum(weights.norm, 1e-3))
    return np.where(tensors.sizes > 0, largest, np.nan)


PAIR_STATISTICS = (norm_to_weight_ratio, maximum_unit_wise_norm_to_weight_ratio)
"""Of a gradient or update of a weight, formed with the weight's own summary of the same step."""

EXTENDED_STATISTICS: tuple[Statistic, ...] = (
    mean_absolute,
    kurtosis,
    quantile_05,
    quantile_50,
    quantile_95,
    float16_underflow_fraction,
)
"""Of extended summaries as well."""


POWERS: dict[str, int] = {
    **dict.fromkeys(("mean", "minimum", "maximum", "mean_absolute"), 1),
    **dict.fromkeys(("quantile_05", "quantile_50", "quantile_95"), 1),
    **dict.fromkeys(("variance", "second_moment"), 2),
    **dict.fromkeys(("average_channel_squared_mean", "average_channel_variance"), 2),
}
"""The power of the values' unit that a statistic carries; shares and shapes carry none."""


def evaluate(summary: ChannelSummary, statistics: Iterable[Statistic]) -> dict[str, float]:
    """Return each statistic of a summary under its name.

    >>> summary = ChannelSummary.unpack([2, 2, 1, 5, 2, 8, 0, 1, 2, 9, 0, 0, 0, 0], channels=2)
    >>> evaluate(summary, [mean, average_channel_squared_mean, average_channel_variance])
    {'mean': 3.0, 'average_channel_squared_mean': 13.0, 'average_channel_variance': 2.5}
    """
    found = evaluate_all(Summaries.of([summary]), statistics)
    return {name: float(values[0]) for name, values in found.items()}


def evaluate_all(tensors: Summaries, statistics: Iterable[Statistic]) -> dict[str, Array]:
    """Return each statistic under its name, one number per tensor."""
    return {statistic.__name__: statistic(tensors) for statistic in statistics}


def quantile(summary: ChannelSummary, q: float) -> float:
    """Return the value below which a share q of the finite values lies, from the magnitudes.

    The histogram tells the power of two exactly. Within it the quantile is interpolated, evenly in
    the logarithm, between the ends of the bin, or the extremes of the tensor where these are
    closer. Wrong by a factor of two at worst; of a normal distribution of any scale, by 12 % at
    q = 0.05 and 3 % at q = 0.25.

    Args:
        summary: an extended one; NaN for a base one.
        q: share, between 0 and 1, exclusive.

    Raises:
        ValueError: it is not.
    """
    if not 0.0 < q < 1.0:
        raise ValueError(f"q={q} must lie between 0 and 1, exclusive")
    return float(_quantiles(Summaries.of([summary]), q)[0])


@np.errstate(all="ignore")
def _quantiles(tensors: Summaries, q: float) -> Array:
    histogram = tensors.channels.histogram
    if histogram is None:
        return tensors.undefined
    counts = _ascending(histogram.reshape(-1, HISTOGRAM_BINS), tensors.zeros)
    cumulative = counts.cumsum(axis=1)
    rank = q * cumulative[:, -1]
    k = (cumulative < rank[:, None]).sum(axis=1)
    each = np.arange(len(k))
    share = 1 - (cumulative[each, k] - rank) / counts[each, k]
    smallest, largest = minimum(tensors), maximum(tensors)
    low, high = np.maximum(BIN_LOW[k], smallest), np.minimum(BIN_HIGH[k], largest)
    value = np.where(low == 0, 0.0, low * (high / low) ** share)
    # a float64 value beyond the range of float32 lies outside of its bin
    return np.where(rank > 0, np.clip(value, smallest, largest), np.nan)


def _ascending(histograms: Array, zeros: Array) -> Array:
    """Order the counts from the largest negative magnitude through zero to the largest positive."""
    signs = histograms.reshape(-1, 2, EXPONENTS)[:, :, :FINITE]
    return np.concatenate([signs[:, 1, ::-1], zeros[:, None], signs[:, 0]], axis=1)


def _finite_or_nan(values: Array) -> Array:
    return np.where(np.isfinite(values), values, np.nan)
