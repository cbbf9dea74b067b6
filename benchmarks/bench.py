"""What a variant is given to make its sides of."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

from benchmarks.clocks import Clock
from benchmarks.pairs import Side, Turn
from benchmarks.workloads import Circumstances, Training, Workload

Rows = dict[str, int]
"""Rows of the table that a recorded step left, by signal."""


@dataclass(frozen=True)
class Bench:
    """A workload, and a training of it.

    Attributes:
        workload: what is trained.
        circumstances: where and how.
        training: the model and its steps, for all that takes turns in this process.
        clock: shows the time.
    """

    workload: Workload
    circumstances: Circumstances
    training: Training
    clock: Clock

    @property
    def plain(self) -> Side:
        """The plain step."""
        return Side(self.training.step, self.clock)

    def side(
        self,
        around: Callable[[], AbstractContextManager[object]] = nullcontext,
        step: Callable[[], object] | None = None,
    ) -> Side:
        """Make a side: the plain step, or another one, with something around its turns."""
        return Side(step or self.training.step, self.clock, around)


@dataclass(frozen=True)
class Sides:
    """Two sides that take turns.

    Attributes:
        plain: what to compare with.
        other: what to measure.
        rows: what a recorded step left, asked when all is measured.
        notes: what a reader must know.
    """

    plain: Turn
    other: Turn
    rows: Callable[[], Rows] = dict
    notes: tuple[str, ...] = field(default=())


class AbsentError(Exception):
    """A library that a variant needs is not installed."""
