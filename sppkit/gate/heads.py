"""Heads that start at zero, which is healthy and keeps every gradient from the layers below."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from sppkit.capture.tensors.sharding import is_distributed_tensor
from sppkit.capture.tracing.graph import Graph, Node
from sppkit.probing.losses import random_stream

NEARLY_ZERO_GAIN = 1e-3
"""Of the root mean square of a head's weights times sqrt(fan-in): what it makes of a unit signal.

Heads drawn with a standard deviation of 2e-5, as timm draws those of its NFNets and transformers
with `head_init_scale`, lie below; the usual 0.01 is far above.
"""


def heads(graph: Graph) -> list[str]:
    """Name the layers whose results are the outputs, but for operations without weights."""
    ends = (_weighted_end(graph, node) for node in graph.nodes if _is_output(node))
    layers = (node.emitted[0].layer for node in ends if node and node.emitted)
    return [layer for layer in dict.fromkeys(layers) if layer]


def _is_output(node: Node) -> bool:
    return any(place.layer == "" and not place.operation for place in node.emitted)


def _weighted_end(graph: Graph, node: Node) -> Node | None:
    while not node.uses_parameter:
        if len(node.parents) != 1:
            return None
        node = graph.nodes[node.parents[0]]
    return node


def silent_heads(model: nn.Module, graph: Graph) -> list[str]:
    """Name the weights of heads that are zero, or nearly; those shared with other layers are not.

    Reads values on the host.
    """
    owners: dict[int, int] = {}
    for _, parameter in model.named_parameters(remove_duplicate=False):
        owners[id(parameter)] = owners.get(id(parameter), 0) + 1
    weights = {
        layer: model.get_submodule(layer)._parameters.get("weight") for layer in heads(graph)
    }
    return [
        f"{layer}.weight"
        for layer, weight in weights.items()
        if weight is not None and owners[id(weight)] == 1 and _is_silent(weight)
    ]


def _is_silent(weight: torch.Tensor) -> bool:
    if is_lazy(weight) or is_distributed_tensor(weight) or weight.dim() < 2 or not weight.numel():
        return False
    sums = weight.detach().abs().double().flatten(1).square().sum(1)
    return bool(sums.mean().sqrt() <= NEARLY_ZERO_GAIN)


@contextmanager
def awake(model: nn.Module, names: Sequence[str], seed: int) -> Iterator[None]:
    """Draw weights of heads from N(0, 1/fan-in), and put their very bits back afterwards.

    LeCun, Bottou, Orr, Müller, 1998, Efficient BackProp, section 4.6.
    """
    weights = [model.get_parameter(name) for name in names]
    saved = [weight.detach().clone() for weight in weights]
    generator = random_stream(seed, "head")
    try:
        with torch.no_grad():
            for weight in weights:
                drawn = torch.randn(weight.shape, generator=generator) * weight[0].numel() ** -0.5
                weight.copy_(drawn)
        yield
    finally:
        with torch.no_grad():
            for weight, value in zip(weights, saved, strict=True):
                weight.copy_(value)
