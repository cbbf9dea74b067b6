"""The median of repeated measurements, and how well it is known."""

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple

CONFIDENCE = 0.95


class Spread(NamedTuple):
    """A median with its 95 % interval, NaN where there are too few values, and the extremes."""

    median: float
    low: float
    high: float
    minimum: float
    maximum: float

    @property
    def uncertainty(self) -> float:
        """The larger distance of the interval's ends from the median."""
        return max(self.median - self.low, self.high - self.median)


def spread_of(values: Sequence[float]) -> Spread:
    """Summarise measurements, at least one.

    The interval holds the true median with a probability of at least 95 %, whatever the
    distribution: between the k-th smallest and the k-th largest value, with the largest k for which
    the binomial probability of fewer than k values on one side is at most 2.5 %. Six values are the
    fewest that have one.

    >>> spread_of([3.0, 1.0, 2.0, 5.0, 4.0, 6.0])
    Spread(median=3.5, low=1.0, high=6.0, minimum=1.0, maximum=6.0)
    """
    ordered = sorted(values)
    rank = _rank(len(ordered))
    low, high = (ordered[rank - 1], ordered[-rank]) if rank else (math.nan, math.nan)
    return Spread(statistics.median(ordered), low, high, ordered[0], ordered[-1])


def _rank(count: int) -> int:
    """Give k of the interval, 0 where there is none."""
    tail, rank = 0.0, 0
    while 2 * (tail := tail + math.comb(count, rank) / 2**count) <= 1 - CONFIDENCE:
        rank += 1
    return rank
