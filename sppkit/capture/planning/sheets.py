"""Where the summaries of a pass are written: a page of a sheet, which gives each point its columns.

A sheet is the layout and belongs to the plan; a page is memory on the device and belongs to one
pass. A page is a matrix: one row per quantity of a summary, one column per channel, so that all
tensors of a pass are merged and evaluated at once, and go to the host in one transfer.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from sppkit.capture.calls.places import Point
from sppkit.kernels import kernel_for, native, summarize_into
from sppkit.kernels.gathering import Gathering
from sppkit.kernels.layout import channel_count
from sppkit.summary import BASE_ROWS, EXTENDED_ROWS, HISTOGRAM_BINS, Array, ChannelSummary


class Slot(NamedTuple):
    """Where and how one point is written.

    Attributes:
        offset: its first column.
        number: of the point among those of its sheet.
        channels: number of channels of its tensor.
        axis: their axis; None where the whole tensor is one channel.
        dtype: in which the tensor is stored.
        device: of what is read.
        flags: what a reader of the numbers must know.
    """

    offset: int
    number: int
    channels: int
    axis: int | None
    dtype: torch.dtype
    device: torch.device
    flags: str = ""


class Target(NamedTuple):
    """What `sppkit.kernels.native.read_at` is told of a slot of a page, after the tensor."""

    axis: int | None
    address: int
    row_stride: int
    rows: int
    channels: int
    histogram_address: int


class SheetKey(NamedTuple):
    """What the points of one sheet have in common."""

    device: torch.device
    is_of_parameter: bool


class Sheet:
    """The layout of a page, which grows with the points that are planned.

    Args:
        device: of the tensors that are read.
        extended: whether a page holds extended summaries.

    Attributes:
        slots: by point, in the order of their columns.
        width: number of columns.
        sizes: number of channels of each point.
        gathering: small tensors that are not read yet.
    """

    def __init__(self, device: torch.device, extended: bool) -> None:
        self.slots: dict[Point, Slot] = {}
        self.width = 0
        self.sizes = np.zeros(0, dtype=np.int64)
        self.gathering = Gathering()
        self._device, self._extended = device, extended
        self._free: list[Page] = []

    def add(self, point: Point, like: Slot) -> Slot:
        """Give a point the next free columns."""
        slot = like._replace(offset=self.width, number=len(self.slots))
        self.slots[point] = slot
        self.width += slot.channels
        self.sizes = np.append(self.sizes, slot.channels)
        return slot

    def take(self) -> "Page":
        """Give an empty page, one that was put back where there is any."""
        self._free = [page for page in self._free if page.points == len(self.slots)]
        if self._free:
            page = self._free.pop()
            page.clear()
            return page
        return Page(self, self._device, self._extended)

    def give_back(self, page: "Page") -> None:
        """Keep a page for another pass: fresh memory is dear."""
        if page.points == len(self.slots):
            self._free.append(page)


class Page:
    """The memory that one pass writes.

    Args:
        sheet: its layout; points that are added there later are not on this page.
        device: where it is.
        extended: whether it holds extended summaries.

    Attributes:
        points: number of points that it has columns for.
        sizes: number of channels of each of them.
        rows: shape (7, K), or (10, K) extended: the rows of a packed summary by channel. float64,
            or float32 on MPS, which has no other.
        histograms: shape (points, 512), or None.
        written: one byte per point, 1 where it was written; columns of others are arbitrary.
        read_at: the kernel that writes to addresses, where there is one.
        targets: what it is told of each point.
    """

    def __init__(self, sheet: Sheet, device: torch.device, extended: bool) -> None:
        dtype = torch.float32 if device.type == "mps" else torch.float64
        names = EXTENDED_ROWS if extended else BASE_ROWS
        self.sheet = sheet
        self.points = len(sheet.slots)
        self.sizes = sheet.sizes
        self.rows = torch.empty((len(names), sheet.width), dtype=dtype, device=device)
        self.histograms = (
            torch.empty((self.points, HISTOGRAM_BINS), dtype=dtype, device=device)
            if extended
            else None
        )
        self._device_side = [t for t in (self.rows, self.histograms) if t is not None]
        self._copies: Sequence[Tensor | None] = [None] * len(self._device_side)
        self.read_at = native.read_at if kernel_for(device) == "native" else None
        self.targets = [self._target(slot) for slot in sheet.slots.values()]
        self._is_gathered = device.type == "cpu" and not extended and self.read_at is None
        self.clear()

    def __contains__(self, slot: Slot) -> bool:
        """Whether a slot of the sheet was there when the page was made."""
        return slot.number < self.points

    def clear(self) -> None:
        """Forget what was written."""
        self.written = bytearray(self.points)
        self._arrival: torch.cuda.Event | None = None

    def put_back(self) -> None:
        """Let another pass write here: nobody looks at the numbers any more."""
        self.sheet.give_back(self)

    def read(self, slot: Slot, values: Tensor) -> bool:
        """Write the summary of a tensor to its columns; say whether its channels fit them."""
        number = slot.number
        if self.read_at is None or not self.read_at(values, *self.targets[number]):
            if values.device != slot.device or slot.channels != channel_count(values, slot.axis):
                return False
            self._read_by_torch(slot, values)
        self.written[number] = 1
        return True

    def _read_by_torch(self, slot: Slot, values: Tensor) -> None:
        gathering = self.sheet.gathering
        if self._is_gathered and gathering.add(self.rows, slot.offset, values, slot.axis):
            return
        histogram = None if self.histograms is None else self.histograms[slot.number]
        summarize_into(self.rows, slot.offset, values, slot.axis, histogram)

    def _target(self, slot: Slot) -> Target:
        address = self.rows.data_ptr() + 8 * slot.offset
        quantities, width = self.rows.shape
        counts = 0
        if self.histograms is not None:
            counts = self.histograms.data_ptr() + 8 * HISTOGRAM_BINS * slot.number
        return Target(slot.axis, address, width, quantities, slot.channels, counts)

    def send(self) -> None:
        """Start to bring everything to the host, which does not wait; a CPU's page is there."""
        self.sheet.gathering.flush()
        if self.rows.is_cuda:
            pairs = zip(self._device_side, self._copies, strict=True)
            self._copies = [_start_copy(tensor, copy) for tensor, copy in pairs]
            self._arrival = torch.cuda.Event()
            self._arrival.record(torch.cuda.current_stream(self.rows.device))

    @property
    def has_arrived(self) -> bool:
        """Whether what was sent can be looked at without waiting."""
        return self._arrival is None or self._arrival.query()

    def on_host(self) -> tuple[Array, Array | None]:
        """Give rows and histograms on the host, in float64; those of the CPU are there."""
        self.sheet.gathering.flush()
        if self._arrival is not None:
            self._arrival.synchronize()
            sides = self._copies
        else:
            sides = self._device_side
        rows, *histograms = (side.cpu().double().numpy() for side in sides if side is not None)
        return rows, histograms[0] if histograms else None

    def summaries(self) -> Iterator[tuple[Point, Slot, ChannelSummary]]:
        """Walk what was written."""
        rows, histograms = self.on_host()
        for is_written, (point, slot) in zip(self.written, self.sheet.slots.items(), strict=False):
            if is_written:
                columns = rows[:, slot.offset : slot.offset + slot.channels]
                histogram = None if histograms is None else histograms[slot.number]
                yield point, slot, ChannelSummary.of_rows(columns, histogram)


def _start_copy(tensor: Tensor, copy: Tensor | None) -> Tensor:
    """Copy to pinned memory, which the device writes by itself."""
    copy = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True) if copy is None else copy
    return copy.copy_(tensor, non_blocking=True)
