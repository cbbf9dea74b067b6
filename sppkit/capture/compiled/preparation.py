"""What is recorded of compiled code: decided by one eager pass, before anything is compiled."""

from collections.abc import Container
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from sppkit.capture.calls.compiled_modules import original, run_eagerly
from sppkit.capture.calls.places import Place, Point
from sppkit.capture.planning.options import Options
from sppkit.capture.planning.plan import Plan
from sppkit.capture.steps.session import Session
from sppkit.capture.steps.state import isolated_randomness, left_as_found
from sppkit.capture.tracing.graph import Graph
from sppkit.signals import OF_OUTPUTS, Signal

FUNCTIONAL = (
    "a functional call in a compiled model has no hook; put it into a module of its own, or record "
    "the model before it is compiled"
)
SPLIT_GRADIENT = (
    "compiled code returns this tensor and also reads it: outside, the gradient lacks that part"
)

Arguments = tuple[tuple[Any, ...], dict[str, Any]]


@dataclass
class Preparation:
    """What a traced pass says of compiled ones.

    Attributes:
        plan: that of the pass.
        calls: layers and the numbers of their calls, in order of execution.
        axes: the points that hooks hand over, with their channel axes.
        aliases: points that are others' tensors.
        awaited: the gradients that a pass waits for.
        reasons: why other points are not read.
    """

    plan: Plan
    calls: list[tuple[str, int]]
    axes: dict[Point, int | None]
    aliases: dict[Point, Point]
    awaited: set[Point]
    reasons: dict[Point, str]


def prepare(
    model: nn.Module,
    options: Options,
    arguments: Arguments,
    entries: Container[str],
    missing: dict[tuple[str, str], str],
) -> Preparation:
    """Trace the original module on a copy of the arguments, and decide what compiled code gives.

    Args:
        model: what the user calls.
        options: what to record.
        arguments: of the call; they stay as they are.
        entries: the layers where compiled code is entered.
        missing: where it says what cannot be recorded.
    """
    session = _traced(model, options, arguments)
    missing |= session.missing
    writer, graph, plan = session.traced()
    written = writer.passes[-1]
    wanted = options.signals & OF_OUTPUTS
    traced = {point: slot.axis for point, (slot, _) in written.aside.items()}
    axes = {
        Point(point.place, signal): axis
        for point, axis in traced.items()
        for signal in wanted
        if not point.place.operation
    }
    reasons = {
        Point(place, signal): FUNCTIONAL
        for place in plan.axes
        for signal in wanted
        if place.operation
    }
    reasons |= {p: r for p, r in writer.missing.items() if p.signal in wanted}
    aliases = {alias: p for alias, p in written.aliases.items() if alias.signal in wanted}
    found = Preparation(plan, list(graph.calls), axes, aliases, set(), reasons)
    _read_aliases_of_operations(found, traced)
    _settle_outputs_of_compiled_code(found, graph, entries)
    found.awaited = written.awaited & axes.keys()
    return found


def _traced(model: nn.Module, options: Options, arguments: Arguments) -> Session:
    """Run the original module once; nothing else remembers it."""
    inner = original(model)
    session = Session(inner, replace(options, signals=OF_OUTPUTS))
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        stack.enter_context(run_eagerly(model))
        stack.enter_context(left_as_found(inner))
        stack.enter_context(isolated_randomness(0))
        args, kwargs = tree_map_only(Tensor, _copy, arguments)
        stack.callback(session.detach)
        session.attach()
        inner._call_impl(*args, **kwargs)
    return session


def _copy(tensor: Tensor) -> Tensor:
    return tensor.detach().clone().requires_grad_(tensor.requires_grad)


def _read_aliases_of_operations(found: Preparation, traced: dict[Point, int | None]) -> None:
    """Read the first module that returns a functional result in the place of that result."""
    stands_for: dict[Point, Point] = {}
    for alias, target in list(found.aliases.items()):
        if not target.place.operation:
            continue
        first = stands_for.setdefault(target, alias)
        if first is not alias:
            found.aliases[alias] = first
            continue
        del found.aliases[alias]
        if target in traced:
            found.axes[alias] = traced[target]


def _settle_outputs_of_compiled_code(
    found: Preparation, graph: Graph, entries: Container[str]
) -> None:
    """Find what is read where compiled code has returned, outside of it.

    A tensor has another identity there: what it was inside is an alias of it, and the gradient
    that arrives lacks the part that its readers inside send back.
    """
    children = graph.children()
    for node in graph.nodes:
        outside = [place for place in node.emitted if place.layer in entries]
        inside = [place for place in node.emitted if place.layer not in entries]
        for point in (Point(place, signal) for place in outside for signal in OF_OUTPUTS):
            if point in found.axes:
                _settle(found, point, inside, is_read_inside=bool(children[node.index]))


def _settle(found: Preparation, point: Point, inside: list[Place], *, is_read_inside: bool) -> None:
    same = [p for p in (Point(place, point.signal) for place in inside) if p in found.axes]
    if same:
        del found.axes[point]
        found.aliases[point] = same[0]
    elif point.signal is Signal.GRADIENT and is_read_inside:
        del found.axes[point]
        found.reasons[point] = SPLIT_GRADIENT
