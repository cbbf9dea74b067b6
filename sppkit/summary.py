"""The mergeable state of one tensor, per channel: what one read of the tensor leaves behind.

Kernels write this state as one flat vector (`packed_size` numbers); here it becomes named arrays on
the host, in float64, and summaries of micro-batches, steps or ranks merge into the summary of all
their values. Statistics are functions of it; `sppkit.summaries` holds those of many tensors.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from functools import reduce
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array: TypeAlias = NDArray[np.float64]

BASE_ROWS = ("count", "mean", "m2", "minimum", "maximum", "zeros", "nonfinite")
EXTENDED_ROWS = (*BASE_ROWS, "absolute_sum", "m3", "m4")

HISTOGRAM_BINS = 512
"""Sign and exponent of a float32: the top nine bits of its pattern."""


def packed_size(channels: int, extended: bool) -> int:
    """Return the length of a packed summary: one number per row and channel, then the histogram.

    >>> packed_size(64, extended=False), packed_size(64, extended=True)
    (448, 1152)
    """
    return len(EXTENDED_ROWS) * channels + HISTOGRAM_BINS if extended else len(BASE_ROWS) * channels


@dataclass(frozen=True, eq=False)
class ChannelSummary:
    """Counts, central moments and extremes of each channel of one tensor.

    Every array has shape (C,) and type float64. With ``x`` the values of a channel, ``n`` of them:

    Attributes:
        count: n, non-finite values included; 0 for an empty channel.
        mean: sum(x) / n; 0 for an empty channel.
        m2: sum((x - mean)^2); 0 for an empty channel.
        minimum: smallest finite value; +inf where there is none.
        maximum: largest finite value; -inf where there is none.
        zeros: number of values equal to zero, of either sign.
        nonfinite: number of NaN and infinite values.
        absolute_sum: sum(abs(x)), or None in a base summary, as the following.
        m3: sum((x - mean)^3).
        m4: sum((x - mean)^4).
        histogram: counts of all channels together by sign and power of two, shape (512,). The
            index is 256 * sign bit + biased float32 exponent: 127 holds [1, 2), 126 holds
            [0.5, 1), 256 + 127 holds (-2, -1]. Indices 0 and 256 hold float32's subnormal numbers
            alone, zeros are not counted, nor are non-finite values (255 and 511 stay empty). A
            float64 value is placed by its own exponent; beyond float32's range it goes to 254
            (the largest finite magnitudes) or to 0 (the smallest), plus 256 where negative.

    ``mean``, ``m2``, ``absolute_sum``, ``m3`` and ``m4`` of a channel that holds a non-finite value
    are NaN. A moment that leaves the range of float64 (float64 tensors only: squares from 1e154,
    fourth powers from 1e77) is infinite.
    """

    count: Array
    mean: Array
    m2: Array
    minimum: Array
    maximum: Array
    zeros: Array
    nonfinite: Array
    absolute_sum: Array | None = None
    m3: Array | None = None
    m4: Array | None = None
    histogram: Array | None = None

    @classmethod
    def empty(cls, channels: int, *, extended: bool = False) -> ChannelSummary:
        """Return the summary of no values: the identity of `merge`."""
        packed = np.zeros(packed_size(channels, extended))
        summary = cls.unpack(packed, channels)
        summary.minimum[:] = np.inf
        summary.maximum[:] = -np.inf
        return summary

    @classmethod
    def unpack(cls, packed: ArrayLike, channels: int) -> ChannelSummary:
        """Name the parts of a packed summary; its length tells whether it is extended.

        Args:
            packed: the vector that a kernel wrote, `packed_size(channels, extended)` numbers.
            channels: C.

        Raises:
            ValueError: if the length is that of neither form.
        """
        values = np.asarray(packed, dtype=np.float64)
        base, extended = (packed_size(channels, form) for form in (False, True))
        if values.shape not in {(base,), (extended,)}:
            raise ValueError(
                f"a packed summary of {channels} channels holds {base} numbers (base) or "
                f"{extended} (extended), in one dimension; received shape {values.shape}."
            )
        if values.size == base:
            return cls(**_named(BASE_ROWS, values))
        rows, histogram = values[:-HISTOGRAM_BINS], values[-HISTOGRAM_BINS:]
        return cls(**_named(EXTENDED_ROWS, rows), histogram=histogram)

    @classmethod
    def of_rows(cls, rows: Array, histogram: Array | None) -> ChannelSummary:
        """Name the rows of a matrix (7, C), or (10, C) with a histogram; nothing is copied."""
        names = BASE_ROWS if histogram is None else EXTENDED_ROWS
        return cls(**dict(zip(names, rows, strict=True)), histogram=histogram)

    @property
    def channels(self) -> int:
        """The number of channels, C."""
        return len(self.count)

    @property
    def extended(self) -> bool:
        """Whether the summary carries what the extended statistics need."""
        return self.histogram is not None

    def pack(self) -> Array:
        """Return the summary as one flat vector, the inverse of `unpack`."""
        arrays = (getattr(self, field.name) for field in fields(self))
        return np.concatenate([array for array in arrays if array is not None])

    def scaled(self, factor: float) -> ChannelSummary:
        """Return the summary of the values times a positive factor.

        Exact where it is a power of two. The histogram counts powers of two: it moves with such a
        factor, and is undefined (NaN) with any other.

        Raises:
            ValueError: if `factor` is not positive, or not finite.
        """
        if not 0 < factor < math.inf:
            raise ValueError(f"factor={factor} must be finite and positive")
        mantissa, exponent = math.frexp(factor)
        powers = dict.fromkeys(("mean", "minimum", "maximum", "absolute_sum"), 1)
        powers |= {"m2": 2, "m3": 3, "m4": 4}
        with np.errstate(all="ignore"):
            changed = {
                name: values * factor**power
                for name, power in powers.items()
                if (values := getattr(self, name)) is not None
            }
        if self.histogram is not None:
            moves = mantissa == 0.5
            changed["histogram"] = (
                _shifted(self.histogram, exponent - 1) if moves else self.histogram * np.nan
            )
        return replace(self, **changed)

    def merge(self, other: ChannelSummary) -> ChannelSummary:
        """Return the summary of the values of both, as if they had been read together.

        Moments are moved to the common mean and added. With d = mean_k - mean of part k:

            M2 = sum_k M2_k + n_k d^2
            M3 = sum_k M3_k + 3 d M2_k + n_k d^3
            M4 = sum_k M4_k + 4 d M3_k + 6 d^2 M2_k + n_k d^4

        Exact, hence associative, up to rounding; `empty` is the identity. An extended summary
        merged with a base one gives a base one.

        Raises:
            ValueError: if the numbers of channels differ.

        References:
            Updating formulae and a pairwise algorithm for computing sample variances, Chan, Golub
            and LeVeque, 1979, Stanford report STAN-CS-79-773 (M2).
            Formulas for robust, one-pass parallel computation of covariances and arbitrary-order
            statistical moments, Pébay, 2008, Sandia report SAND2008-6212 (M3 and M4; there in
            terms of the difference of two means).
        """
        if self.channels != other.channels:
            raise ValueError(
                f"summaries of {self.channels} and of {other.channels} channels do not merge: "
                "both must describe the same tensor."
            )
        with np.errstate(all="ignore"):  # NaN and inf in a moment are an answer, not an accident
            return _merged(self, other)


def _shifted(histogram: Array, exponents: int) -> Array:
    """Move the counts of each sign by a number of exponents; what leaves stays in the last bin."""
    signs = histogram.reshape(2, -1)
    finite = signs.shape[1] - 1
    moved = np.zeros_like(signs)
    target = np.clip(np.arange(finite) + exponents, 0, finite - 1)
    for sign in range(2):
        np.add.at(moved[sign], target, signs[sign, :finite])
    return moved.reshape(-1)


def merge_all(summaries: Iterable[ChannelSummary]) -> ChannelSummary:
    """Merge any number of summaries of the same tensor, in their order.

    Raises:
        ValueError: if there is none, or if their numbers of channels differ.
    """
    iterator = iter(summaries)
    first = next(iterator, None)
    if first is None:
        raise ValueError("there is no summary to merge: pass at least one, or use empty().")
    return reduce(ChannelSummary.merge, iterator, first)


def _named(names: tuple[str, ...], values: Array) -> dict[str, Array]:
    return dict(zip(names, values.reshape(len(names), -1), strict=True))


def _merged(a: ChannelSummary, b: ChannelSummary) -> ChannelSummary:
    count = a.count + b.count
    # In this form the mean of one part survives exactly where the other part is empty.
    mean = a.mean + (b.mean - a.mean) * (b.count / np.maximum(count, 1.0))
    base = ChannelSummary(
        count=count,
        mean=mean,
        m2=_m2_about(a, mean) + _m2_about(b, mean),
        minimum=np.minimum(a.minimum, b.minimum),
        maximum=np.maximum(a.maximum, b.maximum),
        zeros=a.zeros + b.zeros,
        nonfinite=a.nonfinite + b.nonfinite,
    )
    extension_a, extension_b = _moved_extension(a, mean), _moved_extension(b, mean)
    if extension_a is None or extension_b is None:
        return base
    absolute_sum, m3, m4, histogram = map(np.add, extension_a, extension_b)
    return replace(base, absolute_sum=absolute_sum, m3=m3, m4=m4, histogram=histogram)


# The count stands first in each product: an empty part adds 0, whatever a power of d overflows to.


def _m2_about(part: ChannelSummary, mean: Array) -> Array:
    d = part.mean - mean
    return part.m2 + part.count * d * d


def _moved_extension(part: ChannelSummary, mean: Array) -> tuple[Array, Array, Array, Array] | None:
    """Return absolute_sum, m3 and m4 about `mean`, and the histogram; None for a base summary."""
    absolute_sum, m3, m4, histogram = part.absolute_sum, part.m3, part.m4, part.histogram
    if absolute_sum is None or m3 is None or m4 is None or histogram is None:
        return None
    d = part.mean - mean
    cube = part.count * d * d * d
    moved_m3 = m3 + 3 * part.m2 * d + cube
    moved_m4 = m4 + 4 * m3 * d + 6 * part.m2 * d * d + cube * d
    return absolute_sum, moved_m3, moved_m4, histogram
