"""Small tensors of one shape, copied side by side and read together.

torch's operations cost a microsecond each, whatever they do: the twenty of one read take longer
than the layer that made a thousand values. Copying these costs a single one.
"""

from __future__ import annotations

from collections import Counter
from math import prod
from typing import TypeAlias

import torch
from torch import Tensor

from sppkit.kernels.layout import channel_count, normalized_axis
from sppkit.kernels.torch_operations import summarize
from sppkit.summary import BASE_ROWS

SMALL = 1 << 14
"""Values up to which a tensor is gathered."""

CAPACITY = 1 << 18
"""Values that are read together: a megabyte, which stays in the second cache."""

MOST_TENSORS = 64
"""Tensors that are read together."""

MEMORY = 1 << 21
"""Values that all shapes together may take."""

WORTH_GATHERING = 8
"""Tensors of a shape from which on it is gathered."""

_Shape: TypeAlias = tuple[torch.Size, int | None]


class Gathering:
    """Reads small tensors in batches, and writes their base summaries to the columns of pages."""

    def __init__(self) -> None:
        self._seen: Counter[_Shape] = Counter()
        self._batches: dict[_Shape, _Batch] = {}
        self._taken = 0

    def add(self, rows: Tensor, column: int, tensor: Tensor, channel_axis: int | None) -> bool:
        """Copy a tensor, to be read at the next `flush`; False where it is to be read at once.

        Args:
            rows, column: where its summary goes, as for `summarize_into`.
            tensor, channel_axis: what is read.
        """
        if not 0 < tensor.numel() <= SMALL or tensor.dtype is not torch.float32:
            return False
        shape = (tensor.shape, channel_axis)
        batch = self._batches.get(shape) or self._begin(shape)
        if batch is None:
            return False
        if batch.rows is not rows or len(batch.columns) == batch.room:
            batch.read()
        batch.add(rows, column, tensor.detach())
        return True

    def flush(self) -> None:
        """Read what was gathered."""
        for batch in self._batches.values():
            batch.read()

    def _begin(self, shape: _Shape) -> _Batch | None:
        """Make room for a shape that comes often."""
        self._seen[shape] += 1
        size = shape[0].numel()
        room = min(MOST_TENSORS, CAPACITY // size)
        if self._seen[shape] < WORTH_GATHERING or self._taken + room * size > MEMORY:
            return None
        self._taken += room * size
        batch = self._batches[shape] = _Batch(*shape, room)
        return batch


class _Batch:
    """Room for tensors of one shape, as a tensor (outer, room, C, inner)."""

    def __init__(self, shape: torch.Size, channel_axis: int | None, room: int) -> None:
        like = torch.empty(shape, device="meta")
        axis = None if channel_axis is None else normalized_axis(like, channel_axis)
        before, after = ((), shape) if axis is None else (shape[:axis], shape[axis + 1 :])
        self.room = room
        self.rows: Tensor | None = None
        self.columns: list[int] = []
        self._channels = channel_count(like, channel_axis)
        self._indices: dict[tuple[int, ...], Tensor] = {}
        with torch.inference_mode(False):
            self._values = torch.empty(prod(before), room, self._channels, prod(after))
            places = (self._values[:, i] for i in range(room))
            self._places = [_seen_as(place, shape, before, after) for place in places]

    def add(self, rows: Tensor, column: int, values: Tensor) -> None:
        """Copy a tensor that needs no gradient."""
        self._places[len(self.columns)].copy_(values)
        self.columns.append(column)
        self.rows = rows

    def read(self) -> None:
        """Read what was copied, and write the summaries."""
        if not self.columns or self.rows is None:
            return
        together = self._values[:, : len(self.columns)].flatten(1, 2)
        packed = summarize(together, 1, extended=False).view(len(BASE_ROWS), -1)
        self.rows.index_copy_(1, self._index(tuple(self.columns)), packed)
        self.columns, self.rows = [], None

    def _index(self, columns: tuple[int, ...]) -> Tensor:
        """Give the columns of all channels, which are the same from step to step."""
        if columns not in self._indices:
            first = torch.tensor(columns)[:, None]
            self._indices[columns] = (first + torch.arange(self._channels)).flatten()
        return self._indices[columns]


def _seen_as(
    place: Tensor, shape: torch.Size, before: tuple[int, ...], after: tuple[int, ...]
) -> Tensor:
    """View one place, (outer, C, inner), in the shape of what is copied there."""
    split: Tensor = place.unflatten(2, after or (1,)).unflatten(0, before or (1,))
    return split.view(shape)
