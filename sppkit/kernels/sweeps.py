"""A pass over a tensor, piece by piece, that leaves a few numbers per channel."""

from __future__ import annotations

from collections.abc import Callable
from itertools import repeat
from typing import Any, TypeAlias

import torch
from torch import Tensor

from sppkit.kernels.layout import Reading

Rows: TypeAlias = dict[str, Tensor]
"""Named results: of one piece, or of the tensor with one number per channel, shape (C,)."""

Step: TypeAlias = Callable[..., Rows]
"""Called with the sweeps, the values of a piece, and numbers per channel that broadcast to them."""

PER_TENSOR = "patterns"
"""The one result that is of all channels together."""


class Sweeps:
    """Runs steps over the pieces of a tensor, in memory that all of them reuse.

    Attributes:
        reading: the pieces.
        on_cpu: whether the host may look at a result without waiting for a device.
        axis: the axis of a piece that a step reduces.
        dtype: the precision that a step computes in: float32, or float64 where the tensor has it.
    """

    def __init__(self, reading: Reading) -> None:
        self.reading = reading
        self.axis = reading.axis
        self.on_cpu = reading.pieces[0].values.is_cpu
        self._largest = reading.pieces[0].values
        self.dtype = torch.promote_types(self._largest.dtype, torch.float32)
        self._scratch: dict[str, Tensor] = {}

    def run(self, step: Step, *per_channel: Tensor | None) -> Rows:
        """Run a step on every piece and reduce what it leaves to one number per channel.

        Args:
            step: returns named results with the long axis reduced: "minimum" and "maximum" are
                reduced further as their names say, "patterns" over pieces alone, others added.
            per_channel: numbers per channel, shape (C,), that the step takes; None is passed on.
        """
        spread: list[Any] = [
            self.reading.spread(x) if x is not None else repeat(None) for x in per_channel
        ]
        parts = [
            step(self, self._lifted(piece.values), *numbers)
            for piece, *numbers in zip(self.reading.pieces, *spread)
        ]
        return {name: self._reduced(name, [part[name] for part in parts]) for name in parts[0]}

    def scratch(self, name: str, values: Tensor) -> Tensor:
        """Return the memory of that name, in the shape of a piece; its content is arbitrary."""
        if name not in self._scratch:
            self._scratch[name] = self._largest.new_empty(self._largest.numel(), dtype=self.dtype)
        return self._scratch[name][: values.numel()].view(values.shape)

    def _lifted(self, values: Tensor) -> Tensor:
        return (
            values if values.dtype is self.dtype else self.scratch("lifted", values).copy_(values)
        )

    def _reduced(self, name: str, parts: list[Tensor]) -> Tensor:
        if name == PER_TENSOR:
            return parts[0] if len(parts) == 1 else torch.stack(parts).sum(0)
        joined = parts[0] if len(parts) == 1 else torch.cat([part.flatten() for part in parts])
        partial = joined.reshape(self.reading.partial)
        if name == "minimum":
            return partial.amin((0, 2))
        if name == "maximum":
            return partial.amax((0, 2))
        return partial.sum((0, 2), dtype=wide_dtype(partial))


def wide_dtype(values: Tensor) -> torch.dtype:
    """Return the type of sums over channels: float64, or the widest that the device has."""
    return torch.float32 if values.device.type == "mps" else torch.float64
