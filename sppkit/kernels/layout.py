"""Which tensors can be read, and how their values are laid out for a read by channels.

A tensor of any shape and stride is seen as (outer, C, inner): the channel axis and, as far as
memory allows without a copy, everything around it (`group_by_channel`). `lay_out` cuts that
view into pieces that fit a cache, so that several passes cost little more than one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, gcd, prod
from typing import NamedTuple

import torch
from torch import Tensor

READ_DTYPES = frozenset({torch.float16, torch.bfloat16, torch.float32, torch.float64})

LONG_ROW = 64
FEW_SAMPLES = 8
"""Rows this long are reduced along themselves, others as columns, unless these are much shorter.

torch reduces a row of 49 values five times slower than columns of the same numbers.
"""

WIDE_MATRIX = 1024
"""Columns are reduced that many at a time; with a few only, torch's minimum runs unvectorised."""

WORTH_FOLDING = 1 << 15
"""Values from which on that pays."""

LEAST_ROWS = 32
"""Rows of a piece made of columns, however wide: each piece leaves one partial row behind."""

LEAST_ROWS_PER_THREAD = 16


def unsupported_reason(tensor: Tensor) -> str | None:
    """Return why a tensor cannot be summarized, or None where it can.

    >>> unsupported_reason(torch.zeros(3))
    >>> unsupported_reason(torch.arange(3))
    'integer tensors carry no signal: torch.int64 holds indices or codes'
    """
    if hasattr(type(tensor), "placements"):  # DTensor, whose module is slow to import
        return "distributed tensors are spread over processes: read to_local() on each of them"
    if tensor.is_nested:
        return "nested tensors have no single shape: read their components, or values()"
    if tensor.is_quantized:
        return f"quantised tensors hold codes ({tensor.dtype}): read dequantize()"
    if tensor.layout is not torch.strided:
        return f"sparse tensors ({tensor.layout}) have no channel axis: read values() or to_dense()"
    if tensor.is_meta:
        return "meta tensors have a shape and no values: materialise them first"
    return None if tensor.dtype in READ_DTYPES else _dtype_reason(tensor.dtype)


def _dtype_reason(dtype: torch.dtype) -> str:
    if dtype.is_complex:
        return f"complex tensors ({dtype}) have no extremes: read real and imaginary parts apart"
    if dtype is torch.bool:
        return "boolean tensors carry no signal: torch.bool holds masks"
    if dtype.is_floating_point:
        return f"{dtype} tensors hold scaled codes: read them in float32, times their scale"
    return f"integer tensors carry no signal: {dtype} holds indices or codes"


def channel_count(tensor: Tensor, channel_axis: int | None) -> int:
    """Return C, the number of channels along an axis; 1 where the whole tensor is one."""
    if channel_axis is None or tensor.dim() == 0:
        return 1
    return tensor.shape[normalized_axis(tensor, channel_axis)]


class Grouped(NamedTuple):
    """A tensor seen by channels.

    Attributes:
        values: shape (outer, C, inner).
        repeats: how often the tensor holds each of these values, as an expanded tensor does.
    """

    values: Tensor
    repeats: int


def group_by_channel(tensor: Tensor, channel_axis: int | None) -> Grouped:
    """Return a view (outer, C, inner) of a tensor; a copy only where strides leave no choice.

    Args:
        tensor: any shape, no axis of size 0.
        channel_axis: axis of the channels, from either end; None for one channel that holds
            the whole tensor. A tensor without axes is one channel of one value.

    Raises:
        ValueError: if the tensor has no such axis.
    """
    if tensor.dim() == 0 or channel_axis is None:
        tensor, channel_axis = tensor.unsqueeze(0), 0
    axis = normalized_axis(tensor, channel_axis)
    if tensor.is_contiguous():
        shape = tensor.shape
        return Grouped(tensor.view(prod(shape[:axis]), shape[axis], prod(shape[axis + 1 :])), 1)
    return _group_strided(tensor, axis)


def normalized_axis(tensor: Tensor, channel_axis: int) -> int:
    """Return a channel axis counted from the front, or raise for one that is not there."""
    if not -tensor.dim() <= channel_axis < tensor.dim():
        raise ValueError(
            f"channel_axis={channel_axis} is not an axis of a tensor of shape "
            f"{tuple(tensor.shape)}: expected {-tensor.dim()} to {tensor.dim() - 1}, or None."
        )
    return channel_axis % tensor.dim()


def _group_strided(tensor: Tensor, axis: int) -> Grouped:
    """Order the axes by stride, which is the order of memory, and read repeated values once."""
    size, stride = tensor.shape, tensor.stride()
    others = [k for k in range(tensor.dim()) if k != axis and size[k] > 1]
    repeats = prod(size[k] for k in others if stride[k] == 0)
    kept = sorted((k for k in others if stride[k] > 0), key=lambda k: -stride[k])
    outer = [k for k in kept if stride[k] > stride[axis] and size[axis] > 1]
    inner = [k for k in kept if k not in outer]
    dropped = [k for k in range(tensor.dim()) if k != axis and k not in kept]
    ordered = tensor.permute(*dropped, *outer, axis, *inner)[(0,) * len(dropped)]
    shape = prod(size[k] for k in outer), size[axis], prod(size[k] for k in inner)
    return Grouped(ordered.reshape(shape), repeats)


class Piece(NamedTuple):
    """A part of a grouped tensor that fits a cache, in the tensor's own precision.

    Attributes:
        values: rows (outer, C, inner), or stacked columns (b, k, l).
        channels: the channels that the rows belong to; columns hold all of them.
    """

    values: Tensor
    channels: slice


@dataclass(frozen=True)
class Layout:
    """A grouped tensor, cut into pieces of the form that torch reduces fast.

    Attributes:
        pieces: in the order of memory.
        axis: the long axis, to be reduced first: 2 of rows, 1 of columns.
        partial: shape (k, C, l) of what that leaves of all pieces together.
        count: values per channel.
        columns: what one number per channel is expanded to, (g, C, inner), to meet the columns.
    """

    pieces: list[Piece]
    axis: int
    partial: tuple[int, int, int]
    count: int
    columns: tuple[int, int, int] | None = None

    def spread(self, per_channel: Tensor) -> list[Tensor]:
        """Return, for each piece, one number per channel in a shape that broadcasts against it."""
        if self.columns is None:
            return [per_channel[piece.channels].view(-1, 1) for piece in self.pieces]
        if self.columns[0] == self.columns[2] == 1:
            return [per_channel] * len(self.pieces)
        return [per_channel.view(-1, 1).expand(self.columns).reshape(-1)] * len(self.pieces)


def lay_out(values: Tensor, size: int) -> Layout:
    """Cut a grouped tensor (outer, C, inner) into pieces of at most `size` values, or nearly."""
    return _rows(values, size) if is_read_in_rows(values) else _columns(values, size)


def is_read_in_rows(values: Tensor) -> bool:
    """Say whether a grouped tensor (outer, C, inner) is reduced along rows, else along columns."""
    outer, _, inner = values.shape
    return inner >= min(LONG_ROW, FEW_SAMPLES * outer)


def _rows(values: Tensor, size: int) -> Layout:
    outer, channels, inner = values.shape
    block = max(1, size // (channels * inner))
    parts = [
        Piece(run, slice(start, start + run.shape[1]))
        for samples in torch.split(values, block)
        for start, rows in _split_channels(samples, max(1, size // inner))
        for run in torch.split(rows, size, dim=2)
    ]
    return Layout(parts, 2, (outer, channels, ceil(inner / size)), outer * inner)


def _split_channels(samples: Tensor, size: int) -> Iterator[tuple[int, Tensor]]:
    """Cut along the channels, where a single sample is larger than a piece."""
    block = size if len(samples) == 1 else samples.shape[1]
    starts = range(0, samples.shape[1], block)
    return zip(starts, torch.split(samples, block, dim=1), strict=True)


def _columns(values: Tensor, size: int) -> Layout:
    outer, channels, inner = values.shape
    width = channels * inner
    fold = column_fold(values)
    columns = values.reshape(outer // fold, fold * width)
    parts = torch.split(columns, max(LEAST_ROWS, size // (fold * width)))
    stacks = [_stacked_by_thread(part) for part in parts]
    return Layout(
        pieces=[Piece(stack, slice(None)) for stack in stacks],
        axis=1,
        partial=(sum(len(stack) for stack in stacks) * fold, channels, inner),
        count=outer * inner,
        columns=(fold, channels, inner),
    )


def column_fold(values: Tensor) -> int:
    """Give how many rows of a grouped tensor are laid side by side, to make its columns many."""
    outer, channels, inner = values.shape
    if values.numel() < WORTH_FOLDING or not values.is_contiguous():
        return 1
    return gcd(outer, _power_of_two_below(WIDE_MATRIX / (channels * inner)))


def _stacked_by_thread(columns: Tensor) -> Tensor:
    """View (k, l) as blocks of rows (b, k / b, l), one for each thread of the CPU where k allows.

    torch shares out element-wise work by rows. Sums within blocks are shared out likewise, so that
    each thread finds in its own cache what it has written; sums of whole columns are not.
    """
    rows, width = columns.shape
    threads = torch.get_num_threads() if columns.is_cpu else 1
    blocks = gcd(rows, 1 << (threads - 1).bit_length())
    if rows < blocks * LEAST_ROWS_PER_THREAD or columns.numel() < WORTH_FOLDING:
        blocks = 1
    return columns.view(blocks, rows // blocks, width)


def _power_of_two_below(limit: float) -> int:
    return 1 << max(0, int(limit).bit_length() - 1)
