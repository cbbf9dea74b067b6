"""The latest recorded values of every series, and how far a new one lies from them."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from sppkit.early_warning.series import Array

WINDOW = 30
"""Recorded steps that are remembered."""

_TO_DEVIATION = 1.4826  # of a normal distribution, from the median absolute deviation


FIRSTS = ("second_moment", "dead_channel_fraction")
"""What is remembered of the first recorded step: a logarithm, and a share."""


class History:
    """Of each series a window of logarithms of the second moment, and what it showed at first.

    The newest value is the last one of a window; NaN stands for none.
    """

    def __init__(self) -> None:
        self._values = np.full((0, WINDOW), np.nan)
        self._firsts = np.full((0, len(FIRSTS)), np.nan)
        self._is_new = np.ones(0, dtype=bool)
        self._steps = np.zeros(0, dtype=int)

    def is_due(self, numbers: Array, step: int, spacing: int) -> Array:
        """Say which series are new, or were last added to `spacing` steps ago or more."""
        self._reserve(numbers)
        found: Array = self._is_new[numbers] | (step - self._steps[numbers] >= spacing)
        return found

    def windows(self, numbers: Array) -> Array:
        """Give the windows of some series, (series, WINDOW)."""
        self._reserve(numbers)
        found: Array = self._values[numbers]
        return found

    def first(self, numbers: Array, name: str) -> Array:
        """Give what some series showed at first; NaN before that, and where it was nothing."""
        self._reserve(numbers)
        found: Array = self._firsts[numbers, FIRSTS.index(name)]
        return found

    def push(self, step: int, numbers: Array, logarithms: Array, dead: Array) -> None:
        """Add what a step has shown of some series."""
        self._reserve(numbers)
        self._values[numbers, :-1] = self._values[numbers, 1:]
        self._values[numbers, -1] = logarithms
        is_new = self._is_new[numbers]
        self._firsts[numbers[is_new]] = np.stack([logarithms, dead], axis=1)[is_new]
        self._is_new[numbers] = False
        self._steps[numbers] = step

    def _reserve(self, numbers: Array) -> None:
        lacking = int(numbers.max(initial=-1)) + 1 - len(self._values)
        if lacking > 0:
            size = max(lacking, len(self._values))
            self._values = np.concatenate([self._values, np.full((size, WINDOW), np.nan)])
            self._firsts = np.concatenate([self._firsts, np.full((size, len(FIRSTS)), np.nan)])
            self._is_new = np.concatenate([self._is_new, np.ones(size, dtype=bool)])
            self._steps = np.concatenate([self._steps, np.zeros(size, dtype=int)])

    def state(self) -> dict[str, Any]:
        """Give all of it as plain lists."""
        return {
            "values": self._values.tolist(),
            "firsts": self._firsts.tolist(),
            "is_new": self._is_new.tolist(),
            "steps": self._steps.tolist(),
        }

    @classmethod
    def of_state(cls, state: Mapping[str, Any]) -> "History":
        """Make a history of what `state` gave."""
        history = cls()
        history._values = np.array(state["values"], dtype=float).reshape(-1, WINDOW)
        history._firsts = np.array(state["firsts"], dtype=float).reshape(-1, len(FIRSTS))
        history._is_new = np.array(state["is_new"], dtype=bool)
        history._steps = np.array(state["steps"], dtype=int)
        return history


class Usual(NamedTuple):
    """What was usual: the median of each window, the robust deviation, and the known values."""

    median: Array
    deviation: Array
    known: Array


def usual(windows: Array) -> Usual:
    """Say what was usual in each window, (n, WINDOW) with NaN where there is no value.

        deviation = 1.4826 median(|w - median(w)|)

    Returns:
        Three arrays (n,); median and deviation are NaN where a window is empty.
    """
    median = _medians(windows)
    deviation = _TO_DEVIATION * _medians(np.abs(windows - median[:, None]))
    return Usual(median, deviation, WINDOW - np.isnan(windows).sum(axis=1))


def _medians(values: Array) -> Array:
    """Give the median of each row but for NaN; np.nanmedian is many times slower on short rows."""
    ordered = np.sort(values, axis=1)  # NaN come last
    known = values.shape[1] - np.isnan(values).sum(axis=1)
    each = np.arange(len(values))
    below, above = np.maximum(known - 1, 0) // 2, known // 2
    middle: Array = (ordered[each, below] + ordered[each, np.minimum(above, WINDOW - 1)]) / 2
    return middle


def robust_z(was: Usual, values: Array, *, floor: float, least: int) -> Array:
    """Say how many robust deviations each value lies above what was usual.

        z = (x - median) / max(deviation, floor)

    Args:
        was: of n windows.
        values: (n,).
        floor: deviations are taken for at least so large.
        least: known values that a window must have.

    Returns:
        (n,), NaN where the window has too few values, or the value is none.
    """
    z = (values - was.median) / np.maximum(was.deviation, floor)
    return np.where(was.known >= least, z, np.nan)
