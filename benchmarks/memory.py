"""How much memory a step takes, counted allocation by allocation.

Resident set sizes resolve no better than some ten mebibytes. On the CPU torch's profiler hears of
every tensor that is allocated and freed, and `tracemalloc` of Python objects and numpy arrays; on
a GPU torch's allocator keeps the peak. What a native kernel allocates by itself is not seen.
"""

import gc
import tracemalloc
from collections.abc import Callable, Sequence
from itertools import accumulate
from operator import itemgetter
from typing import Any, NamedTuple, TypeVar

import torch
from torch.profiler import ProfilerActivity, profile, record_function

from benchmarks.bench import Bench, Sides
from benchmarks.measurement import Measurement, Request
from benchmarks.measuring import measure
from benchmarks.pairs import Side, Turn
from benchmarks.variants import Variant
from benchmarks.workloads import Training

T = TypeVar("T")

MEASURED = "measured steps of side"
MEMORY_EVENT = "[memory]"


class Footprint(NamedTuple):
    """Memory of one side, in bytes.

    Attributes:
        tensors: peak of all tensors within a step, the model's and the batch's included.
        objects: peak of Python objects and numpy arrays that a step makes.
        kept: what of the latter a step leaves behind.
    """

    tensors: int
    objects: int
    kept: int


class Memory(NamedTuple):
    """The footprints of both sides."""

    plain: Footprint
    other: Footprint

    @property
    def beyond(self) -> int:
        """Bytes of tensors at the peak beyond those of the plain step."""
        return self.other.tensors - self.plain.tensors


def measure_memory(request: Request) -> Measurement[Memory]:
    """Count the memory of a variant and of the plain step."""
    return measure(request, _footprints)


def _footprints(bench: Bench, sides: Sides, variant: Variant, request: Request) -> Memory:
    turns = [in_this_process(turn) for turn in (sides.plain, sides.other)]
    if bench.circumstances.device == "cuda":
        peaks = [_alone(device_peak, turn, variant.steps) for turn in turns]
    else:
        standing = standing_bytes(bench.training)
        peaks = [standing + peak for peak in tensor_peaks(turns, variant.steps)]
    objects = [_alone(object_bytes, turn, variant.steps) for turn in turns]
    plain, other = (Footprint(peak, *made) for peak, made in zip(peaks, objects, strict=True))
    return Memory(plain, other)


def in_this_process(turn: Turn) -> Side:
    """Return a side whose steps can be looked into.

    Raises:
        TypeError: it is in another process.
    """
    if not isinstance(turn, Side):
        raise TypeError("memory is counted in this process alone, not in that of a compiled side")
    return turn


def _alone(count: Callable[[Callable[[], None]], T], side: Side, steps: int) -> T:
    """Count what so many steps of a side take, a step after it was entered."""

    def take_steps() -> None:
        for _ in range(steps):
            side.step()

    with side.around():
        side.step()
        return count(take_steps)


def standing_bytes(training: Training) -> int:
    """Count what is there before a step: parameters, buffers and the batch."""
    model = training.model
    tensors = [*model.parameters(), *model.buffers(), training.inputs, training.targets]
    return sum({t.data_ptr(): t.numel() * t.element_size() for t in tensors}.values())


def tensor_peaks(sides: Sequence[Side], steps: int) -> list[int]:
    """Return the largest sum of the CPU tensors that are alive at a time in a step of each side.

    All within one session of the profiler, which knows only of tensors that were made in it: a step
    before the measured one makes anew what lives from one step to the next, as gradients do.
    """
    gc.collect()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        for number, side in enumerate(sides):
            with side.around():
                side.step()
                with record_function(f"{MEASURED} {number}"):
                    for _ in range(steps):
                        side.step()
    assert profiler.profiler is not None
    events = profiler.profiler.kineto_results.events()
    return [_peak_within(events, f"{MEASURED} {number}") for number in range(len(sides))]


def _peak_within(events: Sequence[Any], name: str) -> int:
    window = next(event for event in events if event.name() == name)
    changes = [(e.start_ns(), e.nbytes()) for e in events if e.name() == MEMORY_EVENT]
    changes.sort(key=itemgetter(0))  # what happened within a nanosecond stays in its order
    sums = zip((time for time, _ in changes), accumulate(n for _, n in changes), strict=True)
    start, end = window.start_ns(), window.end_ns()
    return max(int(total) for time, total in sums if start <= time <= end)


def device_peak(step: Callable[[], None]) -> int:
    """Return the peak of a CUDA device's allocator within a step, in bytes."""
    gc.collect()
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    step()
    torch.cuda.synchronize()
    return int(torch.cuda.max_memory_allocated())


def object_bytes(step: Callable[[], None]) -> tuple[int, int]:
    """Return the peak of Python objects and numpy arrays within a step, and what it leaves."""
    gc.collect()
    tracemalloc.start()
    try:
        step()
        gc.collect()
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        step()
        _, peak = tracemalloc.get_traced_memory()
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return peak - before, after - before
