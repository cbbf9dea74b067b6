"""The read as one operator that writes a buffer: no Python side effect, no graph break.

`torch.compile` cannot look into it, so that a hook which calls `summarize_into` becomes a single
node of the graph, whichever kernel stands behind.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sppkit.kernels.layout import channel_count
from sppkit.kernels.torch_operations import summarize

OPERATOR = "sppkit::summarize_into"
SCHEMA = "(Tensor(a!) buffer, int offset, Tensor tensor, int? channel_axis, bool extended) -> ()"


def summarize_into(
    buffer: Tensor, offset: int, tensor: Tensor, channel_axis: int | None, extended: bool
) -> None:
    """Write a tensor's packed summary to ``buffer[offset : offset + packed_size(C, extended)]``.

    Under `torch.compile` this is the operator ``torch.ops.sppkit.summarize_into``; otherwise it
    runs at once, without the cost of a dispatch.

    Args:
        buffer: one-dimensional, without grad, on the device of `tensor`; float64, or float32 on
            MPS. A buffer made under `torch.inference_mode` can only be written there.
        offset: first number to write.
        tensor: what to read, as `summarize` takes it.
        channel_axis: axis of the channels; None makes the whole tensor one channel.
        extended: also write what the extended statistics need.

    Raises:
        TypeError: for a tensor that `unsupported_reason` names.
        ValueError: for a channel axis that the tensor does not have, or a slot that ends beyond
            the buffer.
    """
    if torch.compiler.is_compiling():
        # Without detach the traced graph makes the buffer part of the user's backward pass.
        values = tensor.detach()
        torch.ops.sppkit.summarize_into(buffer, offset, values, channel_axis, extended)
    else:
        _write(buffer, offset, tensor, channel_axis, extended)


def _write(
    buffer: Tensor, offset: int, tensor: Tensor, channel_axis: int | None, extended: bool
) -> None:
    packed = summarize(tensor, channel_axis, extended=extended)
    if not 0 <= offset <= len(buffer) - len(packed):
        raise ValueError(
            f"a summary of {len(packed)} numbers at offset {offset} does not fit a buffer of "
            f"{len(buffer)}: {channel_count(tensor, channel_axis)} channels, extended={extended}."
        )
    with torch.no_grad():
        buffer[offset : offset + len(packed)] = packed


def _fake(
    buffer: Tensor, offset: int, tensor: Tensor, channel_axis: int | None, extended: bool
) -> None:
    """Stand in for the read while a graph is traced: the buffer keeps its shape."""


torch.library.define(OPERATOR, SCHEMA)
torch.library.impl(OPERATOR, "CompositeExplicitAutograd", _write)
torch.library.register_fake(OPERATOR, _fake)
