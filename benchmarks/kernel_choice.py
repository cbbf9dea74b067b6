"""Which kernel reads: asked for by an environment variable, told by sppkit itself."""

import importlib

VARIABLE = "SPPKIT_KERNEL"
KERNELS = ("auto", "native", "torch")
FALLBACK = "torch operations"


def kernel_in_use(device: str) -> str:
    """Name the kernel that reads tensors of a device in this process."""
    kernels = importlib.import_module("sppkit.kernels")
    kernel_for = getattr(kernels, "kernel_for", None)
    return FALLBACK if kernel_for is None else str(kernel_for(device))
