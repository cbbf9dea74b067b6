"""The read of one tensor into its columns of a page, by the best kernel that there is."""

from __future__ import annotations

import os

import torch
from torch import Tensor

from sppkit.kernels import native, torch_operations, triton_kernel
from sppkit.kernels.layout import channel_count, unsupported_reason
from sppkit.summary import BASE_ROWS, EXTENDED_ROWS, packed_size

VARIABLE = "SPPKIT_KERNEL"
_KERNELS = {"native": native, "triton": triton_kernel}

CHOICES = {"auto": None, "native": "cpu", "triton": "cuda", "torch": None}
"""The values it may have, and the type of device that a kernel insists on."""


def kernel_for(device: torch.device | str) -> str:
    """Name the kernel that reads the tensors of a device: "native" (C), "triton" or "torch".

    The environment variable `SPPKIT_KERNEL` chooses: "auto" takes the best there is, "torch" always
    torch's operations; "native" and "triton" insist on that kernel for the devices that it is for.

    Raises:
        ValueError: the variable holds anything else.
        RuntimeError: a kernel is insisted on that this machine does not have.
    """
    wanted, kind = os.environ.get(VARIABLE, "auto"), torch.device(device).type
    if wanted not in CHOICES:
        raise ValueError(f"{VARIABLE}={wanted!r} is unknown; set it to one of {list(CHOICES)}")
    best, absence = _best_kernel(kind)
    if CHOICES[wanted] == kind and absence:
        raise RuntimeError(f"{VARIABLE}={wanted}, but {absence}")
    return "torch" if wanted == "torch" else best


def _best_kernel(kind: str) -> tuple[str, str | None]:
    """Name the best kernel for a type of device, and say why there is no better one."""
    for name, module in _KERNELS.items():
        if CHOICES[name] == kind:
            absence = module.unavailable_reason()
            return ("torch" if absence else name), absence
    return "torch", None


def summarize(tensor: Tensor, channel_axis: int | None, *, extended: bool) -> Tensor:
    """Read a tensor once, by the best kernel, and return its packed summary, on its device.

    Args:
        tensor: float16, bfloat16, float32 or float64, any shape and stride, with or without grad.
        channel_axis: axis of the channels, from either end; None makes the whole one channel.
        extended: also read absolute sums, third and fourth moments and the magnitude histogram.

    Returns:
        `packed_size(C, extended)` numbers, float64 (float32 on MPS), in the order that
        `ChannelSummary.unpack` names.

    Raises:
        TypeError: for a tensor that `unsupported_reason` names.
        ValueError: for a channel axis that the tensor does not have.

    >>> summarize(torch.tensor([[1.0, 5.0], [3.0, 5.0]]), 1, extended=False).view(7, 2)[:3]
    tensor([[2., 2.],
            [2., 5.],
            [2., 0.]], dtype=torch.float64)
    """
    kernel = _KERNELS.get(kernel_for(tensor.device))
    is_left = unsupported_reason(tensor) is not None or not channel_count(tensor, channel_axis)
    if kernel is None or is_left:
        return torch_operations.summarize(tensor, channel_axis, extended=extended)
    channels, height = channel_count(tensor, channel_axis), len(_row_names(extended))
    size = packed_size(channels, extended)
    packed = torch.empty(size, dtype=torch.float64, device=tensor.device)
    rows = packed[: height * channels].view(height, channels)
    histogram = packed[height * channels :] if extended else None
    if kernel.read(tensor, channel_axis, rows, 0, histogram):
        return packed
    return torch_operations.summarize(tensor, channel_axis, extended=extended)


def summarize_into(
    rows: Tensor,
    column: int,
    tensor: Tensor,
    channel_axis: int | None,
    histogram: Tensor | None = None,
) -> None:
    """Write a tensor's summary to ``rows[:, column : column + C]``, on its device.

    Args:
        rows: shape (7, K) for the base summary, (10, K) for the extended one; without grad,
            contiguous, on the device of `tensor`; float64, or float32 on MPS. A page made under
            `torch.inference_mode` can only be written there.
        column: the first column to write.
        tensor: what to read, as `summarize` takes it.
        channel_axis: axis of the channels; None makes the whole tensor one channel.
        histogram: shape (512,), of the type of `rows`; goes with the extended summary.

    Raises:
        TypeError: for a tensor that `unsupported_reason` names.
        ValueError: for a channel axis that the tensor does not have, or columns beyond the page.
    """
    kernel = _KERNELS.get(kernel_for(tensor.device))
    if not channel_count(tensor, channel_axis):
        kernel = None  # there is nothing to write to but the histogram
    if kernel is None or not kernel.read(tensor, channel_axis, rows, column, histogram):
        _write(rows, column, tensor, channel_axis, histogram)


def _write(
    rows: Tensor, column: int, tensor: Tensor, channel_axis: int | None, histogram: Tensor | None
) -> None:
    packed = torch_operations.summarize(tensor, channel_axis, extended=histogram is not None)
    channels = channel_count(tensor, channel_axis)
    if not 0 <= column <= rows.shape[1] - channels:
        raise ValueError(
            f"a summary of {channels} channels at column {column} does not fit rows of "
            f"{rows.shape[1]} columns."
        )
    with torch.no_grad():
        summary, counts = packed[: len(rows) * channels], packed[len(rows) * channels :]
        rows[:, column : column + channels] = summary.view(len(rows), channels)
        if histogram is not None:
            histogram.copy_(counts)


def _row_names(extended: bool) -> tuple[str, ...]:
    return EXTENDED_ROWS if extended else BASE_ROWS
