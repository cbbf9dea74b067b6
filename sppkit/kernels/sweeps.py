"""A pass over a tensor, piece by piece, that leaves a few numbers per channel."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

from sppkit.kernels.layout import Layout

Rows: TypeAlias = dict[str, Tensor]
"""Named results: of one piece, or of the tensor with one number per channel, shape (C,)."""

Step: TypeAlias = Callable[..., Rows]
"""Called with the sweeps, the values of a piece, and numbers per channel that broadcast to them."""

EXTREMES = frozenset({"minimum", "maximum"})

PER_TENSOR = "patterns"
"""The one result that is of all channels together."""


class Sweeps:
    """Runs steps over the pieces of a tensor, in memory that all of them reuse.

    Attributes:
        layout: the pieces.
        axis: the axis of a piece that a step reduces.
        dtype: the precision that a step computes in: float32, or float64 where the tensor has it.
    """

    def __init__(self, layout: Layout, scratch: int) -> None:
        self.layout = layout
        self.axis = layout.axis
        largest = layout.pieces[0].values
        self.dtype = torch.promote_types(largest.dtype, torch.float32)
        # One allocation, because the C library returns several to the system after each read.
        slots = scratch if largest.dtype is self.dtype else scratch + 1
        self._scratch = largest.new_empty((slots, largest.numel()), dtype=self.dtype)

    @property
    def on_cpu(self) -> bool:
        """Whether the host may look at a result, because there is no device to wait for."""
        return self._scratch.is_cpu

    def run(self, step: Step, *per_channel: Tensor | None) -> Rows:
        """Run a step on every piece and reduce what it leaves to one number per channel.

        Args:
            step: returns named results with the long axis reduced: "minimum" and "maximum" are
                reduced further as their names say, "patterns" over pieces alone, others added.
            per_channel: numbers per channel, shape (C,), that the step takes; None is passed on.
        """
        pieces = self.layout.pieces
        spread = [
            [None] * len(pieces) if numbers is None else self.layout.spread(numbers)
            for numbers in per_channel
        ]
        parts = [
            step(self, self._lifted(piece.values), *numbers)
            for piece, *numbers in zip(pieces, *spread, strict=True)
        ]
        return {name: self._reduced(name, [part[name] for part in parts]) for name in parts[0]}

    def scratch(self, slot: int, values: Tensor) -> Tensor:
        """Return reused memory in the shape of a piece; its content is arbitrary."""
        return self._scratch[slot, : values.numel()].view(values.shape)

    def _lifted(self, values: Tensor) -> Tensor:
        return values if values.dtype is self.dtype else self.scratch(-1, values).copy_(values)

    def _reduced(self, name: str, parts: list[Tensor]) -> Tensor:
        if name == PER_TENSOR:
            return parts[0] if len(parts) == 1 else torch.stack(parts).sum(0)
        joined = parts[0] if len(parts) == 1 else torch.cat([part.flatten() for part in parts])
        return _over_channels(name, joined, self.layout.partial)


def _over_channels(name: str, joined: Tensor, shape: tuple[int, int, int]) -> Tensor:
    if shape[0] == shape[2] == 1:
        return joined.flatten().to(wide_dtype(joined)) if name not in EXTREMES else joined.flatten()
    partial = joined.reshape(shape)
    if name == "minimum":
        return partial.amin((0, 2))
    if name == "maximum":
        return partial.amax((0, 2))
    return partial.sum((0, 2), dtype=wide_dtype(partial))


def wide_dtype(values: Tensor) -> torch.dtype:
    """Return the type of sums over channels: float64, or the widest that the device has."""
    return torch.float32 if values.device.type == "mps" else torch.float64
