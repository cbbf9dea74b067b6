"""What is measured against the plain step."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

import sppkit
from benchmarks.naive import NaiveCollector
from benchmarks.pairs import Side
from benchmarks.recordings import Recordings, described, start_recording
from benchmarks.workloads import Training


@dataclass(frozen=True)
class Sides:
    """Two sides that take turns, and what is to be said of the second when all is measured."""

    plain: Side
    other: Side
    describe: Callable[[], str] = str


@dataclass(frozen=True)
class Variant:
    """One thing to measure.

    Attributes:
        name: for the command line.
        description: in a line.
        open: makes the sides for a training, and cleans up behind them.
        steps: timed steps of a turn.
        reads: whether sppkit reads tensors in it, so that the kernel matters.
        without_in_place: whether to measure without in-place operations where it raises with them.
    """

    name: str
    description: str
    open: Callable[[Training], AbstractContextManager[Sides]]
    steps: int = 1
    reads: bool = False
    without_in_place: bool = False


class Absent(Exception):
    """A library that a variant needs is not installed."""


@contextmanager
def _control(training: Training) -> Iterator[Sides]:
    yield Sides(Side(training.step), Side(training.step))


@contextmanager
def _empty_hooks(training: Training) -> Iterator[Sides]:
    yield Sides(Side(training.step), Side(training.step, partial(_hooked, training.model)))


def _ignore(gradient: Tensor) -> None:
    """Do nothing with a gradient."""


def _hook_output(module: nn.Module, inputs: Any, output: Any) -> None:
    if isinstance(output, Tensor) and output.requires_grad:
        output.register_hook(_ignore)  # type: ignore[no-untyped-call]


@contextmanager
def _hooked(model: nn.Module) -> Iterator[None]:
    leaves = [module for module in model.modules() if not list(module.children())]
    handles = [module.register_forward_hook(_hook_output) for module in leaves]
    yield
    for handle in handles:
        handle.remove()


@contextmanager
def _naive(training: Training) -> Iterator[Sides]:
    collector = NaiveCollector(training.model)

    def step() -> None:
        training.step()
        collector.end_step()

    yield Sides(Side(training.step), Side(step, collector.attached))


@contextmanager
def _recorded(training: Training, **options: Any) -> Iterator[Sides]:
    recordings = Recordings(training, **options)
    other = Side(training.step, recordings.entered)
    yield Sides(Side(training.step), other, recordings.describe)


@contextmanager
def _detached(training: Training) -> Iterator[Sides]:
    """Let the steps of a model that was recorded, and is no more, follow those of its twin."""
    twin = training.twin()
    with start_recording(twin):
        for _ in range(3):
            twin.step()
    yield Sides(Side(training.step), Side(twin.step))


@contextmanager
def _compiled(training: Training, **options: Any) -> Iterator[Sides]:
    """Compile two twins; the recording of the one stays on, as hooks are part of the code."""
    twin = training.twin()
    for side in (training, twin):
        side.forward = torch.compile(side.model)
    recording = sppkit.record(twin.forward, optimizer=twin.optimizer, **options)  # type: ignore[arg-type]
    with recording:
        for _ in range(3):
            twin.step()
            training.step()
        yield Sides(Side(training.step), Side(twin.step), lambda: described(recording))


@contextmanager
def _compiled_control(training: Training) -> Iterator[Sides]:
    twin = training.twin()
    for side in (training, twin):
        side.forward = torch.compile(side.model)
    yield Sides(Side(training.step), Side(twin.step))


VARIANTS = (
    Variant("control", "the plain step against itself", _control),
    Variant("empty", "empty hooks on every leaf and its output", _empty_hooks),
    Variant("naive", "the naive collector", _naive, without_in_place=True),
    Variant("every-step", "sppkit, every step", _recorded, reads=True),
    Variant("every-10", "sppkit, every 10 steps", partial(_recorded, every=10), 10, reads=True),
    Variant(
        "forward-only",
        "sppkit, activations only, every step",
        partial(_recorded, signals=["activation"]),
        reads=True,
    ),
    Variant(
        "extended", "sppkit, extended, every step", partial(_recorded, extended=True), reads=True
    ),
    Variant(
        "update",
        "sppkit, updates too, every step",
        partial(_recorded, signals=list(sppkit.Signal)),
        reads=True,
    ),
    Variant("detached", "sppkit, after the `with` block", _detached),
    Variant("compiled-control", "the compiled plain step against itself", _compiled_control),
    Variant("compiled", "sppkit, compiled, every step", _compiled, reads=True),
    Variant(
        "compiled-every-10",
        "sppkit, compiled, every 10 steps",
        partial(_compiled, every=10),
        10,
        reads=True,
    ),
)
