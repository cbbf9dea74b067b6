"""What a rule of the early warning is: what it looks at in a step, and what it says."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from sppkit.early_warning.moment import Moment
from sppkit.early_warning.series import Array
from sppkit.rules.finding import Severity
from sppkit.rules.rule import RuleBase, threshold


@dataclass(frozen=True)
class Sight:
    """What a rule sees in one step.

    Attributes:
        rows: positions of the rows that it looks at.
        measured: a number for each of them, NaN where there is none.
        is_over: whether it is beyond the threshold.
        is_severe: whether it is so far beyond that an error is called for.
    """

    rows: Array
    measured: Array
    is_over: Array
    is_severe: Array

    @classmethod
    def of(
        cls, rows: Array, measured: Array, is_over: Array, *, severe: Array | None = None
    ) -> "Sight":
        """Make a sight of a mask of rows and of numbers for all rows of the step."""
        chosen = np.flatnonzero(rows)
        is_severe = np.zeros_like(is_over) if severe is None else severe
        return cls(chosen, measured[chosen], is_over[chosen], is_severe[chosen])


@dataclass(frozen=True)
class WarningRule(RuleBase):
    """A question about every recorded step of a training.

    Attributes:
        statistic: what is measured, in words.
        unmeasured: why there is nothing to look at, where the recording has none of it.
        looks_always: whether it looks at every recorded step, or at a tensor once in ten steps.
        patience: looks in a row in which a row must be beyond the threshold.
        share: of the rows looked at that must be so; a single one is enough for 0.
    """

    severity: ClassVar[Severity] = Severity.WARNING
    statistic: ClassVar[str]
    unmeasured: ClassVar[str]
    looks_always: ClassVar[bool] = False

    patience: float = threshold(3.0, "looks; ours")
    share: float = threshold(0.0, "of the rows looked at; ours")

    @abstractmethod
    def look(self, moment: Moment) -> Sight | None:
        """Look at a step; None where it has nothing to look at."""

    @abstractmethod
    def say(self, measured: float) -> str:
        """Say what is wrong, as the end of a sentence that begins with the layer."""

    @property
    @abstractmethod
    def expected(self) -> str:
        """What a healthy training shows, in words."""
