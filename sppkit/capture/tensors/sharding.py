"""How a model is spread over processes: its wrapper, its shards, and what they leave unread."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple, cast

import torch
import torch.distributed as dist
from torch import nn

from sppkit.kernels import unsupported_reason
from sppkit.summary import ChannelSummary

_FULLY_SHARDED_CLASS = "FSDPModule"  # which fully_shard puts in front of a module's own class
_PARTITIONED = {
    "_fsdp_flattened": "FullyShardedDataParallel keeps them flattened and cut; use fully_shard",
    "ds_id": "DeepSpeed ZeRO keeps them in partitions",
}
"""Attributes by which the parameters of libraries that cut them are known."""


@dataclass(frozen=True)
class Spread:
    """How a model is spread over processes.

    Attributes:
        members: the global ranks that hold replicas or shards of it; fewer than two where it is
            not spread.
        is_synchronised: whether a wrapper keeps the replicas equal, so that they need no check.
        apart: why outputs on different ranks are not shards of one batch; "" where they are.
        unread_parameters: why parameters and their gradients cannot be read; "" where they can.
    """

    members: tuple[int, ...] = ()
    is_synchronised: bool = False
    apart: str = ""
    unread_parameters: str = ""


def unwrapped(model: nn.Module) -> nn.Module:
    """Give the user's own module behind a wrapper that only synchronises.

    Raises:
        TypeError: the wrapper runs copies of the module in threads.
    """
    if isinstance(model, nn.DataParallel):
        raise TypeError(
            "nn.DataParallel runs short-lived copies of the network in threads, which cannot be "
            "recorded. Record model.module on one device, or use DistributedDataParallel, one "
            "process per device."
        )
    is_wrapper = isinstance(model, nn.parallel.DistributedDataParallel) or _is_a(
        model, "FullyShardedDataParallel", "DeepSpeedEngine"
    )
    return unwrapped(cast(nn.Module, model.module)) if is_wrapper else model


def spread_of(model: nn.Module) -> Spread:
    """Find out how a model, wrapped or not, is spread over the processes of this run."""
    inner = unwrapped(model)
    return Spread(
        members=_members(model, inner),
        is_synchronised=inner is not model or _is_fully_sharded(inner),
        apart=_tensor_parallel_reason(inner),
        unread_parameters=_unread_parameters(model, inner),
    )


def user_class(module: object) -> type:
    """Give the class of a module that its author wrote, where `fully_shard` has replaced it."""
    bases = type(module).__bases__
    is_replaced = len(bases) == 2 and bases[0].__name__ == _FULLY_SHARDED_CLASS
    return bases[1] if is_replaced else type(module)


def is_distributed_tensor(tensor: torch.Tensor) -> bool:
    """Say whether a tensor is a DTensor."""
    return hasattr(type(tensor), "placements")  # importing the class takes half a second


class Shard(NamedTuple):
    """What one rank holds of a tensor.

    Attributes:
        local: its values here; none where another rank speaks for the same ones.
        channels: number of channels of the whole tensor.
        first_channel: where the channels of `local` begin.
    """

    local: torch.Tensor
    channels: int
    first_channel: int

    def place(self, summary: ChannelSummary) -> ChannelSummary:
        """Put the summary of the local values into one of the whole tensor, empty elsewhere.

        The summaries of all ranks then merge, whether they hold different channels or different
        values of the same ones.
        """
        whole = ChannelSummary.empty(self.channels, extended=summary.extended)
        here = slice(self.first_channel, self.first_channel + summary.channels)
        for field in fields(ChannelSummary):
            values = getattr(summary, field.name)
            if values is not None and field.name != "histogram":
                getattr(whole, field.name)[here] = values
        return replace(whole, histogram=summary.histogram)


def shard_of(tensor: Any, channel_axis: int | None) -> Shard | str | None:
    """Find the part of a DTensor that this rank reads.

    Returns:
        The shard; a reason where the placement is none that can be read; None for a tensor that
        every rank holds whole.
    """
    placements, coordinate = tensor.placements, tensor.device_mesh.get_coordinate()
    if all(placement.is_replicate() for placement in placements):
        return None
    kinds = {"Replicate", "Shard"}
    if coordinate is None or any(type(p).__name__ not in kinds for p in placements):
        return f"its placement {placements} is not one of whole rows or columns per rank"
    local = tensor.to_local()
    if any(p.is_replicate() and c > 0 for p, c in zip(placements, coordinate, strict=True)):
        local = local[:0]  # the first of the replicas is read
    if channel_axis is None:
        return Shard(local, 1, 0)
    return Shard(local, tensor.shape[channel_axis], _first_index(tensor, channel_axis))


def _first_index(tensor: Any, axis: int) -> int:
    """Follow the cuts of one axis, mesh dimension by mesh dimension, as `torch.chunk` cuts."""
    first, length = 0, tensor.shape[axis]
    coordinate = tensor.device_mesh.get_coordinate()
    for dimension, placement in enumerate(tensor.placements):
        if placement.is_shard(axis):
            piece = -(-length // tensor.device_mesh.size(dimension))
            begin = min(piece * coordinate[dimension], length)
            first, length = first + begin, min(piece, length - begin)
    return first


def local_values(tensor: Any) -> torch.Tensor:
    """Give the values that this rank holds, without talking to another one."""
    values: torch.Tensor = tensor.to_local() if is_distributed_tensor(tensor) else tensor
    return values


def fingerprint(model: nn.Module) -> list[Any]:
    """Describe the weights of replicas, so that ranks can tell whether they hold the same ones.

    The sums wait for the device; for the end of a step, not for a hook.
    """
    whole = {n: p for n, p in model.named_parameters() if not is_distributed_tensor(p)}
    read = [p.detach() for p in whole.values() if unsupported_reason(p) is None]
    sums = [p.sum(dtype=_wide(p)).reshape(1).cpu().double() for p in read]
    shapes = [[name, *parameter.shape] for name, parameter in whole.items()]
    return [shapes, torch.cat(sums).numpy().tobytes().hex() if sums else ""]


def _wide(tensor: torch.Tensor) -> torch.dtype:
    return torch.float32 if tensor.device.type == "mps" else torch.float64


def _members(model: nn.Module, inner: nn.Module) -> tuple[int, ...]:
    """List the ranks: of the wrapper's group, of the mesh of the shards, or all there are."""
    if not (dist.is_available() and dist.is_initialized()):
        return ()
    if isinstance(model, nn.parallel.DistributedDataParallel):
        return tuple(dist.get_process_group_ranks(model.process_group))
    everyone = tuple(range(dist.get_world_size()))
    for parameter in _distributed_parameters(inner):
        mesh = tuple(sorted(parameter.device_mesh.mesh.flatten().tolist()))
        return mesh if dist.get_rank() in mesh else everyone
    return everyone


def _distributed_parameters(model: nn.Module) -> Iterator[Any]:
    return (p for p in model.parameters() if is_distributed_tensor(p))


def _is_fully_sharded(model: nn.Module) -> bool:
    return any(_is_a(module, _FULLY_SHARDED_CLASS) for module in model.modules())


def _is_a(module: nn.Module, *names: str) -> bool:
    """Say whether a module is of a class of that name; its library need not be importable."""
    return any(kind.__name__ in names for kind in type(module).__mro__)


def _tensor_parallel_reason(model: nn.Module) -> str:
    """Tell tensor parallel models by shards that data parallelism alone would not make."""
    allowed = 1 if _is_fully_sharded(model) else 0
    for parameter in _distributed_parameters(model):
        shards = [p for p in parameter.placements if not p.is_replicate()]
        if len(shards) > allowed:
            return "layers are cut between ranks otherwise than by fully_shard (tensor parallelism)"
    return ""


def _unread_parameters(model: nn.Module, inner: nn.Module) -> str:
    if _is_a(model, "DeepSpeedEngine"):
        return _PARTITIONED["ds_id"]
    for parameter in inner.parameters():
        for attribute, reason in _PARTITIONED.items():
            if hasattr(parameter, attribute):
                return reason
    return ""
