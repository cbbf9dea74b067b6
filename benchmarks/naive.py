"""The collector that most people write first: a module hook each way, an operation per number.

It is what sppkit is compared with, in time and, in the tests, in its numbers. Everything obvious
is in it: full backward hooks, one reduction per statistic, `.item()` after each, parameters at the
end of the step.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

Table = dict[tuple[str, str], dict[str, float]]
"""Statistics by signal and name."""


def _per_channel(x: Tensor, axis: int) -> Tensor:
    """Return (C, values); a bias or a gain is one channel."""
    return x.movedim(axis, 0).flatten(1) if x.dim() > 1 else x.unsqueeze(0)


STATISTICS: dict[str, Callable[[Tensor, int], Tensor]] = {
    "mean": lambda x, axis: x.mean(),
    "variance": lambda x, axis: x.var(correction=0),
    "second_moment": lambda x, axis: (x**2).mean(),
    "average_channel_squared_mean": lambda x, axis: (_per_channel(x, axis).mean(1) ** 2).mean(),
    "average_channel_variance": lambda x, axis: _per_channel(x, axis).var(1, correction=0).mean(),
    "minimum": lambda x, axis: x.min(),
    "maximum": lambda x, axis: x.max(),
    "zero_fraction": lambda x, axis: (x == 0).float().mean(),
    "nonfinite_fraction": lambda x, axis: (~torch.isfinite(x)).float().mean(),
}


class NaiveCollector:
    """Collects statistics of activations, gradients, weights and weight gradients.

    Attributes:
        table: the numbers of the latest step.
    """

    def __init__(self, model: nn.Module) -> None:
        self.table: Table = {}
        self._model = model

    @contextmanager
    def attached(self) -> Iterator["NaiveCollector"]:
        """Put a forward hook and a full backward hook on every leaf while the block runs."""
        handles = []
        for name, module in self._model.named_modules():
            if not list(module.children()):
                handles.append(module.register_forward_hook(self._forward_hook(name)))
                handles.append(module.register_full_backward_hook(self._backward_hook(name)))
        try:
            yield self
        finally:
            for handle in handles:
                handle.remove()

    def end_step(self) -> None:
        """Read the parameters and their gradients."""
        for name, parameter in self._model.named_parameters():
            axis = _unit_axis(self._model.get_submodule(name.rpartition(".")[0]), parameter)
            self._collect("weight", name, parameter.detach(), axis)
            if parameter.grad is not None:
                self._collect("weight gradient", name, parameter.grad, axis)

    def rows(self) -> dict[str, int]:
        """Count what was collected in a step, by signal."""
        return dict(Counter(signal for signal, _ in self.table))

    def _forward_hook(self, name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: Any, output: Tensor) -> None:
            self._collect("activation", name, output.detach(), _channel_axis(output))

        return hook

    def _backward_hook(self, name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: Any, gradients: tuple[Tensor, ...]) -> None:
            self._collect("gradient", name, gradients[0], _channel_axis(gradients[0]))

        return hook

    def _collect(self, signal: str, name: str, x: Tensor, axis: int) -> None:
        self.table[signal, name] = {
            statistic: compute(x, axis).item() for statistic, compute in STATISTICS.items()
        }


def _channel_axis(x: Tensor) -> int:
    """Take images for (N, C, H, W), everything else for (..., C)."""
    return 1 if x.dim() == 4 else -1


def _unit_axis(module: nn.Module, parameter: Tensor) -> int:
    """Find the output units of a weight; a transposed convolution has them second."""
    return int(isinstance(module, nn.ConvTranspose2d) and parameter.dim() > 1)
