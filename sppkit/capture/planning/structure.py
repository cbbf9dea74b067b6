"""Describe what a network is: the rows of the structure frame."""

import functools
import inspect
import math
from collections.abc import Iterator, Mapping
from typing import Any, cast

import torch
from torch import nn
from torch.nn.utils import parametrize

from sppkit.capture.calls.places import Place
from sppkit.capture.planning.parameters import effective_weights
from sppkit.capture.tensors.sharding import user_class
from sppkit.capture.tracing.blocks import TapInfo
from sppkit.capture.tracing.graph import (
    NONLINEARITIES,
    NORMALISATIONS,
    SHAPE_OPERATIONS,
    Graph,
    Node,
)
from sppkit.signals import Role, Tap

Row = dict[str, Any]


def structure_rows(
    model: nn.Module, graph: Graph, taps: Mapping[Place, TapInfo], depths: Mapping[Any, int]
) -> list[Row]:
    """Make one row per module, and one per tapped operation."""
    rows = {(layer, ""): _module_row(layer, m, graph) for layer, m in model.named_modules()}
    rows |= {(p.layer, p.operation): _operation_row(p) for p in taps if p.operation}
    children = graph.children()
    for key, node in _first_nodes(graph).items():
        if key in rows:
            rows[key] |= _surroundings(graph, children, node)
    for place, info in taps.items():
        rows[place.layer, place.operation] |= _tap_columns(info)
    return [{**row, "depth": depths.get(key)} for key, row in rows.items()]


def _first_nodes(graph: Graph) -> dict[tuple[str, str], Node]:
    """Find the node of the first output of each layer, and of each operation."""
    nodes: dict[tuple[str, str], Node] = {}
    for node in graph.nodes:
        for place in (node.place, *node.emitted):
            nodes.setdefault((place.layer, place.operation), node)
    return nodes


def _module_row(layer: str, module: nn.Module, graph: Graph) -> Row:
    call = graph.calls.get((layer, 0))
    file, line = _location(user_class(module))
    is_leaf = call.children == 0 if call else not list(module.children())
    parameters = {key: p for key, p in module._parameters.items() if p is not None}
    return {
        "layer": layer,
        "operation": "",
        "layer_type": user_class(module).__name__,
        "file": file,
        "line": line,
        "parent": layer.rpartition(".")[0] if layer else None,
        "role": Role.LEAF if is_leaf else Role.CONTAINER,
        "tap": "",
        "calls": sum(called == layer for called, _ in graph.calls),
        "parameters": sum(0 if _is_lazy(p) else p.numel() for p in parameters.values()),
        "parameter_names": ", ".join(parameters),
        **_fans(module),
    }


def _operation_row(place: Place) -> Row:
    return {
        "layer": place.layer,
        "operation": place.operation,
        "layer_type": place.operation.partition("#")[0],
        "parent": place.layer,
        "role": Role.OPERATION,
        "calls": 1,
        "parameters": 0,
        "parameter_names": "",
    }


def _is_lazy(parameter: object) -> bool:
    return isinstance(parameter, nn.UninitializedParameter)


def _weight_of(module: nn.Module) -> torch.Tensor | None:
    """Give the weight of at least two axes, without running a parametrization in train mode."""
    weight = dict(module._parameters.items()).get("weight")  # of scripted modules it is no dict
    if weight is None and parametrize.is_parametrized(module, "weight"):
        weight = cast(nn.Parameter, effective_weights(module).get("weight"))
    has_fans = weight is not None and not _is_lazy(weight) and weight.dim() >= 2
    return weight if has_fans else None


def _fans(module: nn.Module) -> Row:
    """Count the inputs of one output unit and the outputs of one input unit, per group.

    fan_in = (channels in / groups) x positions of the kernel; fan_out likewise.
    """
    weight = _weight_of(module)
    if weight is None:
        return {}
    positions = math.prod(weight.shape[2:])
    first, second = weight.shape[0], weight.shape[1]
    groups = getattr(module, "groups", 1)
    if isinstance(module, nn.modules.conv._ConvTransposeNd):
        first, second = second * groups, first // groups
    return {
        "fan_in": second * positions,
        "fan_out": first // groups * positions,
        "groups": groups,
    }


@functools.cache  # reading the source of a class takes milliseconds
def _location(kind: type) -> tuple[str | None, int | None]:
    """Find the file and line of a class; None where there is no source."""
    try:
        return inspect.getsourcefile(kind), inspect.getsourcelines(kind)[1]
    except (OSError, TypeError):
        return None, None


def _surroundings(graph: Graph, children: list[list[int]], node: Node) -> Row:
    """Say what stands between this layer and the weighted layers before and behind it."""
    before = list(_upstream(graph, node))[::-1]
    after = list(_downstream(graph, children, node))
    nonlinear = [name for name in after if name in NONLINEARITIES]
    return {
        "computes": node.operation,
        "channel_axis": node.axis,
        "before": " > ".join(before),
        "after": " > ".join(after),
        "nonlinearity": nonlinear[0] if nonlinear else None,
        "normalised_before": any(name in NORMALISATIONS for name in before),
        "normalised_after": any(name in NORMALISATIONS for name in after),
    }


def _is_between(node: Node) -> bool:
    """Say whether an operation stands between weighted layers: without weights, and no merge."""
    return node.operation in NORMALISATIONS or (
        not node.uses_parameter and len(node.parents) == 1 and node.operation != "input"
    )


def _upstream(graph: Graph, node: Node) -> Iterator[str]:
    while node.parents:
        node = graph.nodes[node.parents[0]]
        if not _is_between(node):
            return
        if node.operation not in SHAPE_OPERATIONS:
            yield node.operation


def _downstream(graph: Graph, children: list[list[int]], node: Node) -> Iterator[str]:
    while len(children[node.index]) == 1:
        node = graph.nodes[children[node.index][0]]
        if not _is_between(node):
            return
        if node.operation not in SHAPE_OPERATIONS:
            yield node.operation


def _tap_columns(info: TapInfo) -> Row:
    row: Row = {"tap": info.tap, "block": info.block, "stage": info.stage}
    if info.merge is None or info.tap is Tap.STEM:
        return row
    merge = info.merge
    row |= {
        "merge": f"{merge.node.place.layer}:{merge.node.place.operation}".lstrip(":"),
        "merge_level": merge.level,
        "skip_kind": merge.skip_kind,
    }
    if info.end:
        gains = [gain or "computed" for gain in info.end.gains]
        row |= {"constant": info.end.constant, "gains": ", ".join(gains)}
    return row


def describe_initialisation(statistics: Mapping[str, float]) -> str:
    """Say how a parameter was initialised, from the statistics of its values.

    >>> describe_initialisation({"minimum": 1.0, "maximum": 1.0, "variance": 0.0})
    'constant 1'
    """
    low, high = statistics["minimum"], statistics["maximum"]
    if low == high:
        return "zero" if low == 0 else f"constant {low:g}"
    return f"std {statistics['variance'] ** 0.5:.4g}"
