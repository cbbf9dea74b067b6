"""LSUV: rescale layer after layer until its output has unit variance on a batch of data."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from sppkit.init.layers import set_weight, weight_of, weighted_layers
from sppkit.patterns import Patterns


@dataclass(frozen=True)
class LayerVariance:
    """What became of one layer.

    Attributes:
        layer: its name.
        before, after: variance of its output, over all values.
        iterations: how often it was rescaled.
    """

    layer: str
    before: float
    after: float
    iterations: int


@torch.no_grad()
def layer_sequential_unit_variance(
    model: nn.Module,
    *args: Any,
    tolerance: float = 0.1,
    maximum_iterations: int = 10,
    orthonormal: bool = True,
    layers: Patterns | None = None,
    run: Callable[[nn.Module], object] | None = None,
) -> tuple[LayerVariance, ...]:
    """Initialise layers one after the other so that their outputs have unit variance, in place.

        while |Var(B_l) - 1| >= tolerance and fewer than maximum_iterations:
            W_l <- W_l / sqrt(Var(B_l))

    for each layer l in order of execution, B_l being its output on the batch (Mishkin, Matas, 2016,
    All you need is a good init, arXiv 1511.06422, algorithm 1; there Tol_var = 0.1, T_max = 10).
    All layers are done in one forward pass: each hands on what it computes with its new weights.
    Of a layer that is called several times the first call counts. Buffers are left as they were.

    Args:
        model: any module; it runs in the mode that it is in.
        *args: positional arguments of its forward: a batch of data.
        tolerance: half the width of the band around 1.
        maximum_iterations: of one layer.
        orthonormal: draw orthonormal weights first, as the paper does (Saxe et al., 2014,
            arXiv 1312.6120); False rescales the weights that are there.
        layers: names or patterns; None takes all weighted layers.
        run: runs the forward of the model it is given, where `args` do not suffice.

    Returns:
        One entry per layer, in order of execution. A layer whose output is constant or not finite
        is left alone: its entry has no iterations, and `after` outside of the band. Layers that
        were never called are missing.

    Raises:
        ValueError: the tolerance is not positive, there is no iteration, or a pattern matches no
            module.
    """
    if not tolerance > 0 or maximum_iterations < 1:
        raise ValueError(
            f"expected tolerance > 0 and maximum_iterations >= 1, got {tolerance} and "
            f"{maximum_iterations}"
        )
    chosen = weighted_layers(model, layers)
    if orthonormal:
        for module in chosen.values():
            set_weight(module, nn.init.orthogonal_(torch.empty_like(weight_of(module))))
    done: dict[str, LayerVariance] = {}

    def rescale(name: str) -> Callable[..., torch.Tensor | None]:
        def hook(module: nn.Module, inputs: Any, keywords: Any, output: Any) -> Any:
            if name in done or not isinstance(output, torch.Tensor):
                return None
            compute = lambda: module.forward(*inputs, **keywords)  # noqa: E731
            done[name], output = _rescaled(
                name, module, output, compute, tolerance, maximum_iterations
            )
            return output

        return hook

    with _hooked(chosen, rescale), _same_buffers(model):
        model(*args) if run is None else run(model)
    return tuple(done.values())


def _rescaled(
    name: str,
    module: nn.Module,
    output: torch.Tensor,
    compute: Callable[[], torch.Tensor],
    tolerance: float,
    maximum_iterations: int,
) -> tuple[LayerVariance, torch.Tensor]:
    before = variance = _variance(output)
    iterations = 0
    while abs(variance - 1) >= tolerance and iterations < maximum_iterations:
        if not math.isfinite(variance) or variance == 0:
            break
        set_weight(module, weight_of(module) / math.sqrt(variance))
        output = compute()
        variance, iterations = _variance(output), iterations + 1
    return LayerVariance(name, before, variance, iterations), output


def _variance(output: torch.Tensor) -> float:
    return float(output.double().var(correction=0))


@contextmanager
def _hooked(chosen: Mapping[str, nn.Module], make: Callable[[str], Any]) -> Iterator[None]:
    handles = [
        module.register_forward_hook(make(name), with_kwargs=True)
        for name, module in chosen.items()
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _same_buffers(model: nn.Module) -> Iterator[None]:
    """Put back what the forward pass writes to buffers: running statistics, counters."""
    saved = [(buffer, buffer.clone()) for buffer in model.buffers()]
    try:
        yield
    finally:
        for buffer, values in saved:
            buffer.copy_(values)
