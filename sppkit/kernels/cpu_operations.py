"""The base summary of a tensor on the CPU by torch's fastest operations, in one sweep.

Few of torch's reductions come near the bandwidth of memory: extremes and sums along either axis,
norms along rows, and the statistics of batch normalisation along columns. They suffice where no
mean is large beside its deviation, which the host can see here; all other tensors, and extended
summaries, are left to `torch_operations`, which sweeps twice. What a reduction leaves is small and
is finished in float64 by numpy, whose calls cost half of torch's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from sppkit.kernels.layout import column_fold, is_read_in_rows
from sppkit.summary import Array

PIECE = 1 << 17
"""Values read at a time: half a megabyte, which stays in the second cache from one to the next."""

LONGEST_ROW = 1 << 10
"""Values of which float32 adds the squares to about 1e-7."""

WORTH_CENTRING = 32
"""Rows from which on the statistics of batch normalisation are the fastest read of columns."""

WELL_CONDITIONED_ROWS = 3.0
WELL_CONDITIONED_COLUMNS = 1e6
"""Mean square over variance up to which the variance is accurate to 1e-6.

Rows give M2 as the difference of two sums, each of them exact to about 2e-7; batch normalisation
subtracts the mean first.
"""

SMALLEST, LARGEST = 2.0**-50, 2.0**50
"""Root mean squares whose float32 squares are normal numbers, and add up without overflow."""


class _Cells(NamedTuple):
    """Moments of parts of the channels, each array of shape (k, C, l): k l cells of a channel.

    Attributes:
        lengths: values per cell, shape (k, 1, 1).
        minimum, maximum, mean, m2: of each cell.
        conditioned: mean square over variance up to which they are accurate.
    """

    lengths: Array
    minimum: np.ndarray
    maximum: np.ndarray
    mean: np.ndarray
    m2: np.ndarray
    conditioned: float


def read_base(values: Tensor, out: Array) -> bool:
    """Write the base summary of a tensor; False where it would not be accurate.

    Args:
        values: on the CPU, shape (outer, C, inner), float32, bfloat16 or float16, no axis of 0.
        out: shape (7, C), float64, in the order of `BASE_ROWS`; arbitrary after False.
    """
    is_in_rows = is_read_in_rows(values)
    length = _row_length(values.shape[2]) if is_in_rows else values.shape[0]
    if length is None:
        return False
    matrix = values.reshape(-1, length) if is_in_rows else _side_by_side(values)
    cells = _of_rows(matrix, values.shape) if is_in_rows else _of_columns(matrix, values.shape)
    with np.errstate(all="ignore"):
        if not _finish(cells, out):
            return False
    out[5:] = 0.0
    if (out[3] <= 0).any() and (out[4] >= 0).any():
        out[5] = _zeros(matrix, values.shape, is_in_rows)
    return True


def _row_length(inner: int) -> int | None:
    """Cut rows into equal parts that are short enough; None where that takes too many."""
    parts = (f for f in range(1, 129) if inner % f == 0 and inner // f <= LONGEST_ROW)
    fold = next(parts, None)
    return None if fold is None else inner // fold


def _side_by_side(values: Tensor) -> Tensor:
    fold = column_fold(values)
    return values.reshape(values.shape[0] // fold, -1)


def _pieces(matrix: Tensor, rows: int) -> Iterator[Tensor]:
    is_one = matrix.shape[0] <= rows
    for piece in (matrix,) if is_one else torch.split(matrix, rows):
        yield piece if piece.dtype is torch.float32 else piece.to(torch.float32)


def _of_rows(matrix: Tensor, shape: torch.Size) -> _Cells:
    """Take the moments of rows, shape (outer C f, length)."""
    outer, channels, _ = shape
    length = matrix.shape[1]
    found = [
        (x.amin(1), x.amax(1), x.sum(1), torch.linalg.vector_norm(x, dim=1))
        for x in _pieces(matrix, max(1, PIECE // length))
    ]
    minimum, maximum, total, norm = (
        _joined(parts).reshape(outer, channels, -1) for parts in zip(*found, strict=True)
    )
    mean = total / np.float64(length)
    m2 = np.square(norm, dtype=np.float64) - total * mean
    return _Cells(
        np.full((outer, 1, 1), float(length)), minimum, maximum, mean, m2, WELL_CONDITIONED_ROWS
    )


def _of_columns(matrix: Tensor, shape: torch.Size) -> _Cells:
    """Take the moments of columns, shape (outer / f, f C inner), piece by piece of rows."""
    outer, channels, inner = shape
    rows, width = matrix.shape
    moments = _centred if rows >= WORTH_CENTRING else _squared
    pieces = list(_pieces(matrix, min(LONGEST_ROW, max(WORTH_CENTRING, PIECE // width))))
    found = [(x.amin(0), x.amax(0), *moments(x)) for x in pieces]
    minimum, maximum, mean, m2 = (
        _joined(parts).reshape(-1, channels, inner) for parts in zip(*found, strict=True)
    )
    lengths = np.repeat([float(x.shape[0]) for x in pieces], outer // rows)[:, None, None]
    conditioned = WELL_CONDITIONED_COLUMNS if moments is _centred else WELL_CONDITIONED_ROWS
    return _Cells(
        lengths, minimum, maximum, mean.astype(np.float64), m2.astype(np.float64), conditioned
    )


def _centred(x: Tensor) -> tuple[Tensor, Tensor]:
    mean, variance = torch.batch_norm_update_stats(x, None, None, 0.0)
    return mean, variance.mul_(x.shape[0])


def _squared(x: Tensor) -> tuple[Tensor, Tensor]:
    mean = x.sum(0, dtype=torch.float64).div_(x.shape[0])
    return mean, x.square().sum(0, dtype=torch.float64).addcmul_(mean, mean, value=-x.shape[0])


def _joined(parts: tuple[Tensor, ...] | list[Tensor]) -> np.ndarray:
    return (parts[0] if len(parts) == 1 else torch.cat(parts)).numpy()


def _finish(cells: _Cells, out: Array) -> bool:
    """Merge the cells of each channel (Chan, Golub and LeVeque); say whether that is accurate."""
    lengths, minimum, maximum, _, m2, conditioned = cells
    mean = cells.mean.astype(np.float64)
    count = lengths.sum() * mean.shape[2]
    out[0] = count
    out[1] = (lengths * mean).sum((0, 2)) / count
    d = mean - out[1][:, None]
    out[2] = (m2 + lengths * d * d).sum((0, 2))
    out[3], out[4] = minimum.min((0, 2)), maximum.max((0, 2))
    mean_square = out[2] / count + out[1] * out[1]
    is_accurate = mean_square * count <= conditioned * out[2]
    is_in_range = (mean_square > SMALLEST**2) & (mean_square < LARGEST**2)
    # A NaN compares false. Channels of zeros alone are exact.
    return bool(((is_accurate & is_in_range) | ((out[3] == 0) & (out[4] == 0))).all())


def _zeros(matrix: Tensor, shape: torch.Size, is_in_rows: bool) -> Array:
    """Count the zeros of each channel."""
    outer, channels, inner = shape
    rows = min(max(1, PIECE // matrix.shape[1]), matrix.shape[0])
    scratch = matrix.new_empty((rows, matrix.shape[1]), dtype=torch.float32)
    found = [
        torch.eq(x, 0, out=scratch[: x.shape[0]]).sum(int(is_in_rows))
        for x in _pieces(matrix, rows)
    ]
    cells = (outer, channels, -1) if is_in_rows else (-1, channels, inner)
    return np.asarray(_joined(found).reshape(cells).sum((0, 2), dtype=np.float64))
