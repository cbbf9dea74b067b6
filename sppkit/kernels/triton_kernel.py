"""The fused read in Triton: a tensor on a CUDA device is read once, base and extended alike.

Two kernels are launched, and before them, for an extended read, one that clears the histogram. One
allocation is made: 9 numbers (12 if extended) per channel and program, float32 or, of a float64
tensor, float64. A tensor whose strides do not fit (outer, C, inner) is copied first. The host does
not wait. So a read can be captured into a CUDA graph, once it has run before: the first read of a
form of tensor compiles its kernels, which takes seconds, and Triton keeps them on disk.
"""

from __future__ import annotations

import importlib.util
import math
import os
import shutil
from functools import cache

import torch
from torch import Tensor, nn

from sppkit.kernels.layout import channel_count, group_by_channel, unsupported_reason
from sppkit.kernels.triton_tiling import WARPS, tile
from sppkit.summary import BASE_ROWS, EXTENDED_ROWS, HISTOGRAM_BINS

OLDEST_CAPABILITY = 8, 0
"""The first compute capability of CUDA devices that Triton supports."""

MERGED_AT_ONCE = 512
"""Parts that a program of the second kernel holds in registers."""

PARTS_AT_ONCE = 4, 32, MERGED_AT_ONCE
UNROLL = 4
"""Tiles whose loads are under way together."""


def unavailable_reason() -> str | None:
    """Return why no tensor can be read with Triton, or None where those on CUDA devices can.

    With the environment variable ``TRITON_INTERPRET=1``, set before Triton is imported, kernels run
    in Triton's interpreter and read tensors on the CPU, slowly.
    """
    if importlib.util.find_spec("triton") is None:
        return "Triton is not installed: pip install triton"
    if _interpreting():
        return None
    if not torch.cuda.is_available():
        return "there is no CUDA device"
    if "CC" not in os.environ and not (shutil.which("gcc") or shutil.which("clang")):
        return "Triton finds no C compiler, which it needs to launch kernels: install gcc"
    return None


def _interpreting() -> bool:
    return os.environ.get("TRITON_INTERPRET", "").lower() in {"1", "true", "yes", "on", "y"}


def read(
    tensor: Tensor,
    channel_axis: int | None,
    rows: Tensor,
    column: int,
    histogram: Tensor | None,
) -> bool:
    """Write a tensor's summary to ``rows[:, column : column + C]``, if it can be read.

    Args:
        tensor: any shape and stride, with or without grad.
        channel_axis: axis of the channels, from either end; None makes the whole one channel.
        rows: float64, contiguous, on the tensor's device: shape (7, K) as `BASE_ROWS` names them,
            or (10, K) as `EXTENDED_ROWS`.
        column: where the channels go.
        histogram: 512 float64 numbers, contiguous, on the tensor's device, overwritten; None if
            and only if `rows` is of a base summary.

    Returns:
        False, with nothing written, for what this kernel does not read: tensors that
        `unsupported_reason` names, tensors of other devices, subclasses of Tensor that may hold no
        memory of their own.

    Raises:
        ValueError: for a channel axis that the tensor does not have, a slot that is not in `rows`,
            or outputs of another form.
    """
    if not _readable(tensor):
        return False
    channels = channel_count(tensor, channel_axis)
    _check_outputs(tensor, channels, rows, column, histogram)
    with torch.no_grad(), torch.cuda.device_of(tensor):
        if histogram is not None:
            histogram.zero_()
        if tensor.numel() == 0:
            _write_empty(rows[:, column : column + channels])
        else:
            _read(tensor.detach().resolve_neg(), channel_axis, rows, column, histogram)
    return True


def _readable(tensor: Tensor) -> bool:
    if type(tensor) not in {Tensor, nn.Parameter} or unsupported_reason(tensor) is not None:
        return False
    return tensor.is_cpu if _interpreting() else tensor.is_cuda and _recent(tensor.device)


@cache
def _recent(device: torch.device) -> bool:
    return torch.version.hip is not None or (
        torch.cuda.get_device_capability(device) >= OLDEST_CAPABILITY
    )


def _check_outputs(
    tensor: Tensor, channels: int, rows: Tensor, column: int, histogram: Tensor | None
) -> None:
    height = len(BASE_ROWS if histogram is None else EXTENDED_ROWS)
    for name, output, fits, shape in (
        ("rows", rows, rows.dim() == 2 and len(rows) == height, f"({height}, K)"),
        (
            "histogram",
            histogram,
            histogram is None or histogram.shape == (HISTOGRAM_BINS,),
            f"({HISTOGRAM_BINS},)",
        ),
    ):
        if output is not None and not (fits and _is_output(output, tensor)):
            raise ValueError(
                f"{name} is {output.dtype} of shape {tuple(output.shape)} on {output.device}: "
                f"expected contiguous torch.float64 of shape {shape} on {tensor.device}."
            )
    if not 0 <= column <= rows.shape[1] - channels:
        raise ValueError(
            f"a summary of {channels} channels at column {column} does not fit rows of "
            f"{rows.shape[1]} columns."
        )


def _is_output(output: Tensor, tensor: Tensor) -> bool:
    on_device = output.device == tensor.device
    return output.dtype is torch.float64 and output.is_contiguous() and on_device


def _write_empty(slot: Tensor) -> None:
    slot.zero_()
    slot[BASE_ROWS.index("minimum")] = math.inf
    slot[BASE_ROWS.index("maximum")] = -math.inf


def _read(
    tensor: Tensor,
    channel_axis: int | None,
    rows: Tensor,
    column: int,
    histogram: Tensor | None,
) -> None:
    from sppkit.kernels import triton_programs as programs  # imports triton

    values, repeats = group_by_channel(tensor, channel_axis)
    channels, extended = values.shape[1], histogram is not None
    if channels == 1 and values.is_contiguous():
        values = values.view(1, 1, -1)
    tiling = tile(values)
    parts = tiling.parts * (tiling.inner // channels if tiling.columns else 1)
    part_rows = programs.EXTENDED_PART_ROWS if extended else programs.PART_ROWS
    partial = values.new_empty(
        (part_rows.value, channels * parts), dtype=torch.promote_types(values.dtype, torch.float32)
    )
    # The counts are integers until they are merged: their sums do not depend on the order.
    counts = partial if histogram is None else histogram.view(torch.int64)
    of_outer, of_channel, of_inner = values.stride()
    programs.read_tiles[(tiling.units * tiling.parts,)](
        values, partial, counts, tiling.outer, tiling.inner, of_outer, of_channel,
        of_channel if tiling.columns and values.shape[2] == 1 else of_inner,
        tiling.units, tiling.parts, partial.shape[1], tiling.tiles, tiling.chunks, tiling.run,
        EXTENDED=extended, COLUMNS=tiling.columns, R=tiling.rows, W=tiling.width, UNROLL=UNROLL,
        num_warps=tiling.warps, enable_fp_fusion=True,
    )  # fmt: skip
    merged = next((size for size in PARTS_AT_ONCE if size >= parts), MERGED_AT_ONCE)
    block = MERGED_AT_ONCE // merged
    programs.merge_parts[(math.ceil(channels / block),)](
        partial, rows, counts, channels, parts, partial.shape[1], rows.shape[1], column, repeats,
        EXTENDED=extended, C=block, K=merged, num_warps=WARPS, enable_fp_fusion=True,
    )  # fmt: skip
