"""The fused read in C, for tensors on the CPU; built where the installation finds a compiler.

``read(tensor, channel_axis, rows, column, histogram) -> bool``
    Writes the summary of a tensor to ``rows[:, column : column + C]``, without other effects.

    - `rows`: contiguous float64 tensor on the CPU, (7, K) for a base summary, (10, K) for an
      extended one, in the order of `sppkit.summary.EXTENDED_ROWS`.
    - `histogram`: of an extended summary, contiguous float64 tensor (512,), overwritten; else None.
    - Returns False, with nothing written, for a tensor that it does not read: on another device, of
      another type than float16, bfloat16, float32 and float64, of a subclass, lazily negated,
      without memory of its own (sparse, nested, inside `torch.func`, released), or of float64
      values whose moments leave the range of float64. The torch operations read those that can be
      read, and say why not of the others.
    - Raises ValueError for an axis that the tensor does not have, for rows or a histogram of
      another form, and for a slot that ends beyond the rows.

``read_at(tensor, channel_axis, address_of_column, row_stride, rows, channels, histogram_address)``
    The same for a slot that was checked beforehand, in one cheap call. The caller guarantees that
    `rows` (7 or 10) rows of `channels` float64 numbers, `row_stride` numbers apart, begin at the
    address, and 512 numbers at `histogram_address`, which is 0 without the extension; and that this
    memory lives as long as the call. Returns False, with nothing written, also where the tensor has
    not `channels` channels or not that axis.

``totals_at(address_of_rows, columns, address_of_sizes, tensors, address_of_totals)``
    Writes what `sppkit.summaries.TOTALS` names of each tensor, from rows of summaries: contiguous
    float64, `columns` of them in each row, those of one tensor behind those of the other, as many
    as `sizes` (int64) says. `totals` is contiguous float64, (len(TOTALS), tensors). The caller
    guarantees all that.

All take positional arguments only. The summary is the same to the bit for any number of threads;
another instruction set adds up in another order. Large reads release the GIL and share the work
over `torch.get_num_threads` threads, which end with the read.

torch hands over address, shape and strides through its table of C functions
(`torch.Tensor.__dlpack_c_exchange_api__`); one without that table is asked through its methods. No
header of torch is compiled in: one build serves all versions.
"""

from __future__ import annotations

from importlib.util import find_spec

import torch
from torch import Tensor

try:
    from sppkit.kernels import _native
except ImportError as error:
    _absence: ImportError | None = error
else:
    _absence = None

AVAILABLE = _absence is None
"""Whether the kernel is there; without it `read` and `read_at` leave every tensor unread."""


def unavailable_reason() -> str | None:
    """Return why there is no C kernel and how to get it, or None where there is one."""
    if _absence is None:
        return None
    built = find_spec("sppkit.kernels._native") is not None
    state = f"does not load ({_absence})" if built else "was not built"
    return (
        f"the C kernel {state}: install a C compiler and the headers of Python, then sppkit once "
        "more (pip install --force-reinstall --no-deps --no-cache-dir)."
    )


def description() -> str:
    """Say what reads CPU tensors: the instructions, and the threads for large ones."""
    reason = unavailable_reason()
    if reason is not None:
        return f"torch operations; {reason}"
    instructions, threads = _native.instruction_set(), torch.get_num_threads()
    return f"C with {instructions} instructions, {threads} threads for large tensors"


if AVAILABLE:
    _native.connect(torch, True)
    read = _native.read
    read_at = _native.read_at
    totals_at = _native.totals_at
else:

    def read(
        tensor: Tensor,
        channel_axis: int | None,
        rows: Tensor,
        column: int,
        histogram: Tensor | None,
        /,
    ) -> bool:
        """Leave the tensor unread: there is no kernel."""
        return False

    def read_at(
        tensor: Tensor,
        channel_axis: int | None,
        address_of_column: int,
        row_stride: int,
        rows: int,
        channels: int,
        histogram_address: int,
        /,
    ) -> bool:
        """Leave the tensor unread: there is no kernel."""
        return False

    def totals_at(
        address_of_rows: int,
        columns: int,
        address_of_sizes: int,
        tensors: int,
        address_of_totals: int,
        /,
    ) -> None:
        """Refuse: without a kernel numpy adds up."""
        raise RuntimeError(unavailable_reason())
