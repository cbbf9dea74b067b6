"""The summaries of many tensors, side by side, and what of them statistics are formed of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sppkit.summary import Array, ChannelSummary

TOTALS = (
    *("values", "samples", "nonempty_channels", "mean", "pooled_m2", "squared_means", "variances"),
    *("least", "greatest", "zeros", "nonfinite", "dead_channels", "squares", "norms"),
    "greatest_norm",
)
"""What statistics are formed of: attributes of `Summaries`, one number per tensor."""


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
