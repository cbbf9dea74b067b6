"""Let the C kernel add up channels to tensors, where that is what reads.

Whatever way rows are made, their totals come from here: no digit depends on it.
"""

import numpy as np

from sppkit.kernels import kernel_for, native
from sppkit.summaries import TOTALS, Summaries
from sppkit.summary import BASE_ROWS, Array


def add_up(tensors: Summaries, rows: Array | None = None) -> Summaries:
    """Tell the summaries of tensors what their channels add up to.

    Args:
        tensors: what is told.
        rows: the base rows of its channels, contiguous, (7, K) or more, where they lie together.
    """
    if kernel_for("cpu") != "native" or not len(tensors):
        return tensors
    if rows is None:
        rows = np.stack([getattr(tensors.channels, name) for name in BASE_ROWS])
    totals = np.empty((len(TOTALS), len(tensors)))
    native.totals_at(
        rows.ctypes.data,
        rows.shape[1],
        tensors.sizes.ctypes.data,
        len(tensors),
        totals.ctypes.data,
    )
    tensors.know(dict(zip(TOTALS, totals, strict=True)))
    return tensors
