"""Plain and instrumented steps in turns, A B A B, until the median of their ratio is known."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import NamedTuple

from benchmarks.clocks import Clock, Reading
from benchmarks.spread import Spread, spread_of

Turn = Callable[[int, int], Reading]
"""Takes so many untimed steps, then so many timed ones, and returns the time of the latter."""


@dataclass(frozen=True)
class Side:
    """One of the two things that are compared; calling it takes a turn.

    Attributes:
        step: one training step.
        clock: shows the time.
        around: what is entered before a turn and left after it; neither is timed.
    """

    step: Callable[[], object]
    clock: Clock
    around: Callable[[], AbstractContextManager[object]] = nullcontext

    def __call__(self, settling: int, steps: int) -> Reading:
        """Take a turn."""
        with self.around():
            for _ in range(settling):
                self.step()
            start = self.clock()
            for _ in range(steps):
                self.step()
            return self.clock().since(start)


@dataclass(frozen=True)
class Effort:
    """How long to measure.

    Attributes:
        pairs: the fewest pairs, if there is time for them.
        seconds: begin no other pair after these.
        resolution: stop as soon as the median ratio is known to this; of an overhead beyond 20 %,
            to a twentieth of it.
        settling: untimed periods of steps before the timed ones of a turn, so that a step follows
            its like: entering a recording makes hooks, which later steps put on again.
    """

    pairs: int = 15
    seconds: float = 60.0
    resolution: float = 0.01
    settling: int = 1


class Pair(NamedTuple):
    """The times of one turn each, of as many steps."""

    plain: Reading
    other: Reading


@dataclass(frozen=True)
class Timing:
    """What pairs say.

    Attributes:
        steps: timed steps of a turn.
        pairs: what was measured.
    """

    steps: int
    pairs: tuple[Pair, ...]

    @property
    def processor_ratio(self) -> Spread:
        """Processor time of the instrumented turn over that of the plain one."""
        return spread_of([pair.other.processor / pair.plain.processor for pair in self.pairs])

    @property
    def wall_ratio(self) -> Spread:
        """Wall time of the instrumented turn over that of the plain one."""
        return spread_of([pair.other.wall / pair.plain.wall for pair in self.pairs])

    @property
    def plain_step(self) -> Reading:
        """Median times of a plain step."""
        columns = zip(*(pair.plain for pair in self.pairs), strict=True)
        return Reading(*(spread_of(times).median / self.steps for times in columns))


def time_pairs(
    plain: Turn,
    other: Turn,
    effort: Effort,
    clock: Clock,
    *,
    steps: int = 1,
    by_wall: bool = False,
) -> Timing:
    """Measure in turns.

    Args:
        plain: what to compare with.
        other: what to measure.
        effort: how long.
        clock: tells when the time is over.
        steps: timed steps of a turn: the period of whatever is not alike in each.
        by_wall: judge by wall time whether the median is known, as for a device that works by
            itself.
    """
    started = clock().wall
    pairs: list[Pair] = []
    while True:
        settling = effort.settling * steps
        pairs.append(Pair(plain(effort.settling, steps), other(settling, steps)))
        timing = Timing(steps, tuple(pairs))
        ratio = timing.wall_ratio if by_wall else timing.processor_ratio
        enough = len(pairs) >= effort.pairs and is_known(ratio, effort.resolution)
        if enough or clock().wall - started > effort.seconds:
            return timing


def is_known(ratio: Spread, resolution: float) -> bool:
    """Say whether a median ratio is known well enough; without an interval it is not."""
    return ratio.uncertainty <= max(resolution, (ratio.median - 1) / 20)
