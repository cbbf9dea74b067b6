"""What rules look at: the rows of one recorded step, and what the same series showed before."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from sppkit.early_warning.history import History
from sppkit.early_warning.series import Array, Series
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
        series: what the rows are of.
        numbers: the series of each row.
        columns: statistics, one number for each row.
        history: what each series showed before this step.
        rates: of parameters by their qualified names; empty where no optimiser is known.
    """

    step: int
    series: Series
    numbers: Array
    columns: Mapping[str, Any]
    history: History
    rates: Mapping[str, Rate]

    def label(self, name: str) -> Array:
        """Give an attribute of `Label` for each row."""
        found: Array = self.series.column(name)[self.numbers]
        return found

    def statistic(self, name: str) -> Array:
        """Give a statistic of each row; NaN where it is not in the recording."""
        values = self.columns.get(name)
        return np.full(len(self.numbers), np.nan) if values is None else np.asarray(values, float)

    @cached_property
    def logarithms(self) -> Array:
        """The decimal logarithm of each row's second moment; NaN where it is 0 or not finite."""
        moments = self.statistic("second_moment")
        is_plain = np.isfinite(moments) & (moments > 0)
        return np.where(is_plain, np.log10(np.where(is_plain, moments, 1.0)), np.nan)

    def of_signal(self, signal: Signal) -> Array:
        """Say of each row whether it is of a signal."""
        found: Array = self.label("signal") == str(signal)
        return found

    @property
    def activations(self) -> Array:
        """Which rows are activations of layers that call no other."""
        return self.of_signal(Signal.ACTIVATION) & (self.label("role") == str(Role.LEAF))

    @property
    def is_skipped(self) -> Array:
        """Which rows are of a step that a gradient scaler skipped."""
        flags = self.columns.get("flags")
        if flags is None:
            return np.zeros(len(self.numbers), dtype=bool)
        found: Array = np.char.find(np.asarray(flags).astype(str), _SKIPPED) >= 0
        return found

    @property
    def parameter_names(self) -> Array:
        """The qualified name of the parameter that each row is of."""
        return self.label("parameter")

    def rates_of_rows(self) -> tuple[Array, Array]:
        """Give the learning rate of each row's parameter, NaN for none, and whether it is Adam's."""
        found = [self.rates.get(name, _NO_RATE) for name in self.parameter_names]
        rates = np.array([each.rate for each in found])
        return rates, np.array([each.is_normalised for each in found], dtype=bool)

    @property
    def is_matrix(self) -> Array:
        """Which rows are of a tensor with several values per channel."""
        found: Array = self.label("samples") > 1
        return found
