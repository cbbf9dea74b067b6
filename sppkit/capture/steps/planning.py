"""Make the plan of a recording from its traced pass: what is recorded, and what it is of."""

import math

from torch import nn

from sppkit.capture.calls.places import Place, Point
from sppkit.capture.planning.options import Options
from sppkit.capture.planning.plan import Plan
from sppkit.capture.planning.structure import structure_rows
from sppkit.capture.tracing.blocks import TapInfo, find_taps, remarks_on, taps_by_pattern
from sppkit.capture.tracing.graph import Graph
from sppkit.capture.tracing.merges import Findings, find_merges
from sppkit.capture.writing.writer import Writer
from sppkit.patterns import matcher
from sppkit.signals import Signal


def make_plan(plan: Plan, model: nn.Module, graph: Graph, writer: Writer, options: Options) -> None:
    """Fill in a plan, and keep of the traced pass what is planned.

    Args:
        plan: an empty one.
        model: what was traced.
        graph: how its tensors came about.
        writer: wrote every candidate of the pass.
        options: which of them are wanted.
    """
    findings = find_merges(graph)
    plan.taps = _taps(graph, findings, options)
    plan.remarks = list(remarks_on(findings, plan.taps))
    _decide_late_axes(graph, writer)
    chosen = {
        place: axis
        for place, axis in writer.axes.items()
        if options.layer(place.layer) and _is_of_interest(place, plan, writer, options)
    }
    layers = dict.fromkeys((place.layer, place.operation) for place in chosen)
    plan.depths = {layer: rank for rank, layer in enumerate(layers)}
    plan.dimensions = {place: writer.dimensions[place] for place in chosen}
    plan.leaves = writer.leaves & set(chosen)
    plan.structure = structure_rows(model, graph, plan.taps, plan.depths)
    shapes = [node.shape for node in graph.nodes for p in node.emitted if p in chosen]
    plan.values = sum(math.prod(shape) for shape in shapes)
    plan.axes = chosen
    plan.callees = _callees(graph)
    for written in writer.passes:
        written.keep(chosen)


def _is_of_interest(place: Place, plan: Plan, writer: Writer, options: Options) -> bool:
    """Leaves, named places and the root's output; at the finest granularity operations too."""
    is_root_output = place.layer == "" and not place.operation
    is_wanted_operation = options.granularity == "operation" and bool(place.operation)
    return place in writer.leaves or place in plan.taps or is_root_output or is_wanted_operation


def _decide_late_axes(graph: Graph, writer: Writer) -> None:
    """Add the axes that only the whole pass decides; this pass has been read without them."""
    for place, axis in graph.decide_axes_by_readers().items():
        point = Point(place, Signal.ACTIVATION)
        if point in writer.missing and writer.axes.get(place, axis) is None:
            writer.axes[place] = axis
            writer.missing[point] = (
                "its channel axis was decided by a layer that reads it, when the first pass "
                "had gone by: the steps after the first have it"
            )


def _taps(graph: Graph, findings: Findings, options: Options) -> dict[Place, TapInfo]:
    if not options.names_places:
        return find_taps(graph, findings)
    return taps_by_pattern(
        graph,
        matcher(options.blocks),
        matcher(options.residual_branches),
        matcher(options.stem),
    )


def _callees(graph: Graph) -> dict[str, set[str]]:
    """List the modules that each module called itself."""
    callees: dict[str, set[str]] = {}
    for (layer, _), call in graph.calls.items():
        for caller, _ in call.stack[-2:-1]:
            callees.setdefault(caller, set()).add(layer)
    return callees
