"""Shares with their confidence intervals."""

from dataclasses import dataclass

from scipy.stats import binomtest


@dataclass(frozen=True)
class Share:
    """k of n, with the 95 % interval of Wilson (1927), which is right near 0 and 1 too.

    Of nothing (n = 0) the share is undefined and the interval is [0, 1].
    """

    hits: int
    total: int

    @property
    def value(self) -> float:
        """The share k / n."""
        return self.hits / self.total if self.total else float("nan")

    @property
    def interval(self) -> tuple[float, float]:
        """Both ends of the interval."""
        if not self.total:
            return 0.0, 1.0
        interval = binomtest(self.hits, self.total).proportion_ci(method="wilson")
        return float(interval.low), float(interval.high)

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.value:.3f} [{low:.3f}, {high:.3f}] ({self.hits}/{self.total})"
