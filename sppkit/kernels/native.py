"""The fused read in C, for tensors on the CPU, where there was a compiler at the installation.

torch hands over address, shape and strides through its table of C functions
(`torch.Tensor.__dlpack_c_exchange_api__`, from torch 2.10 on), so that reading a small tensor costs
about a microsecond; an older torch is asked through the methods that everybody uses. No header of
torch is compiled in: one build serves all versions.

The summary of a tensor is the same, to the bit, for any number of threads.
"""

from __future__ import annotations

import torch
from torch import Tensor

try:
    from sppkit.kernels import _native
except ImportError as error:
    _absence: ImportError | None = error
else:
    _absence = None

AVAILABLE = _absence is None
"""Whether the kernel was built; without it `read` and `read_at` leave every tensor unread."""


def unavailable_reason() -> str | None:
    """Return why there is no C kernel and how to get it, or None where there is one."""
    if _absence is None:
        return None
    return (
        f"the C kernel is not built ({_absence}): install a C compiler and the headers of Python, "
        "then sppkit again (pip install --force-reinstall --no-deps --no-cache-dir sppkit)."
    )


if AVAILABLE:
    _native.connect(torch, True)
    read = _native.read
    read_at = _native.read_at
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
