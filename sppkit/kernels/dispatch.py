"""The read of one tensor into its columns of a page, by the best kernel that there is."""

from __future__ import annotations

import os

import torch
from torch import Tensor

from sppkit.kernels import native
from sppkit.kernels.torch_operations import summarize

VARIABLE = "SPPKIT_KERNEL"
CHOICES = ("auto", "native", "torch")


def kernel_for(device: torch.device | str) -> str:
    """Name the kernel that reads the tensors of a device: "native" or "torch".

    The environment variable `SPPKIT_KERNEL` chooses: "auto" takes the best there is, "torch" always
    torch's operations, "native" insists on the one in C for tensors of the CPU.

    Raises:
        ValueError: the variable holds anything else.
        RuntimeError: the C kernel is asked for and was not built.
    """
    wanted = os.environ.get(VARIABLE, "auto")
    if wanted not in CHOICES:
        raise ValueError(f"{VARIABLE}={wanted!r} is unknown; set it to one of {list(CHOICES)}")
    if torch.device(device).type != "cpu" or wanted == "torch":
        return "torch"
    if wanted == "native" and not native.AVAILABLE:
        raise RuntimeError(f"{VARIABLE}=native, but {native.unavailable_reason()}")
    return "native" if native.AVAILABLE else "torch"


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
    is_native = kernel_for(tensor.device) == "native"
    if not is_native or not native.read(tensor, channel_axis, rows, column, histogram):
        _write(rows, column, tensor, channel_axis, histogram)


def _write(
    rows: Tensor, column: int, tensor: Tensor, channel_axis: int | None, histogram: Tensor | None
) -> None:
    packed = summarize(tensor, channel_axis, extended=histogram is not None)
    if histogram is not None:
        packed, counts = packed[: -len(histogram)], packed[-len(histogram) :]
    summary = packed.view(len(rows), -1)
    channels = summary.shape[1]
    if not 0 <= column <= rows.shape[1] - channels:
        raise ValueError(
            f"a summary of {channels} channels at column {column} does not fit a page of "
            f"{rows.shape[1]} columns."
        )
    with torch.no_grad():
        rows[:, column : column + channels] = summary
        if histogram is not None:
            histogram.copy_(counts)
