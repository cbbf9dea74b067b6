"""The plan of a recorded pass: which places are recorded, and each point's slot in a flat buffer.

The first pass of a model is traced, recorded without slots, and makes the plan. From then on a hook
only writes its slot: a later pass needs no decision, one buffer goes to the host in one transfer,
and two processes can compare what they are about to record by a digest.
"""

import hashlib
import itertools
from collections.abc import Container, Hashable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from sppkit.capture.calls.places import Place, Point
from sppkit.capture.planning.sheets import Page, Sheet, SheetKey, Slot
from sppkit.capture.tensors.masks import UNMASKED, Mask
from sppkit.capture.tensors.readable import Readable, join_flags
from sppkit.capture.tensors.sampling import Sampling, cut
from sppkit.capture.tracing.blocks import TapInfo
from sppkit.kernels import summarize
from sppkit.signals import OF_OUTPUTS, Signal
from sppkit.summary import ChannelSummary

REPEATED = "last of several backward passes"

OURS = "sppkit"
"""The key of our hook among those of a tensor, where torch's own handles have numbers."""


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
        sheets: of each device, one for the outputs of layers and one for their parameters.
        callees: the modules that each module called itself.
        number: no two plans have the same.
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
    sheets: dict[SheetKey, Sheet] = field(default_factory=dict)
    callees: dict[str, set[str]] = field(default_factory=dict)
    known: frozenset[str] = frozenset()
    number: int = field(default_factory=itertools.count().__next__)

    def add(self, point: Point, like: Slot) -> None:
        """Give a point the next free slot of its sheet."""
        key = SheetKey(like.device, is_of_parameter=point.signal not in OF_OUTPUTS)
        if key not in self.sheets:
            self.sheets[key] = Sheet(like.device, self.extended)
        self.slots[point] = self.sheets[key].add(point, like)

    def pages(self, *, of_parameters: bool) -> dict[torch.device, Page]:
        """Take an empty page of each sheet of one kind."""
        with torch.inference_mode(False):  # the weights are written outside of the user's
            return {
                key.device: sheet.take()
                for key, sheet in self.sheets.items()
                if key.is_of_parameter == of_parameters
            }

    @property
    def is_made(self) -> bool:
        """Whether a pass has been traced."""
        return bool(self.axes)

    @property
    def has_operations(self) -> bool:
        """Whether functional calls between modules are recorded."""
        return any(place.operation for place in self.axes)

    @property
    def is_regular(self) -> bool:
        """Whether passes can be written by short hooks: their outputs are on one device."""
        devices = [key.device for key in self.sheets if not key.is_of_parameter]
        return self.is_made and len(devices) == 1

    @property
    def digest(self) -> str:
        """Identify the plan: equal digests mean that buffers can be merged slot by slot."""
        text = repr([(point, slot[:4]) for point, slot in self.slots.items()])
        return hashlib.sha256(text.encode()).hexdigest()


class Pass:
    """What one forward pass, and the backward pass that follows from it, wrote.

    Args:
        plan: its slots; points that are missing there, or have changed their shape, dtype or
            device since, are kept aside with a slot of their own.
        phase: "train", "eval" or "probe".
        batch: samples in the pass, 0 where it is none.
        is_masked: whether positions are left out of activations and gradients; `mask` says which.
        of_parameters: whether it is of parameters, which are read once per step.

    Attributes:
        written: the points that were written, but for those that went as planned.
        aside: what has no slot.
        aliases: points that are others' tensors.
        awaited: gradients that were waited for.
        expected: planned gradients that were waited for, by the number of their slot.
        arrived: the numbers of those that came.
        renamed: points that the plan knows under the name of an alias.
        handles: of the hooks on this pass's tensors.
        hooks: tables of the hooks of a tensor, in which ours has the key OURS.
        pages: by device.
        is_of_parameters: whether it is of parameters.
    """

    def __init__(
        self,
        plan: Plan,
        phase: str,
        batch: int = 0,
        is_masked: bool = False,
        *,
        of_parameters: bool = False,
    ) -> None:
        self.phase = phase
        self.batch = batch
        self.mask: Mask | None = None
        self.sampling: Sampling | None = None
        self.written: set[Point] = set()
        self.aside: dict[Point, tuple[Slot, torch.Tensor]] = {}
        self.aliases: dict[Point, Point] = {}
        self.awaited: set[Point] = set()
        self.expected: dict[int, Point] = {}
        self.arrived: set[int] = set()
        self.renamed: dict[Point, Point] = {}
        self.handles: list[torch.utils.hooks.RemovableHandle] = []
        self.hooks: list[dict[Any, Any]] = []
        self.is_open = True
        self.is_of_parameters = of_parameters
        self.pages = plan.pages(of_parameters=of_parameters)
        self._plan = plan
        self._is_masked = is_masked

    @property
    def is_complete(self) -> bool:
        """Whether every gradient that it waits for has arrived."""
        return self.awaited <= self.written and self.expected.keys() <= self.arrived

    def every_awaited(self) -> set[Point]:
        """Give the gradients that it waits for, and those that have arrived."""
        return self.awaited | set(self.expected.values())

    def still_awaited(self) -> set[Point]:
        """Give the gradients that have not arrived."""
        planned = {point for n, point in self.expected.items() if n not in self.arrived}
        return planned | (self.awaited - self.written)

    @property
    def plain_page(self) -> Page | None:
        """The one page, where there is one and tensors are read whole."""
        is_whole = not self._is_masked and self.sampling is None
        return next(iter(self.pages.values())) if is_whole and len(self.pages) == 1 else None

    def write_planned(self, slot: Slot, values: torch.Tensor) -> bool:
        """Write a plain tensor to its slot, where it is as the slot says and is read whole.

        A fault is told by the way that others go: False says that nothing was written.
        """
        page = self.pages.get(slot.device)
        is_whole = not self._is_masked and self.sampling is None
        if not is_whole or page is None or slot not in page:
            return False
        try:
            return values.dtype is slot.dtype and page.read(slot, values)
        except Exception:
            return False

    def signature(self) -> Hashable:
        """Identify the points that it wrote, awaits and passes on."""
        return (
            frozenset(self.awaited),
            frozenset(self.expected),
            frozenset(self.aliases.items()),
            *((device, bytes(page.written)) for device, page in self.pages.items()),
        )

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
        slot = self._plan.slots.get(point)
        has_arrived = point in self.written or (slot is not None and slot.number in self.arrived)
        if has_arrived and point.signal is Signal.GRADIENT:
            flags = join_flags(flags, REPEATED)
        self.written.add(point)
        channels = 1 if axis is None else values.shape[axis]
        new = Slot(0, 0, channels, axis, dtype, values.device, flags)
        page = self.pages.get(values.device)
        if slot is not None and page is not None and slot in page and slot[2:] == new[2:]:
            page.read(slot, values)
            return
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
        for hooks in self.hooks:
            hooks.pop(OURS, None)
        self.handles.clear()
        self.hooks.clear()

    def summaries(self) -> dict[Point, tuple[Slot, ChannelSummary]]:
        """Fetch what was written: one transfer per page, and one for what was kept aside."""
        found = {}
        for page in self.pages.values():
            for point, slot, summary in page.summaries():
                if point not in self.aside:
                    found[point] = slot, summary
        for point, (slot, packed) in _fetch_together(self.aside).items():
            found[point] = slot, ChannelSummary.unpack(packed, slot.channels)
        return found


def _fetch_together(
    aside: dict[Point, tuple[Slot, torch.Tensor]],
) -> dict[Point, tuple[Slot, np.ndarray]]:
    """Concatenate the blocks of each device, so that they cost one transfer."""
    fetched: dict[Point, tuple[Slot, np.ndarray]] = {}
    for device in {slot.device for slot, _ in aside.values()}:
        points = [point for point, (slot, _) in aside.items() if slot.device == device]
        host = torch.cat([aside[point][1] for point in points]).cpu().double().numpy()
        parts = np.split(host, np.cumsum([aside[point][1].numel() for point in points])[:-1])
        fetched.update({p: (aside[p][0], part) for p, part in zip(points, parts, strict=True)})
    return fetched
