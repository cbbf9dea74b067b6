"""Plain and instrumented steps in turns, A B A B, until the median of their ratio is known."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import NamedTuple

from benchmarks.clocks import Clock, Reading
from benchmarks.spread import Spread, spread_of


@dataclass(frozen=True)
class Side:
    """One of the two things that are compared.

    Attributes:
        step: one training step.
        around: what is entered before a turn and left after it; neither is timed.
    """

    step: Callable[[], object]
    around: Callable[[], AbstractContextManager[object]] = nullcontext


@dataclass(frozen=True)
class Effort:
    """How long to measure.

    Attributes:
        pairs: the fewest pairs, if there is time for them.
        seconds: begin no other pair after these.
        resolution: stop as soon as the median ratio is known to this; of an overhead beyond 20 %,
            to a twentieth of it.
        settling: untimed steps before the timed ones of a turn, so that a step follows its like.
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
    def plain_step(self) -> Spread:
        """Processor seconds of a plain step."""
        return spread_of([pair.plain.processor / self.steps for pair in self.pairs])

    @property
    def plain_wall_step(self) -> Spread:
        """Wall seconds of a plain step."""
        return spread_of([pair.plain.wall / self.steps for pair in self.pairs])


def time_pairs(
    plain: Side, other: Side, clock: Clock, effort: Effort, *, steps: int = 1, by_wall: bool = False
) -> Timing:
    """Measure in turns.

    Args:
        plain: what to compare with.
        other: what to measure.
        clock: shows the time.
        effort: how long.
        steps: timed steps of a turn: the period of whatever is not alike in each.
        by_wall: judge by wall time whether the median is known, as for a device that works by
            itself.
    """
    started = clock().wall
    pairs: list[Pair] = []
    while True:
        pairs.append(Pair(*(_turn(side, clock, effort.settling, steps) for side in (plain, other))))
        timing = Timing(steps, tuple(pairs))
        ratio = timing.wall_ratio if by_wall else timing.processor_ratio
        enough = len(pairs) >= effort.pairs and is_known(ratio, effort.resolution)
        if enough or clock().wall - started > effort.seconds:
            return timing


def is_known(ratio: Spread, resolution: float) -> bool:
    """Say whether a median ratio is known well enough; without an interval it is not."""
    return ratio.uncertainty <= max(resolution, (ratio.median - 1) / 20)


def _turn(side: Side, clock: Clock, settling: int, steps: int) -> Reading:
    with side.around():
        for _ in range(settling):
            side.step()
        start = clock()
        for _ in range(steps):
            side.step()
        return clock().since(start)
