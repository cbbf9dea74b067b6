"""Measure one variant on one workload, in this process."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol, TypeVar

import torch

from benchmarks.clocks import clock_for
from benchmarks.kernel_choice import kernel_in_use
from benchmarks.measurement import Measurement, Request, Status, measured
from benchmarks.pairs import time_pairs
from benchmarks.variants import VARIANTS, Absent, Variant
from benchmarks.workloads import WORKLOADS, make_training


class _Named(Protocol):
    @property
    def name(self) -> str: ...


T = TypeVar("T", bound=_Named)


def choose(entries: Sequence[T], name: str) -> T:
    """Find an entry of a registry by its name.

    Raises:
        ValueError: there is none.
    """
    for entry in entries:
        if entry.name == name:
            return entry
    raise ValueError(f"{name!r} is unknown; choose of {[entry.name for entry in entries]}")


def measure(request: Request) -> Measurement:
    """Time a variant; what it raises is part of the answer."""
    torch.set_num_threads(request.threads)
    variant = choose(VARIANTS, request.variant)
    try:
        return _measure(request, variant)
    except Absent as absence:
        return _without_numbers(request, Status.ABSENT, str(absence))
    except Exception as error:
        reason = f"{type(error).__name__}: {str(error).splitlines()[0]}"
        if not (variant.without_in_place and request.circumstances.in_place):
            return _without_numbers(request, Status.RAISES, reason)
    note = f"raises with in-place operations ({reason}): both sides measured without them"
    answer = measure(replace(request, circumstances=replace(request.circumstances, in_place=False)))
    return replace(answer, notes=(note, *answer.notes))


def _measure(request: Request, variant: Variant) -> Measurement:
    circumstances = request.circumstances
    training = make_training(choose(WORKLOADS, request.workload), circumstances)
    by_wall = circumstances.device == "cuda"
    for _ in range(2):
        training.step()
    with variant.open(training) as sides:
        timing = time_pairs(
            sides.plain,
            sides.other,
            clock_for(circumstances.device),
            request.effort,
            steps=variant.steps,
            by_wall=by_wall,
        )
        said = sides.describe()
    kernel = kernel_in_use(circumstances.device) if variant.reads else ""
    return measured(request, timing, kernel=kernel, notes=(said,) if said else ())


def _without_numbers(request: Request, status: Status, reason: str) -> Measurement:
    return Measurement(request.workload, request.variant, status, notes=(reason,))
