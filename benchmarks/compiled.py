"""Compiled steps: each side in a process of its own.

`torch.compile` keeps code by class, and a recorder puts hooks into that code: in one process the
two sides would compile each other's code anew at every turn. Here two processes take turns; while
one runs, the other one waits.
"""

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch

import sppkit
from benchmarks.bench import Bench, Rows, Sides
from benchmarks.clocks import Reading, clock_for
from benchmarks.pairs import Side
from benchmarks.recordings import rows_of_last_step, start_recording
from benchmarks.workloads import Circumstances, Workload, make_training

WARMING_STEPS = 12
"""Untimed steps: with one recorded in ten, both versions of the code are compiled in them."""


@dataclass
class _Resident:
    """What the process keeps between turns."""

    side: Side
    recording: sppkit.Recorder | None
    exits: ExitStack


_resident: list[_Resident] = []


def _move_in(
    workload: Workload,
    circumstances: Circumstances,
    threads: int,
    backend: str,
    options: dict[str, Any] | None,
) -> None:
    """Compile the model; record it where there are options; take the first steps."""
    torch.set_num_threads(threads)
    training = make_training(workload, circumstances)
    training.compile(backend)
    exits, recording = ExitStack(), None
    if options is not None:
        recording = exits.enter_context(start_recording(training, **options))
    for _ in range(WARMING_STEPS):
        training.step()
    side = Side(training.step, clock_for(circumstances.device))
    _resident.append(_Resident(side, recording, exits))


def _turn(settling: int, steps: int) -> Reading:
    return _resident[0].side(settling, steps)


def _move_out() -> Rows:
    """End the recording and count what its last step left."""
    resident = _resident.pop()
    resident.exits.close()
    return rows_of_last_step(resident.recording) if resident.recording else {}


@contextmanager
def _housed(
    bench: Bench, backend: str, options: dict[str, Any] | None
) -> Iterator[ProcessPoolExecutor]:
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as process:
        arguments = bench.workload, bench.circumstances, torch.get_num_threads(), backend, options
        process.submit(_move_in, *arguments).result()
        yield process


@contextmanager
def compiled_sides(
    bench: Bench, options: dict[str, Any] | None, backend: str = "inductor"
) -> Iterator[Sides]:
    """Take turns of a compiled plain training and a compiled one.

    Args:
        bench: says what to train.
        options: of `sppkit.record`; None records nothing on either side.
        backend: of `torch.compile`.
    """
    with _housed(bench, backend, None) as plain, _housed(bench, backend, options) as other:
        yield Sides(
            lambda settling, steps: plain.submit(_turn, settling, steps).result(),
            lambda settling, steps: other.submit(_turn, settling, steps).result(),
            lambda: other.submit(_move_out).result(),
            ("compiled: each side in a process of its own",),
        )
