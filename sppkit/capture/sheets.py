"""Where the summaries of a pass are written: a page of a sheet, which gives each point its columns.

A sheet is the layout and belongs to the plan; a page is memory on the device and belongs to one
pass. A page is a matrix: one row per quantity of a summary, one column per channel, so that all
tensors of a pass are merged and evaluated at once, and go to the host in one transfer.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from sppkit.capture.places import Point
from sppkit.kernels import kernel_for, native, summarize_into
from sppkit.summary import BASE_ROWS, EXTENDED_ROWS, HISTOGRAM_BINS, Array, ChannelSummary

_NOT_WRITTEN = -1.0  # in the row of counts, which are never negative


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
    """

    def __init__(self, device: torch.device, extended: bool) -> None:
        self.slots: dict[Point, Slot] = {}
        self.width = 0
        self.sizes = np.zeros(0, dtype=np.int64)
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
    """

    def __init__(self, sheet: Sheet, device: torch.device, extended: bool) -> None:
        dtype = torch.float32 if device.type == "mps" else torch.float64
        names = EXTENDED_ROWS if extended else BASE_ROWS
        self.sheet = sheet
        self.points = len(sheet.slots)
        self.sizes = sheet.sizes
        self._width = sheet.width
        self.rows = torch.empty((len(names), sheet.width), dtype=dtype, device=device)
        self.histograms = (
            torch.empty((self.points, HISTOGRAM_BINS), dtype=dtype, device=device)
            if extended
            else None
        )
        self._read_at = native.read_at if kernel_for(device) == "native" else None
        self._address, self._quantities = self.rows.data_ptr(), len(names)
        self.clear()

    def __contains__(self, slot: Slot) -> bool:
        """Whether a slot of the sheet was there when the page was made."""
        return slot.number < self.points

    def clear(self) -> None:
        """Mark every point as not written."""
        self.rows[0].fill_(_NOT_WRITTEN)

    def put_back(self) -> None:
        """Let another pass write here: nobody looks at the numbers any more."""
        self.sheet.give_back(self)

    def read(self, slot: Slot, values: Tensor) -> bool:
        """Write the summary of a tensor to its columns; say whether its channels fit them."""
        offset, number, channels, axis = slot[:4]
        if self._read_at is not None and self._read_at(
            values,
            axis,
            self._address + 8 * offset,
            self._width,
            self._quantities,
            channels,
            self._histogram_address(number),
        ):
            return True
        if values.device != slot.device:
            return False
        if channels != (1 if axis is None else values.shape[axis]):
            return False
        histogram = None if self.histograms is None else self.histograms[number]
        summarize_into(self.rows, offset, values, axis, histogram)
        return True

    def _histogram_address(self, number: int) -> int:
        if self.histograms is None:
            return 0
        return self.histograms.data_ptr() + 8 * HISTOGRAM_BINS * number

    def on_host(self) -> tuple[Array, Array | None]:
        """Bring rows and histograms to the host, in float64; those of the CPU are there."""
        rows = self.rows.cpu().double().numpy()
        return rows, None if self.histograms is None else self.histograms.cpu().double().numpy()

    def summaries(self) -> Iterator[tuple[Point, Slot, ChannelSummary]]:
        """Walk what was written."""
        rows, histograms = self.on_host()
        for point, slot in list(self.sheet.slots.items())[: self.points]:
            columns = rows[:, slot.offset : slot.offset + slot.channels]
            if slot.channels == 0 or columns[0, 0] != _NOT_WRITTEN:
                histogram = None if histograms is None else histograms[slot.number]
                yield point, slot, ChannelSummary.of_rows(columns, histogram)

    def written(self) -> np.ndarray:
        """Tell for each point whether it was written, shape (points,); empty ones always are."""
        counts = np.append(self.rows[0].cpu().numpy(), 0.0)
        starts = np.cumsum(self.sizes) - self.sizes
        return np.asarray((counts[starts] != _NOT_WRITTEN) | (self.sizes == 0))
