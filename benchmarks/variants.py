"""What is measured against the plain step."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor, nn

from benchmarks.bench import Bench, Sides
from benchmarks.compiled import compiled_sides
from benchmarks.naive import NaiveCollector
from benchmarks.peers import timm_sides, wandb_sides
from benchmarks.recordings import Recordings, start_recording
from sppkit import Signal


@dataclass(frozen=True)
class Variant:
    """One thing to measure.

    Attributes:
        name: for the command line.
        description: in a line.
        open: makes the sides, and cleans up behind them.
        steps: timed steps of a turn.
        reads: whether sppkit reads tensors in it, so that the kernel matters.
        without_in_place: whether to measure without in-place operations where it raises with them.
    """

    name: str
    description: str
    open: Callable[[Bench], AbstractContextManager[Sides]]
    steps: int = 1
    reads: bool = False
    without_in_place: bool = False


@contextmanager
def _control(bench: Bench) -> Iterator[Sides]:
    yield Sides(bench.plain, bench.plain)


@contextmanager
def _empty_hooks(bench: Bench) -> Iterator[Sides]:
    yield Sides(bench.plain, bench.side(partial(_hooked, bench.training.model)))


@contextmanager
def _hooked(model: nn.Module) -> Iterator[None]:
    leaves = [module for module in model.modules() if not list(module.children())]
    handles = [module.register_forward_hook(_hook_output) for module in leaves]
    yield
    for handle in handles:
        handle.remove()


def _hook_output(module: nn.Module, inputs: Any, output: Any) -> None:
    if isinstance(output, Tensor) and output.requires_grad:
        output.register_hook(_ignore)


def _ignore(gradient: Tensor) -> None:
    """Do nothing with a gradient."""


@contextmanager
def _naive(bench: Bench) -> Iterator[Sides]:
    collector = NaiveCollector(bench.training.model)

    def step() -> None:
        bench.training.step()
        collector.end_step()

    yield Sides(bench.plain, bench.side(collector.attached, step), collector.rows)


@contextmanager
def _recorded(bench: Bench, **options: Any) -> Iterator[Sides]:
    recordings = Recordings(bench.training, **options)
    yield Sides(bench.plain, bench.side(recordings.entered), recordings.rows)


@contextmanager
def _detached(bench: Bench) -> Iterator[Sides]:
    """Compare a model that was recorded, and is no more, with a copy that never was."""
    twin = bench.training.twin()
    with start_recording(twin):
        for _ in range(3):
            twin.step()
    yield Sides(bench.plain, bench.side(step=twin.step), notes=("detached: two equal models",))


def _sppkit(name: str, description: str, steps: int = 1, **options: Any) -> Variant:
    return Variant(name, description, partial(_recorded, **options), steps, reads=True)


def _compiled(
    name: str, description: str, options: dict[str, Any] | None, steps: int = 1
) -> Variant:
    sides = partial(compiled_sides, options=options)
    return Variant(name, description, sides, steps, reads=options is not None)


VARIANTS = (
    Variant("control", "the plain step against itself", _control),
    Variant("empty", "empty hooks on every leaf and on its output", _empty_hooks),
    Variant("naive", "a collector written the obvious way", _naive, without_in_place=True),
    _sppkit("every-step", "sppkit, every step"),
    _sppkit("every-10", "sppkit, one step in ten", steps=10, every=10),
    _sppkit("forward-only", "sppkit, activations only", signals=[Signal.ACTIVATION]),
    _sppkit("extended", "sppkit, extended statistics", extended=True),
    _sppkit("update", "sppkit, all signals with updates", signals=list(Signal)),
    Variant("detached", "sppkit, after its `with` block", _detached),
    _compiled("compiled-control", "the compiled step against itself", None),
    _compiled("compiled", "sppkit in a compiled model, every step", {}),
    _compiled(
        "compiled-every-10", "sppkit in a compiled model, one step in ten", {"every": 10}, 10
    ),
    Variant("timm", "timm's ActivationStatsHook, every step", timm_sides),
    Variant("wandb", "wandb.watch(log='all', log_freq=1), offline", wandb_sides),
)
