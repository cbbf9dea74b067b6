"""The read of one tensor into its columns of a page, by the best kernel that there is."""

from __future__ import annotations

import torch
from torch import Tensor

from sppkit.kernels.torch_operations import summarize


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
