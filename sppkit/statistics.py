"""Statistics: pure functions of a channel summary; their names are columns and axis labels.

Notation: a tensor has C channels (or units), channel c holds n_c values with mean m_c and sum of
squared deviations M2_c; N is the sum of the n_c. All channels of one tensor hold equally many.
A statistic that is undefined is NaN: of an empty tensor, of moments where a value is not finite,
and the extended ones of a base summary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeAlias

import numpy as np

from sppkit.summary import HISTOGRAM_BINS, Array, ChannelSummary

Statistic: TypeAlias = Callable[[ChannelSummary], float]

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


@np.errstate(all="ignore")
def mean(summary: ChannelSummary) -> float:
    """Return the mean of all values: sum_c n_c m_c / N."""
    return float(summary.count @ summary.mean / summary.count.sum())


@np.errstate(all="ignore")
def variance(summary: ChannelSummary) -> float:
    """Return the biased variance of all values: sum((x - mean)^2) / N.

    Pooled: channels of different means raise it. It exceeds the average channel variance by the
    variance of the channel means.
    """
    m2, _ = _pooled_m2(summary)
    return float(m2 / summary.count.sum())


@np.errstate(all="ignore")
def second_moment(summary: ChannelSummary) -> float:
    """Return the mean square of all values: sum(x^2) / N.

    Equal to the average channel squared mean plus the average channel variance.
    """
    return float((summary.m2 + summary.count * summary.mean**2).sum() / summary.count.sum())


@np.errstate(all="ignore")
def average_channel_squared_mean(summary: ChannelSummary) -> float:
    """Return the mean over channels of the squared channel mean: sum_c m_c^2 / C.

    Near 0 in a network whose channels stay centred; growth over depth is a mean shift.

    References:
        Characterizing signal propagation to close the performance gap in unnormalized ResNets,
        Brock, De and Smith, 2021, https://arxiv.org/abs/2101.08692, section 3.
    """
    return float(summary.mean @ summary.mean / _nonempty_channels(summary))


@np.errstate(all="ignore")
def average_channel_variance(summary: ChannelSummary) -> float:
    """Return the mean over channels of the biased channel variance: sum_c (M2_c / n_c) / C.

    Measured at the end of a residual branch it is the paper's residual average channel variance.
    The variance is divided by n_c, not by n_c - 1, as in the authors' code.

    References:
        Brock, De and Smith, 2021, https://arxiv.org/abs/2101.08692, section 3.
    """
    variances = summary.m2 / np.maximum(summary.count, 1)
    return float(variances.sum() / _nonempty_channels(summary))


def minimum(summary: ChannelSummary) -> float:
    """Return the smallest finite value."""
    return _finite_or_nan(summary.minimum.min(initial=np.inf))


def maximum(summary: ChannelSummary) -> float:
    """Return the largest finite value."""
    return _finite_or_nan(summary.maximum.max(initial=-np.inf))


@np.errstate(all="ignore")
def zero_fraction(summary: ChannelSummary) -> float:
    """Return the share of values that are exactly zero."""
    return float(summary.zeros.sum() / summary.count.sum())


@np.errstate(all="ignore")
def nonfinite_fraction(summary: ChannelSummary) -> float:
    """Return the share of values that are NaN or infinite."""
    return float(summary.nonfinite.sum() / summary.count.sum())


@np.errstate(all="ignore")
def dead_channel_fraction(summary: ChannelSummary) -> float:
    """Return the share of channels whose every value is exactly zero.

    Of one batch: a unit that is silent here may answer to other inputs.
    """
    dead = np.count_nonzero((summary.zeros == summary.count) & (summary.count > 0))
    return float(dead / _nonempty_channels(summary))


@np.errstate(all="ignore")
def mean_unit_wise_norm(summary: ChannelSummary) -> float:
    """Return the mean over units of the Euclidean norm: mean_c sqrt(sum(x_c^2)).

    References:
        High-performance large-scale image recognition without normalization, Brock, De, Smith and
        Simonyan, 2021, https://arxiv.org/abs/2102.06171, section 4 (adaptive gradient clipping).
    """
    return float(_unit_wise_norms(summary).sum() / _nonempty_channels(summary))


@np.errstate(all="ignore")
def maximum_unit_wise_norm(summary: ChannelSummary) -> float:
    """Return the largest Euclidean norm of a unit: max_c sqrt(sum(x_c^2)).

    References:
        Brock, De, Smith and Simonyan, 2021, https://arxiv.org/abs/2102.06171, section 4.
    """
    if not summary.count.any():
        return np.nan
    return float(_unit_wise_norms(summary).max())


@np.errstate(all="ignore")
def mean_absolute(summary: ChannelSummary) -> float:
    """Return the mean absolute value: sum(abs(x)) / N."""
    if summary.absolute_sum is None:
        return np.nan
    return float(summary.absolute_sum.sum() / summary.count.sum())


@np.errstate(all="ignore")
def kurtosis(summary: ChannelSummary) -> float:
    """Return the kurtosis of all values: N sum((x - mean)^4) / (sum((x - mean)^2))^2.

    Not the excess: 3 of a normal distribution, 1 the least. Pooled like `variance`, so that
    channels of different scale raise it. Undefined where all values are equal.
    """
    if summary.m3 is None or summary.m4 is None:
        return np.nan
    m2, d = _pooled_m2(summary)
    m4 = summary.m4 + 4 * d * summary.m3 + 6 * d**2 * summary.m2 + summary.count * d**4
    return float(m4.sum() / m2 * (summary.count.sum() / m2))


def quantile_05(summary: ChannelSummary) -> float:
    """Return the 5 % quantile of the finite values, to about 12 %; see `quantile`."""
    return quantile(summary, 0.05)


def quantile_50(summary: ChannelSummary) -> float:
    """Return the median of the finite values, to the power of two; see `quantile`."""
    return quantile(summary, 0.5)


def quantile_95(summary: ChannelSummary) -> float:
    """Return the 95 % quantile of the finite values, to about 12 %; see `quantile`."""
    return quantile(summary, 0.95)


@np.errstate(all="ignore")
def float16_underflow_fraction(summary: ChannelSummary) -> float:
    """Return the share of the non-zero values below 2^-14, float16's smallest normal number.

    Exact. Such values lose precision in float16, and those below 2^-25 become zero.
    """
    if summary.histogram is None:
        return np.nan
    by_exponent = summary.histogram.reshape(2, EXPONENTS).sum(axis=0)
    below = by_exponent[: FLOAT16_SMALLEST_NORMAL_EXPONENT + FLOAT32_BIAS].sum()
    return float(below / by_exponent.sum())


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


@np.errstate(all="ignore")
def norm_to_weight_ratio(summary: ChannelSummary, weight: ChannelSummary) -> float:
    """Return the norm of a gradient or update over that of its weight: |x| / |w|, all elements.

    Infinite where the weight is zero. Of an update at a healthy learning rate it is about 1e-3.
    """
    norms = [np.sqrt((s.m2 + s.count * s.mean**2).sum()) for s in (summary, weight)]
    return float(norms[0] / norms[1])


@np.errstate(all="ignore")
def maximum_unit_wise_norm_to_weight_ratio(
    summary: ChannelSummary, weight: ChannelSummary
) -> float:
    """Return the largest ratio of unit-wise norms: max_o |x_o| / max(|w_o|, 1e-3).

    Of a gradient it is what adaptive gradient clipping compares with its threshold; the unit o is
    clipped where its ratio exceeds it.

    References:
        High-performance large-scale image recognition without normalization, Brock, De, Smith,
        Simonyan, 2021, arXiv 2102.06171, equation 3.
    """
    if not summary.channels:
        return float("nan")
    return float(np.max(_unit_wise_norms(summary) / np.maximum(_unit_wise_norms(weight), 1e-3)))


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
    return {statistic.__name__: statistic(summary) for statistic in statistics}


@np.errstate(all="ignore")
def quantile(summary: ChannelSummary, q: float) -> float:
    """Return the value below which a share q of the finite values lies, from the magnitudes.

    The histogram tells the power of two exactly. Within it the quantile is interpolated, evenly in
    the logarithm, between the ends of the bin, or the extremes of the tensor where these are
    closer. Wrong by a factor of two at worst; of a normal distribution of any scale, by 12 % at
    q = 0.05 and 3 % at q = 0.25.

    Args:
        summary: an extended one; NaN for a base one.
        q: share, between 0 and 1, exclusive.
    """
    if summary.histogram is None:
        return np.nan
    counts = _ascending(summary.histogram, summary.zeros.sum())
    cumulative = counts.cumsum()
    rank = q * cumulative[-1]
    if not rank > 0:
        return np.nan
    k = cumulative.searchsorted(rank)
    share = 1 - (cumulative[k] - rank) / counts[k]
    smallest, largest = minimum(summary), maximum(summary)
    low, high = max(BIN_LOW[k], smallest), min(BIN_HIGH[k], largest)
    value = low * (high / low) ** share if low else 0.0
    return float(np.clip(value, smallest, largest))


def _ascending(histogram: Array, zeros: float) -> Array:
    """Order the counts from the largest negative magnitude through zero to the largest positive."""
    positive, negative = histogram.reshape(2, EXPONENTS)[:, :FINITE]
    return np.concatenate([negative[::-1], [zeros], positive])


def _pooled_m2(summary: ChannelSummary) -> tuple[float, Array]:
    """Return sum((x - mean)^2) over all values, and m_c - mean of each channel."""
    d = summary.mean - summary.count @ summary.mean / summary.count.sum()
    return float((summary.m2 + summary.count * d * d).sum()), d


def _unit_wise_norms(summary: ChannelSummary) -> Array:
    return np.sqrt(summary.m2 + summary.count * summary.mean**2)


def _nonempty_channels(summary: ChannelSummary) -> np.float64:
    return np.float64(np.count_nonzero(summary.count))  # a divisor that gives NaN, not an exception


def _finite_or_nan(value: float) -> float:
    return float(value) if np.isfinite(value) else np.nan
