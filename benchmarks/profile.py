"""Where the time of a recorded step goes, function by function, beyond that of the plain step."""

import cProfile
import pstats
from collections.abc import Iterator
from pathlib import Path
from time import process_time
from typing import Any, NamedTuple

from benchmarks.bench import Bench, Sides
from benchmarks.machine import ROOT
from benchmarks.measurement import Measurement, Request
from benchmarks.measuring import measure
from benchmarks.pairs import Side, Turn
from benchmarks.variants import Variant

STEPS = 5


class Share(NamedTuple):
    """What a function adds to a step.

    Attributes:
        function: its file and line, or the name of a built-in one.
        calls: in a step, beyond those of the plain step.
        own: milliseconds in a step outside of what it calls, beyond those of the plain step.
    """

    function: str
    calls: float
    own: float


def measure_profile(request: Request) -> Measurement[list[Share]]:
    """Profile a variant and the plain step, and subtract."""
    return measure(request, _shares)


def _shares(bench: Bench, sides: Sides, variant: Variant, request: Request) -> list[Share]:
    plain, other = (profile_of(turn, variant.steps) for turn in (sides.plain, sides.other))
    none = (0.0, 0.0)
    shares = [
        Share(name, calls - plain.get(name, none)[0], 1e3 * (own - plain.get(name, none)[1]))
        for name, (calls, own) in other.items()
    ]
    return sorted(shares, key=lambda share: -share.own)


def profile_of(turn: Turn, steps: int) -> dict[str, tuple[float, float]]:
    """Return calls and own seconds of processor time of every function, per step.

    Raises:
        TypeError: the side is in another process.
    """
    if not isinstance(turn, Side):
        raise TypeError("a profile is taken in this process alone, not in that of a compiled side")
    profiler = cProfile.Profile(process_time)
    with turn.around():
        turn.step()
        with profiler:
            for _ in range(STEPS * steps):
                turn.step()
    return _by_function(profiler, STEPS * steps)


def _by_function(profiler: cProfile.Profile, steps: int) -> dict[str, tuple[float, float]]:
    found: dict[str, tuple[float, float]] = {}
    for name, calls, own in _entries(profiler):
        before = found.get(name, (0.0, 0.0))
        found[name] = before[0] + calls / steps, before[1] + own / steps
    return found


def _entries(profiler: cProfile.Profile) -> Iterator[tuple[str, float, float]]:
    """Yield name, calls and own seconds of every function."""
    statistics: Any = pstats.Stats(profiler)
    for key, (_, calls, own, _, _) in statistics.stats.items():
        yield _name(*key), calls, own


def _name(path: str, line: int, function: str) -> str:
    if path == "~":
        return function
    place = Path(path)
    if place.is_relative_to(ROOT):
        return f"{place.relative_to(ROOT)}:{line} {function}"
    return f"{'/'.join(place.parts[-2:])}:{line} {function}"
