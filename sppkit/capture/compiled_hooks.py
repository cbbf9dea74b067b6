"""Hooks that `torch.compile` can look through: they write slots and touch nothing else.

Everything that the eager recording decides while it runs (which call this is, what is an alias, on
which axis the channels are) is decided here beforehand and is a constant of the compiled graph.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from sppkit.capture.places import Place, Point, tensors_in
from sppkit.capture.plan import Slot, buffer_dtype
from sppkit.capture.watch import inert
from sppkit.kernels import slot_size, write_slot
from sppkit.kernels.slot_operator import is_recomputation
from sppkit.signals import Signal
from sppkit.summary import ChannelSummary


class Switch:
    """Whether the hooks write; compiled code exists once for each of the two states."""

    def __init__(self) -> None:
        self.is_on = False


class Counter:
    """The calls of one module so far in a pass. It is reset where no compiled code runs.

    Compiled code expects the count that it was compiled with, which is the same in every pass. It
    is the length of a list, because `register_hook` makes torch._dynamo forget changed attributes.
    """

    def __init__(self) -> None:
        self.seen: list[None] = []


class SlotTensors:
    """A tensor for each point, which stays the same one from step to step.

    Args:
        slots: what to make room for.
        extended: whether the extended summary is recorded.
    """

    def __init__(self, slots: Mapping[Point, Slot], extended: bool) -> None:
        self.extended = extended
        self._slots = dict(slots)
        with torch.inference_mode(False):  # or else only inference mode could write them
            self._tensors = {p: self._empty(slot) for p, slot in self._slots.items()}

    def _empty(self, slot: Slot) -> Tensor:
        size = slot_size(slot.channels, self.extended)
        return torch.zeros(size, dtype=buffer_dtype(slot.device), device=slot.device)

    def read_of(self, place: Place) -> "TensorRead":
        """Make the read that writes what there is room for: a place's activation, gradient, or both.

        Raises:
            StopIteration: there is room for neither.
        """
        points = [Point(place, signal) for signal in (Signal.ACTIVATION, Signal.GRADIENT)]
        slot = next(self._slots[point] for point in points if point in self._slots)
        activation, gradient = (self._tensors.get(point) for point in points)
        return TensorRead(place.tensor, slot, self.extended, activation, gradient)

    @torch.no_grad()
    def clear(self) -> None:
        """Mark every slot as not written."""
        for points in self._by_device().values():
            torch._foreach_zero_([self._tensors[point] for point in points])

    @torch.no_grad()
    def copied(self) -> dict[torch.device, Tensor]:
        """Copy what is written, one tensor per device, on the device."""
        return {
            device: torch.cat([self._tensors[point] for point in points])
            for device, points in self._by_device().items()
        }

    def unpack(
        self, copied: Mapping[torch.device, Tensor]
    ) -> dict[Point, tuple[int, Slot, ChannelSummary]]:
        """Bring a copy to the host: number of writes, slot and summary of each point written."""
        found = {}
        for device, points in self._by_device().items():
            host = copied[device].cpu().double().numpy()
            ends = np.cumsum([len(self._tensors[point]) for point in points])
            for point, part in zip(points, np.split(host, ends[:-1]), strict=True):
                slot = self._slots[point]
                if part[0]:
                    summary = ChannelSummary.unpack(part[1:], slot.channels)
                    found[point] = int(part[0]), slot, summary
        return found

    def _by_device(self) -> dict[torch.device, list[Point]]:
        devices: dict[torch.device, list[Point]] = {}
        for point, slot in self._slots.items():
            devices.setdefault(slot.device, []).append(point)
        return devices


class TensorRead:
    """One tensor of a module's output, and the slots that it and its gradient are written to."""

    def __init__(
        self, path: str, slot: Slot, extended: bool, activation: Tensor | None, gradient: Tensor | None
    ) -> None:
        self._path = path
        self._axis, self._channels, self._dtype = slot.axis, slot.channels, slot.dtype
        self._extended = extended
        self._activation = activation
        self._gradient = gradient

    def __call__(self, output: object) -> None:
        """Write the tensor, and have its gradient written when it comes."""
        tensor = output if not self._path else dict(tensors_in(output)).get(self._path)
        if not isinstance(tensor, Tensor) or not self._fits(tensor):
            return  # found missing when the slots are read
        if self._activation is not None:
            write_slot(self._activation, tensor, self._axis, self._extended, False)
        if self._gradient is not None and tensor.requires_grad:
            tensor.register_hook(
                partial(_write_gradient, self._gradient, self._axis, self._extended)
            )

    def _fits(self, tensor: Tensor) -> bool:
        if self._axis is None:
            return tensor.dtype == self._dtype
        has_axis = self._axis < tensor.dim()
        return (
            has_axis
            and tensor.shape[self._axis] == self._channels
            and tensor.dtype == self._dtype
        )


def _write_gradient(slot: Tensor, axis: int | None, extended: bool, gradient: Tensor) -> None:
    write_slot(slot, gradient, axis, extended, True)


class OutputHook:
    """A forward hook: what to read of each call of a module.

    Args:
        switch: shared by all hooks.
        calls: for each call of the module within a pass, the tensors to read.
        counter: tells the calls apart, where there are several.
    """

    def __init__(
        self, switch: Switch, calls: Iterable[Iterable[TensorRead]], counter: Counter | None
    ) -> None:
        self._switch = switch
        self._calls = tuple(tuple(reads) for reads in calls)
        self._counter = counter

    def __call__(self, module: nn.Module, args: object, output: object) -> None:
        """Read one call."""
        if not self._switch.is_on:
            return
        if not torch.compiler.is_compiling() and is_recomputation():
            return
        call = 0
        if self._counter is not None:
            call = len(self._counter.seen)
            self._counter.seen.append(None)
        if call < len(self._calls):
            for read in self._calls[call]:
                read(output)

    def __deepcopy__(self, memo: object) -> Callable[..., None]:
        return inert

    def __reduce__(self) -> tuple[Callable[..., Callable[..., None]], tuple[()]]:
        return _inert_hook, ()


def _inert_hook() -> Callable[..., None]:
    return inert
