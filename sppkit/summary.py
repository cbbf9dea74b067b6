"""The mergeable state of one tensor, per channel: what one read of the tensor leaves behind.

Kernels write this state as one flat vector (`packed_size` numbers); here it becomes named arrays on
the host, in float64, and summaries of micro-batches, steps or ranks merge into the summary of all
their values. Statistics are functions of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property, reduce
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array: TypeAlias = NDArray[np.float64]

BASE_ROWS = ("count", "mean", "m2", "minimum", "maximum", "zeros", "nonfinite")
EXTENDED_ROWS = (*BASE_ROWS, "absolute_sum", "m3", "m4")

TOTALS = (
    *("values", "samples", "nonempty_channels", "mean", "pooled_m2", "squared_means", "variances"),
    *("least", "greatest", "zeros", "nonfinite", "dead_channels", "squares", "norms"),
    "greatest_norm",
)
"""What statistics are formed of: attributes of `Summaries`, one number per tensor."""

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


class Selection(NamedTuple):
    """Some of the tensors of `Summaries`.

    Attributes:
        numbers: which, shape (p,).
        columns: the positions of their channels.
        sizes: their numbers of channels, shape (p,).
    """

    numbers: NDArray[np.int64]
    columns: NDArray[np.int64]
    sizes: NDArray[np.int64]

    @classmethod
    def of(cls, numbers: ArrayLike, starts: ArrayLike, sizes: ArrayLike) -> Selection:
        """Select tensors by their numbers, first channels and numbers of channels.

        >>> Selection.of([2, 0], starts=[5, 0], sizes=[2, 3]).columns
        array([5, 6, 0, 1, 2])
        """
        chosen, first, counts = (np.asarray(a, dtype=np.int64) for a in (numbers, starts, sizes))
        before = np.cumsum(counts) - counts
        columns = np.arange(counts.sum()) + np.repeat(first - before, counts)
        return cls(chosen, columns, counts)


class Summaries:
    """The summaries of many tensors, side by side.

    Args:
        channels: of all tensors, one behind the other, shape (K,); a histogram has shape (P, 512).
        sizes: number of channels of each tensor, shape (P,), adding up to K.

    Attributes:
        channels, sizes: as above.

    What follows is of each channel, shape (K,): `square_sum`, `norm`, `deviation`; or of each
    tensor, shape (P,): all the others. Each is worked out when it is asked for first.
    """

    def __init__(self, channels: ChannelSummary, sizes: NDArray[np.int64]) -> None:
        self.channels = channels
        self._lay_out(sizes)

    def _lay_out(self, sizes: NDArray[np.int64]) -> None:
        self.sizes = sizes
        self._starts = np.cumsum(sizes) - sizes
        self._has_empty = not sizes.all()

    @classmethod
    def of(cls, summaries: Sequence[ChannelSummary]) -> Summaries:
        """Put the summaries of single tensors side by side; the parts that not all have are lost.

        Raises:
            ValueError: there is none.
        """
        names = [field.name for field in fields(ChannelSummary)]
        parts = {name: [getattr(summary, name) for summary in summaries] for name in names}
        joined = {
            name: np.stack(arrays) if name == "histogram" else np.concatenate(arrays)
            for name, arrays in parts.items()
            if not any(array is None for array in arrays)
        }
        sizes = np.array([summary.channels for summary in summaries], dtype=np.int64)
        return cls(ChannelSummary(**joined), sizes)

    def __len__(self) -> int:
        """Return the number of tensors, P."""
        return len(self.sizes)

    def take(self, selection: Selection) -> Summaries:
        """Return the summaries of some of the tensors."""
        return _Selected(self, selection)

    def total(self, values: Array) -> Array:
        """Add up what each tensor's channels have."""
        return self._reduce(np.add, values, 0.0)

    def most(self, values: Array) -> Array:
        """Return the greatest of each tensor's channels; minus infinity where it has none."""
        return self._reduce(np.maximum, values, -np.inf)

    def _reduce(self, function: np.ufunc, values: Array, of_none: float) -> Array:
        if not self._has_empty:
            return np.asarray(function.reduceat(values, self._starts))
        # reduceat gives the value behind an empty part; the end needs one to give.
        padded = np.append(values, of_none)
        return np.where(self.sizes > 0, function.reduceat(padded, self._starts), of_none)

    def know(self, totals: Mapping[str, Array]) -> None:
        """Take what was added up elsewhere, under the names of `TOTALS`."""
        self.__dict__.update(totals)

    @cached_property
    def values(self) -> Array:
        """Number of values, N."""
        return self.total(self.channels.count)

    @cached_property
    def samples(self) -> Array:
        """Number of values per channel; where channels differ, as those of shards do, the most."""
        return np.maximum(self.most(self.channels.count), 0.0)

    @cached_property
    def nonempty_channels(self) -> Array:
        """Number of channels that hold values; C unless the tensor is empty."""
        return self.total((self.channels.count > 0).astype(np.float64))

    @cached_property
    def mean(self) -> Array:
        """Mean of all values."""
        return self.total(self.channels.count * self.channels.mean) / self.values

    @cached_property
    def pooled_m2(self) -> Array:
        """Sum of the squared deviations of all values from their mean."""
        d = self.deviation
        return self.total(self.channels.m2 + self.channels.count * d * d)

    @cached_property
    def squared_means(self) -> Array:
        """Sum over channels of the squared channel mean."""
        return self.total(self.channels.mean * self.channels.mean)

    @cached_property
    def variances(self) -> Array:
        """Sum over channels of the biased channel variance."""
        return self.total(self.channels.m2 / np.maximum(self.channels.count, 1))

    @cached_property
    def least(self) -> Array:
        """Smallest finite value; infinity where there is none."""
        return self._reduce(np.minimum, self.channels.minimum, np.inf)

    @cached_property
    def greatest(self) -> Array:
        """Largest finite value; minus infinity where there is none."""
        return self.most(self.channels.maximum)

    @cached_property
    def zeros(self) -> Array:
        """Number of values that are zero."""
        return self.total(self.channels.zeros)

    @cached_property
    def nonfinite(self) -> Array:
        """Number of values that are NaN or infinite."""
        return self.total(self.channels.nonfinite)

    @cached_property
    def dead_channels(self) -> Array:
        """Number of channels that hold nothing but zeros."""
        count = self.channels.count
        dead = (self.channels.zeros == count) & (count > 0)
        return self.total(dead.astype(np.float64))

    @cached_property
    def squares(self) -> Array:
        """Sum of the squares of all values."""
        return self.total(self.square_sum)

    @cached_property
    def norms(self) -> Array:
        """Sum over channels of the Euclidean norm."""
        return self.total(self.norm)

    @cached_property
    def greatest_norm(self) -> Array:
        """Greatest norm of a channel; minus infinity where there is none."""
        return self.most(self.norm)

    @cached_property
    def deviation(self) -> Array:
        """Mean of each channel minus the mean of its tensor."""
        return self.channels.mean - np.repeat(self.mean, self.sizes)

    @cached_property
    def square_sum(self) -> Array:
        """Sum of the squares of each channel's values."""
        return self.channels.m2 + self.channels.count * self.channels.mean**2

    @cached_property
    def norm(self) -> Array:
        """Euclidean norm of each channel."""
        return np.sqrt(self.square_sum)

    @property
    def undefined(self) -> Array:
        """NaN for each tensor."""
        return np.full(len(self), np.nan)


class _Selected(Summaries):
    """Some of the tensors; what was computed of all of them is not computed again."""

    def __init__(self, every: Summaries, selection: Selection) -> None:
        self._every, self._selection = every, selection
        self._lay_out(selection.sizes)
        known = {name: every.__dict__[name] for name in TOTALS if name in every.__dict__}
        self.know({name: values[selection.numbers] for name, values in known.items()})

    @cached_property
    def channels(self) -> ChannelSummary:  # type: ignore[override]
        """Of these tensors, one behind the other."""
        numbers, columns, _ = self._selection
        taken: dict[str, Any] = {}
        for field in fields(ChannelSummary):
            values = getattr(self._every.channels, field.name)
            index = numbers if field.name == "histogram" else columns
            taken[field.name] = values if values is None else values[index]
        return ChannelSummary(**taken)

    @cached_property
    def square_sum(self) -> Array:
        """Sum of the squares of each channel's values."""
        return self._every.square_sum[self._selection.columns]

    @cached_property
    def norm(self) -> Array:
        """Euclidean norm of each channel."""
        return self._every.norm[self._selection.columns]


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
