"""Which steps of a run are recorded: every n-th, or windows as `torch.profiler.schedule` has."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from torch.profiler import ProfilerAction

StepFunction = Callable[[int], Any]
"""Says of a step's number, counted from 0, whether the step is recorded."""

_RECORDED = frozenset({ProfilerAction.RECORD, ProfilerAction.RECORD_AND_SAVE})


@dataclass(frozen=True)
class Schedule:
    """Windows of recorded steps; made by `schedule`, whose arguments these are."""

    active: int
    wait: int = 0
    warmup: int = 0
    repeat: int = 0
    skip_first: int = 0

    def __post_init__(self) -> None:
        for field in fields(self):
            value, least = getattr(self, field.name), int(field.name == "active")
            if not _is_count(value) or value < least:
                raise ValueError(
                    f"schedule({field.name}={value!r}) must be a whole number of steps, {least} "
                    "or more"
                )

    def __call__(self, step: int) -> bool:
        """Say whether a step is recorded."""
        rest = self.wait + self.warmup
        window, position = divmod(step - self.skip_first, rest + self.active)
        is_over = bool(self.repeat) and window >= self.repeat
        return step >= self.skip_first and not is_over and position >= rest


def schedule(
    *, active: int, wait: int = 0, warmup: int = 0, repeat: int = 0, skip_first: int = 0
) -> Schedule:
    """Record windows of consecutive steps, as `torch.profiler.schedule` does with equal arguments.

    The first `skip_first` steps are passed over. Then come windows: `wait + warmup` steps of rest,
    without any hook, and `active` recorded ones. Nothing needs to warm up here, so that `warmup`
    only rests; it is there for schedules that are shared with the profiler.

    Args:
        active: consecutive steps to record in a window.
        wait, warmup: steps before them that are not recorded.
        repeat: number of windows; 0 goes on until the recording ends.
        skip_first: steps before the first window.

    Raises:
        ValueError: a number is negative, no whole number, or `active` is 0.

    Examples:
        >>> import sppkit
        >>> cadence = sppkit.schedule(skip_first=2, wait=3, active=2, repeat=2)
        >>> [step for step in range(50) if cadence(step)]
        [5, 6, 10, 11]
    """
    return Schedule(active, wait, warmup, repeat, skip_first)


@dataclass(frozen=True)
class _Every:
    steps: int

    def __call__(self, step: int) -> bool:
        return step % self.steps == 0


def make_schedule(every: int, given: StepFunction | None) -> StepFunction:
    """Make the one schedule of a recording of the two ways to ask for it.

    Raises:
        ValueError: `every` is no positive number, or both were given.
        TypeError: the schedule is no function of a step, or does not answer with True or False.
    """
    if not _is_count(every) or every < 1:
        raise ValueError(f"every={every!r} must be 1 or more: record one step in so many")
    if given is None:
        return _Every(int(every))
    if every != 1:
        raise ValueError(
            f"every={every} and schedule= were both given, and each of them chooses the steps: "
            "keep one of the two"
        )
    if not callable(given):
        raise TypeError(
            f"schedule must be a function of the step's number, as sppkit.schedule makes one, not "
            f"{type(given).__name__}"
        )
    is_recorded(given, 0)
    return given


def is_recorded(given: StepFunction, step: int) -> bool:
    """Ask a schedule, ours, the profiler's or the user's own, about a step.

    Raises:
        TypeError: it answers with something else than True, False or a `ProfilerAction`.
    """
    answer = given(step)
    if isinstance(answer, ProfilerAction):
        return answer in _RECORDED
    if not isinstance(answer, bool | np.bool_):
        raise TypeError(
            f"schedule({step}) returned {answer!r}; expected True where the step is to be "
            "recorded, else False"
        )
    return bool(answer)


def describe(given: StepFunction) -> str:
    """Say for the metadata which steps are recorded.

    >>> describe(make_schedule(10, None)), describe(schedule(active=2, wait=8))
    ('every=10', 'schedule(active=2, wait=8, warmup=0, repeat=0, skip_first=0)')
    """
    if isinstance(given, _Every):
        return f"every={given.steps}"
    if isinstance(given, Schedule):
        return repr(given).replace("Schedule", "schedule")
    return str(getattr(given, "__qualname__", type(given).__name__))


def _is_count(value: object) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)
