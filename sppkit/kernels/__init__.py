"""The fused read: everything that statistics need of a tensor, in one call, on its device.

`summarize` returns a packed summary, `summarize_into` writes it into columns of a page, and
`unsupported_reason` says beforehand which tensors neither of them reads.
"""

from __future__ import annotations

from sppkit.kernels.dispatch import kernel_for, summarize, summarize_into
from sppkit.kernels.layout import unsupported_reason

__all__ = ["kernel_for", "summarize", "summarize_into", "unsupported_reason"]
