"""The latest recorded values of every series, and how far a new one lies from them."""

from collections.abc import Mapping
from typing import Any

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

    def push(self, numbers: Array, logarithms: Array, dead: Array) -> None:
        """Add what a step has shown of some series."""
        self._reserve(numbers)
        self._values[numbers, :-1] = self._values[numbers, 1:]
        self._values[numbers, -1] = logarithms
        is_new = self._is_new[numbers]
        self._firsts[numbers[is_new]] = np.stack([logarithms, dead], axis=1)[is_new]
        self._is_new[numbers] = False

    def _reserve(self, numbers: Array) -> None:
        lacking = int(numbers.max(initial=-1)) + 1 - len(self._values)
        if lacking > 0:
            size = max(lacking, len(self._values))
            self._values = np.concatenate([self._values, np.full((size, WINDOW), np.nan)])
            self._firsts = np.concatenate([self._firsts, np.full((size, len(FIRSTS)), np.nan)])
            self._is_new = np.concatenate([self._is_new, np.ones(size, dtype=bool)])

    def state(self) -> dict[str, Any]:
        """Give all of it as plain lists."""
        return {
            "values": self._values.tolist(),
            "firsts": self._firsts.tolist(),
            "is_new": self._is_new.tolist(),
        }

    @classmethod
    def of_state(cls, state: Mapping[str, Any]) -> "History":
        """Make a history of what `state` gave."""
        history = cls()
        history._values = np.array(state["values"], dtype=float).reshape(-1, WINDOW)
        history._firsts = np.array(state["firsts"], dtype=float).reshape(-1, len(FIRSTS))
        history._is_new = np.array(state["is_new"], dtype=bool)
        return history


def robust_z(windows: Array, values: Array, *, floor: float, least: int) -> Array:
    """Say how many robust deviations each value lies above the median of its window.

        z = (x - median(w)) / max(1.4826 median(|w - median(w)|), floor)

    Args:
        windows: (n, WINDOW), NaN where there is no value.
        values: (n,).
        floor: deviations are taken for at least so large.
        least: known values that a window must have.

    Returns:
        (n,), NaN where the window has too few values, or the value is none.
    """
    z = np.full(len(values), np.nan)
    is_known = np.isfinite(windows).sum(axis=1) >= least
    if is_known.any():
        known = np.where(np.isfinite(windows[is_known]), windows[is_known], np.nan)
        median = np.nanmedian(known, axis=1)
        deviation = _TO_DEVIATION * np.nanmedian(np.abs(known - median[:, None]), axis=1)
        z[is_known] = (values[is_known] - median) / np.maximum(deviation, floor)
    return np.where(np.isnan(values), np.nan, z)
