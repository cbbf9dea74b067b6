"""Rescale layer after layer, in the order in which one forward pass comes by."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from sppkit.capture.steps.state import isolated_randomness
from sppkit.capture.tensors.channel_axis import axis_of_module_output
from sppkit.init.layers import set_weight, weight_of
from sppkit.init.trial import Run

Statistic = Callable[[nn.Module, torch.Tensor], float]
"""What is measured of the output of a module."""


@dataclass(frozen=True)
class LayerVariance:
    """What became of one layer.

    Attributes:
        layer: its name.
        before, after: variance of its output, or what else was measured of it.
        iterations: how often it was rescaled.
        target: what `after` was to become.
    """

    layer: str
    before: float
    after: float
    iterations: int
    target: float = 1.0


@dataclass(frozen=True)
class Rescaling:
    """How layers are rescaled.

    Attributes:
        statistic: what is measured of an output, proportional to the square of the weights.
        target: of a layer, by its name and what it was given.
        tolerance: half the width of the band around the target, as a share of it.
        maximum_iterations: of one layer.
    """

    statistic: Statistic
    target: Callable[[str, nn.Module, tuple[Any, ...]], float]
    tolerance: float
    maximum_iterations: int

    def check(self) -> None:
        """Refuse a band without width, and no iteration.

        Raises:
            ValueError: either is there.
        """
        if not self.tolerance > 0 or self.maximum_iterations < 1:
            raise ValueError(
                "expected tolerance > 0 and maximum_iterations >= 1, got "
                f"{self.tolerance} and {self.maximum_iterations}"
            )


@torch.no_grad()
def rescale_in_order(
    model: nn.Module, chosen: Mapping[str, nn.Module], run: Run, rescaling: Rescaling
) -> tuple[LayerVariance, ...]:
    """Divide weights until each layer's statistic is at its target, in one forward pass.

    Each layer hands on what it computes with its new weights, so the layers behind it are measured
    on what they will be given. Of a layer that is called several times the first call counts. A
    layer whose output is constant or not finite is left alone. Buffers and the generators of random
    numbers are left as they were.
    """
    done: dict[str, LayerVariance] = {}

    def rescale(name: str) -> Callable[..., torch.Tensor | None]:
        def hook(module: nn.Module, inputs: Any, keywords: Any, output: Any) -> Any:
            if name in done or not isinstance(output, torch.Tensor):
                return None
            compute = lambda: module.forward(*inputs, **keywords)  # noqa: E731
            target = rescaling.target(name, module, inputs)
            done[name], output = _rescaled(name, module, output, compute, rescaling, target)
            return output

        return hook

    with _hooked(chosen, rescale), _same_buffers(model), isolated_randomness(0):
        run(model)
    return tuple(done.values())


def _rescaled(
    name: str,
    module: nn.Module,
    output: torch.Tensor,
    compute: Callable[[], torch.Tensor],
    rescaling: Rescaling,
    target: float,
) -> tuple[LayerVariance, torch.Tensor]:
    before = measured = rescaling.statistic(module, output)
    iterations = 0
    while (
        abs(measured / target - 1) >= rescaling.tolerance
        and iterations < rescaling.maximum_iterations
    ):
        if not math.isfinite(measured) or measured == 0:
            break
        set_weight(module, weight_of(module) / math.sqrt(measured / target))
        output = compute()
        measured, iterations = rescaling.statistic(module, output), iterations + 1
    return LayerVariance(name, before, measured, iterations, target), output


def variance(module: nn.Module, output: torch.Tensor) -> float:
    """Compute the variance over all values."""
    return float(output.double().var(correction=0))


def second_moment(module: nn.Module, output: torch.Tensor) -> float:
    """Compute the mean square of all values."""
    return float(output.double().square().mean())


def average_channel_variance(module: nn.Module, output: torch.Tensor) -> float:
    """Compute the variance over all axes but the channels', averaged over the channels."""
    axis = axis_of_module_output(module, output.dim())
    channels = output.double().movedim(1 if axis is None else axis, 0).flatten(1)
    return float(channels.var(1, correction=0).mean())


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
