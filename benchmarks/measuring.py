"""Measure one variant on one workload, in this process."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol, TypeVar

import torch

from benchmarks.bench import AbsentError, Bench, Sides
from benchmarks.clocks import clock_for
from benchmarks.kernel_choice import kernel_in_use
from benchmarks.measurement import Measurement, Overhead, Request, Status
from benchmarks.pairs import Timing, time_pairs
from benchmarks.synchronisation import count_synchronisations
from benchmarks.variants import VARIANTS, Variant
from benchmarks.workloads import WORKLOADS, make_training

WARMING_STEPS = 2


class _Named(Protocol):
    @property
    def name(self) -> str: ...


N = TypeVar("N", bound=_Named)
T = TypeVar("T")

Measure = Callable[[Bench, Sides, Variant, Request], T]
"""Looks at two sides."""


def choose(entries: Sequence[N], name: str) -> N:
    """Find an entry of a registry by its name.

    Raises:
        ValueError: there is none.
    """
    for entry in entries:
        if entry.name == name:
            return entry
    raise ValueError(f"{name!r} is unknown; choose of {[entry.name for entry in entries]}")


def measure_overhead(request: Request) -> Overhead:
    """Time a variant against the plain step."""
    return measure(request, _time)


def _time(bench: Bench, sides: Sides, variant: Variant, request: Request) -> Timing:
    on_device = bench.circumstances.device == "cuda"
    return time_pairs(
        sides.plain,
        sides.other,
        request.effort,
        bench.clock,
        steps=variant.steps,
        by_wall=on_device,
    )


def measure(request: Request, look: Measure[T]) -> Measurement[T]:
    """Open a variant and look at its sides; what it raises is part of the answer."""
    torch.set_num_threads(request.threads)
    variant = choose(VARIANTS, request.variant)
    try:
        return _measure(request, variant, look)
    except AbsentError as absence:
        return Measurement(request, Status.ABSENT, notes=(str(absence),))
    except Exception as error:
        reason = _first_sentence(error)
        if not (variant.without_in_place and request.circumstances.in_place):
            return Measurement(request, Status.RAISES, notes=(reason,))
    not_in_place = replace(request.circumstances, in_place=False)
    answer = measure(replace(request, circumstances=not_in_place), look)
    note = f"raises with in-place operations, measured without them on both sides ({reason})"
    return replace(answer, request=request, notes=(note, *answer.notes))


def _measure(request: Request, variant: Variant, look: Measure[T]) -> Measurement[T]:
    bench = make_bench(request)
    for _ in range(WARMING_STEPS):
        bench.training.step()
    with variant.open(bench) as sides:
        result = look(bench, sides, variant, request)
        notes = sides.notes
        if bench.circumstances.device == "cuda":
            notes += count_synchronisations(sides)
        rows = sides.rows()
    kernel = kernel_in_use(request.circumstances.device) if variant.reads else ""
    return Measurement(request, Status.MEASURED, result, kernel, rows, notes)


def make_bench(request: Request) -> Bench:
    """Build what a request names."""
    workload, circumstances = choose(WORKLOADS, request.workload), request.circumstances
    training = make_training(workload, circumstances)
    return Bench(workload, circumstances, training, clock_for(circumstances.device))


def _first_sentence(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0].partition('. ')[0]}"
