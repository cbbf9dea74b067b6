"""What rules look at: the rows of one recorded step, and what the same series showed before."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from sppkit.early_warning.history import History, Usual, usual
from sppkit.early_warning.series import Array, Labels
from sppkit.signals import Role, Signal


@dataclass(frozen=True)
class Rate:
    """How far one step of the optimiser takes a parameter.

    Attributes:
        rate: its learning rate.
        is_normalised: whether the optimiser divides gradients by their size, as Adam does, so that
            every element moves by about the rate; else by the rate times the gradient.
    """

    rate: float
    is_normalised: bool


_NO_RATE = Rate(float("nan"), is_normalised=False)
_SKIPPED = "skipped step"


@dataclass(frozen=True)
class Moment:
    """Rows of one step of training.

    Attributes:
        step: steps of the optimiser taken before.
        labels: what the rows are of.
        columns: statistics, one number for each row.
        history: what each series showed before this step.
        rates: of parameters by their qualified names; empty where no optimiser is known.
    """

    step: int
    labels: Labels
    columns: Mapping[str, Any]
    history: History
    rates: Mapping[str, Rate]

    def statistic(self, name: str) -> Array:
        """Give a statistic of each row; NaN where it is not in the recording."""
        values = self.columns.get(name)
        if values is None:
            return np.full(len(self.labels.numbers), np.nan)
        return np.asarray(values, float)

    def of_rows(self, rows: Array) -> "Moment":
        """Give some of the rows, by a mask."""
        if rows.all():
            return self
        columns = {n: np.asarray(v)[rows] if np.ndim(v) else v for n, v in self.columns.items()}
        return replace(self, labels=self.labels.of_rows(rows), columns=columns)

    @cached_property
    def logarithms(self) -> Array:
        """The decimal logarithm of each row's second moment; NaN where it is 0 or not finite."""
        moments = self.statistic("second_moment")
        is_plain = np.isfinite(moments) & (moments > 0)
        return np.where(is_plain, np.log10(np.where(is_plain, moments, 1.0)), np.nan)

    @cached_property
    def usual(self) -> Usual:
        """What the logarithm of each row's second moment usually was."""
        return usual(self.history.windows(self.labels.numbers))

    def first(self, name: str) -> Array:
        """Give what each row showed at first, of `sppkit.early_warning.history.FIRSTS`."""
        return self.history.first(self.labels.numbers, name)

    # ------------------------------------------------------------------ from the labels alone

    def of_signal(self, signal: Signal) -> Array:
        """Say of each row whether it is of a signal."""
        return self.labels.once(
            f"of signal {signal}", lambda: np.asarray(self.labels["signal"] == str(signal))
        )

    @property
    def activations(self) -> Array:
        """Which rows are activations of layers that call no other."""
        return self.labels.once(
            "activations of leaves",
            lambda: self.of_signal(Signal.ACTIVATION) & (self.labels["role"] == str(Role.LEAF)),
        )

    @property
    def matrices(self) -> Array:
        """Which rows are of tensors with several channels of several values."""
        labels = self.labels
        return labels.once("matrices", lambda: (labels["samples"] > 1) & (labels["channels"] > 1))

    def has_type(self, part: str) -> Array:
        """Say of each row whether the name of its layer's class has some part."""
        return self.labels.once(
            f"has type {part}", lambda: np.char.find(self.labels["layer_type"], part) >= 0
        )

    @property
    def is_skipped(self) -> Array:
        """Which rows are of a step that a gradient scaler skipped."""
        return self.labels.once("is skipped", self._find_skipped)

    def _find_skipped(self) -> Array:
        flags = self.columns.get("flags")
        flags = np.full(len(self.labels.numbers), "") if flags is None else np.asarray(flags)
        return np.char.find(flags.astype(str), _SKIPPED) >= 0

    def rates_of_rows(self) -> tuple[Array, Array]:
        """Give the rate of each row's parameter, NaN for none, and whether it is Adam's."""
        found = [self.rates.get(name, _NO_RATE) for name in self.labels["parameter"]]
        rates = np.array([each.rate for each in found])
        return rates, np.array([each.is_normalised for each in found], dtype=bool)
