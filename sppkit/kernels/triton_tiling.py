"""How a grouped tensor is cut into tiles and runs of tiles for the Triton kernel.

A *tile* is (rows, width) positions, the width along contiguous memory. Its sizes are few, because
each pair is compiled by itself.
"""

from __future__ import annotations

from math import ceil
from typing import NamedTuple

from torch import Tensor

WARP = 32
VECTOR_BYTES = 16
"""What a thread loads at once."""

WARPS = 4
WIDTHS = 1024, 256, 64, 16, 4

WIDEST_COLUMNS = 64
"""A program stores a number per column, so that columns must be long to be read cheaply."""

SMALL = 8
"""Tiles are smaller by this factor where a channel fills no more."""

NARROW = 16
MANY_ROWS = 64
"""Positions fewer than the one are columns of their own where there are samples as the other."""

LONGEST_RUN = 32
"""Tiles of a run: what a position adds up in float32 before parts are merged in float64."""

SHORTEST_RUN = 4
RUNS = 2048
"""Runs that a large tensor is cut into: several per multiprocessor, whatever the device."""


class Tiling(NamedTuple):
    """A tensor (outer, C, inner) cut into tiles.

    Attributes:
        columns: whether channels, and the positions within, are columns of one matrix (outer,
            C * inner); otherwise a tile belongs to one channel.
        rows, width: size of a tile along the outer and the inner axis.
        outer, inner: size of the axes; `inner` is the number of columns where there are any.
        units: channels, or blocks of columns.
        chunks: tiles along the inner axis that belong to a unit.
        tiles: tiles of a unit.
        run: tiles that one program reads.
        warps: warps of a program.
    """

    columns: bool
    rows: int
    width: int
    outer: int
    inner: int
    units: int
    chunks: int
    tiles: int
    run: int
    warps: int

    @property
    def parts(self) -> int:
        """The number of programs per unit."""
        return ceil(self.tiles / self.run)


def tile(values: Tensor) -> Tiling:
    """Cut a grouped tensor (outer, C, inner), no axis of which is empty."""
    outer, channels, inner = values.shape
    columns = channels > 1 and _in_columns(values)
    extent = channels * inner if columns else inner
    positions = WARPS * WARP * VECTOR_BYTES // values.element_size()
    rows, width = _tile_size(outer, extent, positions, columns)
    chunks = ceil(extent / width)
    units = chunks if columns else channels
    tiles = ceil(outer / rows) * (1 if columns else chunks)
    return Tiling(
        columns=columns,
        rows=rows,
        width=width,
        outer=outer,
        inner=extent,
        units=units,
        chunks=1 if columns else chunks,
        tiles=tiles,
        run=min(max(units * tiles // RUNS, SHORTEST_RUN), LONGEST_RUN),
        warps=max(1, WARPS * rows * width // positions),
    )


def _in_columns(values: Tensor) -> bool:
    outer, _, inner = values.shape
    if inner == 1:
        return True
    evenly_spaced = values.stride(1) == inner * values.stride(2)
    return evenly_spaced and inner < NARROW and outer >= MANY_ROWS


def _tile_size(outer: int, extent: int, positions: int, columns: bool) -> tuple[int, int]:
    """Return the rows and width that leave the fewest positions outside, the widest of those."""
    if outer * extent * SMALL <= positions:
        positions //= SMALL
    widest = WIDEST_COLUMNS if columns else positions
    widths = [width for width in WIDTHS if width <= min(widest, positions)]
    return min(
        ((positions // width, width) for width in widths),
        key=lambda size: _padded(outer, size[0]) * _padded(extent, size[1]),
    )


def _padded(size: int, block: int) -> int:
    return ceil(size / block) * block
