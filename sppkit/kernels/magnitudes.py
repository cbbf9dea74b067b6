"""Counts of values by sign and power of two, read from the bits of floating point numbers."""

from __future__ import annotations

import torch
from torch import Tensor

from sppkit.summary import HISTOGRAM_BINS

BITS = {torch.float32: torch.int32, torch.float64: torch.int64}
"""The integers that hold a number's pattern."""

MANTISSA_BITS = {torch.float32: 23, torch.float64: 52}

PATTERNS = {torch.float32: 512, torch.float64: 4096}
"""Number of patterns of sign and exponent."""

NEGATIVE = HISTOGRAM_BINS // 2
SUBNORMAL = slice(0, None, NEGATIVE)
"""Exponent of zeros and subnormal numbers, the first one of each sign."""

NONFINITE = NEGATIVE - 1
"""Exponent of infinities and NaN, the last one of each sign."""


def pattern_counts(values: Tensor, scratch: Tensor, *, on_cpu: bool) -> Tensor:
    """Count the values by the bits of their sign and exponent, zeros and non-finite ones included.

    Args:
        values: float32 or float64, any shape.
        scratch: memory of the same shape and type, contiguous, overwritten.
        on_cpu: count as the CPU does best; elsewhere that would make the host wait.

    Returns:
        512 counts for float32, 4096 for float64, int64, on the device of `values`.
    """
    integers, patterns = BITS[values.dtype], PATTERNS[values.dtype]
    codes = scratch.view(integers).flatten()
    torch.bitwise_right_shift(
        values.view(integers), MANTISSA_BITS[values.dtype], out=scratch.view(integers)
    )
    codes.bitwise_and_(patterns - 1)
    if on_cpu:
        return torch.bincount(codes, minlength=patterns)
    counts = torch.zeros(patterns, dtype=torch.int64, device=codes.device)
    return counts.scatter_add_(0, codes.to(torch.int64), counts.new_ones(1).expand(len(codes)))


def exponent_counts(patterns: Tensor) -> Tensor:
    """Return the counts by sign and float32 exponent, folded where they are of float64.

    float64 has a bias of 1023, and 2047 for what is not finite.
    """
    if len(patterns) == HISTOGRAM_BINS:
        return patterns
    exponent = torch.arange(len(patterns) // 2, device=patterns.device)
    folded = (exponent - (1023 - 127)).clamp_(0, NONFINITE - 1)
    folded[-1] = NONFINITE
    target = torch.cat([folded, folded + NEGATIVE])
    return patterns.new_zeros(HISTOGRAM_BINS).index_add_(0, target, patterns)


def nonzero_finite(counts: Tensor, zeros: Tensor, positive_zeros: Tensor) -> Tensor:
    """Take zeros, infinities and NaN out of counts by exponent.

    Args:
        counts: what `exponent_counts` returned.
        zeros: number of zeros of either sign, which have the exponent of the subnormal numbers.
        positive_zeros: number of those without the sign.

    Returns:
        The histogram as `ChannelSummary.histogram` describes it, in the type of `zeros`.
    """
    histogram = counts.to(zeros.dtype)
    histogram[0] -= positive_zeros
    histogram[NEGATIVE] -= zeros - positive_zeros
    histogram[NONFINITE::NEGATIVE] = 0
    return histogram
