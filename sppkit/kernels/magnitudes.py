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
NONFINITE = NEGATIVE - 1
"""Exponent of infinities and NaN, the last one of each sign."""


def pattern_counts(values: Tensor, scratch: Tensor) -> Tensor:
    """Count the values by the bits of their sign and exponent, zeros and non-finite ones included.

    Args:
        values: float32 or float64, any shape.
        scratch: memory of the same shape and type, contiguous, overwritten.

    Returns:
        512 counts for float32, 4096 for float64, int64, on the device of `values`.
    """
    integers, patterns = BITS[values.dtype], PATTERNS[values.dtype]
    codes = scratch.view(integers).flatten()
    torch.bitwise_right_shift(
        values.view(integers), MANTISSA_BITS[values.dtype], out=scratch.view(integers)
    )
    codes.bitwise_and_(patterns - 1)
    if codes.is_cpu:
        return torch.bincount(codes, minlength=patterns)
    # Elsewhere bincount makes the host wait for the largest code.
    counts = torch.zeros(patterns, dtype=torch.int64, device=codes.device)
    return counts.scatter_add_(0, codes.to(torch.int64), counts.new_ones(1).expand(len(codes)))


def magnitude_histogram(patterns: Tensor, zeros: Tensor, positive_zeros: Tensor) -> Tensor:
    """Turn pattern counts into the histogram of a summary: non-zero finite values alone.

    A zero has the exponent of the subnormal numbers, and the sign that its pattern says.

    Args:
        patterns: what `pattern_counts` returned, or the sum of several.
        zeros: number of zeros of either sign, any shape; its sum counts.
        positive_zeros: number of zeros of positive sign, likewise.

    Returns:
        `HISTOGRAM_BINS` counts, laid out as `ChannelSummary.histogram` says.
    """
    counts = patterns if len(patterns) == HISTOGRAM_BINS else _as_float32_exponents(patterns)
    histogram = counts.to(zeros.dtype)
    histogram[0] -= positive_zeros.sum()
    histogram[NEGATIVE] -= (zeros - positive_zeros).sum()
    histogram[NONFINITE::NEGATIVE] = 0
    return histogram


def _as_float32_exponents(counts: Tensor) -> Tensor:
    """Fold the exponents of float64 (bias 1023, 2047 not finite) into those of float32."""
    exponent = torch.arange(len(counts) // 2, device=counts.device)
    folded = (exponent - (1023 - 127)).clamp_(0, NONFINITE - 1)
    folded[-1] = NONFINITE
    target = torch.cat([folded, folded + NEGATIVE])
    return counts.new_zeros(HISTOGRAM_BINS).index_add_(0, target, counts)
