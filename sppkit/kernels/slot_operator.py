"""The read into a slot of its own, as an operator that compiled code may hold on to.

A slot is a tensor that outlives the compiled graphs that write it. It counts its writes, because
compiled code can neither ask whether a slot is free nor say that it has been there twice.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sppkit.kernels.torch_operations import summarize
from sppkit.summary import packed_size

OPERATOR = "sppkit::write_slot"
SCHEMA = "(Tensor(a!) slot, Tensor tensor, int? channel_axis, bool extended, bool backward) -> ()"


def slot_size(channels: int, extended: bool) -> int:
    """Return the length of a slot: the number of writes, then a packed summary.

    >>> slot_size(64, extended=False)
    449
    """
    return 1 + packed_size(channels, extended)


def write_slot(
    slot: Tensor, tensor: Tensor, channel_axis: int | None, extended: bool, backward: bool
) -> None:
    """Write a tensor's packed summary to ``slot[1:]`` and count the write in ``slot[0]``.

    Under `torch.compile` this is the operator ``torch.ops.sppkit.write_slot``; otherwise it runs at
    once. An activation that is computed again during a backward pass, as checkpointing does, is the
    one that was written before, and is passed over.

    Args:
        slot: one-dimensional, of `slot_size(C, extended)` numbers, on the device of `tensor`;
            float64, or float32 on MPS.
        tensor: what to read, as `summarize` takes it.
        channel_axis: axis of the channels; None makes the whole tensor one channel.
        extended: also write what the extended statistics need.
        backward: whether `tensor` is a gradient, which only a backward pass computes.

    Raises:
        TypeError: for a tensor that `unsupported_reason` names.
        ValueError: for a channel axis that the tensor does not have.
        RuntimeError: for a summary of another length than the slot's.
    """
    if torch.compiler.is_compiling():
        # Without detach the traced graph makes the slot part of the user's backward pass.
        torch.ops.sppkit.write_slot(slot, tensor.detach(), channel_axis, extended, backward)
    else:
        _write(slot, tensor, channel_axis, extended, backward)


def is_recomputation() -> bool:
    """Say whether a backward pass is running: a forward inside it repeats a checkpointed one."""
    return torch._C._current_graph_task_id() != -1


@torch.no_grad()
def _write(
    slot: Tensor, tensor: Tensor, channel_axis: int | None, extended: bool, backward: bool
) -> None:
    if is_recomputation() and not backward:
        return
    slot[1:].copy_(summarize(tensor, channel_axis, extended=extended).view(len(slot) - 1))
    slot[0] += 1


def _fake(
    slot: Tensor, tensor: Tensor, channel_axis: int | None, extended: bool, backward: bool
) -> None:
    """Stand in for the read while a graph is traced: the slot keeps its shape."""


torch.library.define(OPERATOR, SCHEMA)
torch.library.impl(OPERATOR, "CompositeExplicitAutograd", _write)
torch.library.register_fake(OPERATOR, _fake)
