"""The plan of a recorded pass: which places are recorded, and each point's slot in a flat buffer.

The first pass of a model is traced, recorded without slots, and makes the plan. From then on a hook
only writes its slot: a later pass needs no decision, one buffer goes to the host in one transfer,
and two processes can compare what they are about to record by a digest.
"""

import hashlib
from collections.abc import Container
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch

from sppkit.capture.blocks import TapInfo
from sppkit.capture.masks import UNMASKED, Mask
from sppkit.capture.places import Place, Point
from sppkit.capture.readable import Readable, join_flags
from sppkit.capture.sampling import Sampling, cut
from sppkit.kernels import summarize, summarize_into
from sppkit.signals import Signal
from sppkit.summary import ChannelSummary, packed_size

REPEATED = "last of several backward passes"
_NOT_WRITTEN = -1.0  # in the row of counts, which are never negative


class Slot(NamedTuple):
    """Where and how one point is written.

    Attributes:
        offset: first element in the buffer of its device.
        channels: number of channels of its tensor.
        axis: their axis; None where the whole tensor is one channel.
        dtype: in which the tensor is stored.
        device: of what is read.
        flags: what a reader of the numbers must know.
    """

    offset: int
    channels: int
    axis: int | None
    dtype: torch.dtype
    device: torch.device
    flags: str = ""


@dataclass
class Plan:
    """What a traced pass decided for the passes after it.

    Attributes:
        extended: whether the extended summary is recorded.
        axes: the places to record, with their channel axes; empty until a pass was traced.
        dimensions: of the tensors at these places, to which the axes belong.
        leaves: the outputs of modules that called no other module.
        depths: rank of each layer and named operation in order of first execution.
        taps: the places that have a name in a residual network.
        structure: rows of the structure frame.
        values: number of values that one traced pass would have recorded.
        remarks: what the trace found and could not use, in sentences.
        slots: by point.
        sizes: elements of each device's buffer.
        callees: the modules that each module called itself.
        known: modules whose outputs are no news, though they have no place here: it is not their
            turn, or they call others that carry no hooks.
    """

    extended: bool
    axes: dict[Place, int | None] = field(default_factory=dict)
    dimensions: dict[Place, int] = field(default_factory=dict)
    leaves: set[Place] = field(default_factory=set)
    depths: dict[tuple[str, str], int] = field(default_factory=dict)
    taps: dict[Place, TapInfo] = field(default_factory=dict)
    structure: list[dict[str, Any]] = field(default_factory=list)
    values: int = 0
    remarks: list[str] = field(default_factory=list)
    slots: dict[Point, Slot] = field(default_factory=dict)
    sizes: dict[torch.device, int] = field(default_factory=dict)
    callees: dict[str, set[str]] = field(default_factory=dict)
    known: frozenset[str] = frozenset()

    def add(self, point: Point, like: Slot) -> None:
        """Give a point the next free slot of its device."""
        offset = self.sizes.get(like.device, 0)
        self.slots[point] = like._replace(offset=offset)
        self.sizes[like.device] = offset + packed_size(like.channels, self.extended)

    @property
    def is_made(self) -> bool:
        """Whether a pass has been traced."""
        return bool(self.axes)

    @property
    def has_operations(self) -> bool:
        """Whether functional calls between modules are recorded."""
        return any(place.operation for place in self.axes)

    @property
    def digest(self) -> str:
        """Identify the plan: equal digests mean that buffers can be merged slot by slot."""
        text = repr([(point, slot[:3]) for point, slot in self.slots.items()])
        return hashlib.sha256(text.encode()).hexdigest()


class Pass:
    """What one forward pass, and the backward pass that follows from it, wrote.

    Args:
        plan: its slots; points that are missing there, or have changed their shape, dtype or
            device since, are kept aside with a slot of their own.
        phase: "train", "eval" or "probe".
        batch: samples in the pass, 0 where it is none.
        is_masked: whether positions are left out of activations and gradients; `mask` says which.
    """

    def __init__(self, plan: Plan, phase: str, batch: int = 0, is_masked: bool = False) -> None:
        self.phase = phase
        self.batch = batch
        self.mask: Mask | None = None
        self.sampling: Sampling | None = None
        self.written: set[Point] = set()
        self.aside: dict[Point, tuple[Slot, torch.Tensor]] = {}
        self.aliases: dict[Point, Point] = {}
        self.awaited: set[Point] = set()
        self.renamed: dict[Point, Point] = {}
        self.handles: list[torch.utils.hooks.RemovableHandle] = []
        self.is_open = True
        self._plan = plan
        self._is_masked = is_masked
        self._slots = dict(plan.slots)
        with torch.inference_mode(False):  # the weights are written outside of the user's
            self._buffers = {
                device: torch.full(
                    (size,), _NOT_WRITTEN, dtype=_buffer_dtype(device), device=device
                )
                for device, size in plan.sizes.items()
            }

    @property
    def is_complete(self) -> bool:
        """Whether every gradient that it waits for has arrived."""
        return self.awaited <= self.written

    def chosen(self, place: Place, found: Readable) -> Readable:
        """Leave out samples beyond the first, and positions that the mask of this pass leaves out.

        The samples are chosen first, so that none of the others is touched.
        """
        samples = self.sampling and self.sampling.samples(place, found, self.batch)
        if samples is not None:
            found = cut(found, samples)
        if not self._is_masked or not found.may_be_padded:
            return found
        if self.mask is not None:
            return self.mask.select(found, None if samples is None else self.batch)
        return found._replace(flags=join_flags(found.flags, UNMASKED))

    def write(self, point: Point, found: Readable) -> None:
        """Summarise what was found at a point into its slot."""
        values, axis, dtype, flags, _ = found
        if point in self.written and point.signal is Signal.GRADIENT:
            flags = join_flags(flags, REPEATED)
        self.written.add(point)
        slot = self._slots.get(point)
        channels = 1 if axis is None else values.shape[axis]
        new = Slot(0, channels, axis, dtype, values.device, flags)
        if slot is not None and slot[1:] == new[1:]:
            buffer = self._buffers[slot.device]
            summarize_into(buffer, slot.offset, values, axis, self._plan.extended)
        else:
            self.aside[point] = new, summarize(values, axis, extended=self._plan.extended)

    def keep(self, places: Container[Place]) -> None:
        """Forget candidates that are not planned; a planned alias of one takes its place."""
        for alias, target in self.aliases.items():
            if alias.place in places and target.place not in places:
                self.renamed.setdefault(target, alias)
        named = {point: self.renamed.get(point, point) for point in (*self.aside, *self.awaited)}
        self.aside = {
            named[p]: block for p, block in self.aside.items() if named[p].place in places
        }
        self.awaited = {named[p] for p in self.awaited if named[p].place in places}
        self.aliases = {
            alias: self.renamed.get(target, target)
            for alias, target in self.aliases.items()
            if alias.place in places and self.renamed.get(target) != alias
        }

    def close(self) -> None:
        """Let go of the hooks on this pass's tensors; what arrives later is not written."""
        self.is_open = False
        for handle in self.handles:
            handle.remove()
        self.handles.clear()

    def summaries(self) -> dict[Point, tuple[Slot, ChannelSummary]]:
        """Fetch what was written: one transfer per buffer, and one for what was kept aside."""
        found = {}
        hosts = {device: _to_host(buffer) for device, buffer in self._buffers.items()}
        for point, slot in self._slots.items():
            size = packed_size(slot.channels, self._plan.extended)
            packed = hosts[slot.device][slot.offset : slot.offset + size]
            if point not in self.aside and _was_written(packed, slot):
                found[point] = slot, ChannelSummary.unpack(packed, slot.channels)
        for point, (slot, packed) in _fetch_together(self.aside).items():
            found[point] = slot, ChannelSummary.unpack(packed, slot.channels)
        return found


def _buffer_dtype(device: torch.device) -> torch.dtype:
    return torch.float32 if device.type == "mps" else torch.float64


def _was_written(packed: np.ndarray, slot: Slot) -> bool:
    """Tell a slot that no hook wrote from one of an empty tensor."""
    return packed.size == 0 or packed[0] != _NOT_WRITTEN


def _to_host(tensor: torch.Tensor) -> np.ndarray:
    return tensor.cpu().double().numpy()


def _fetch_together(
    aside: dict[Point, tuple[Slot, torch.Tensor]],
) -> dict[Point, tuple[Slot, np.ndarray]]:
    """Concatenate the blocks of each device, so that they cost one transfer."""
    fetched: dict[Point, tuple[Slot, np.ndarray]] = {}
    for device in {slot.device for slot, _ in aside.values()}:
        points = [point for point, (slot, _) in aside.items() if slot.device == device]
        host = _to_host(torch.cat([aside[point][1] for point in points]))
        parts = np.split(host, np.cumsum([aside[point][1].numel() for point in points])[:-1])
        fetched.update({p: (aside[p][0], part) for p, part in zip(points, parts, strict=True)})
    return fetched
