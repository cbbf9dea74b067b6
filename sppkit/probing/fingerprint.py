"""Tell whether two models have the same weights without keeping either."""

import zlib

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from sppkit.capture.tensors.sharding import local_values


def fingerprint(model: nn.Module) -> int | None:
    """Reduce the bits of all parameters to one number; None where there are none to read.

    Equal weights have equal numbers, different ones share one with a probability of 2^-32. What
    has no dense values (lazy, sparse) is left out; of sharded ones this process's values count.
    """
    number = None
    for parameter in model.parameters():
        if is_lazy(parameter) or parameter.is_meta:
            continue
        values = local_values(parameter.detach())
        if values.layout == torch.strided:
            number = zlib.crc32(_bytes(values), number or 0)
    return number


def _bytes(values: torch.Tensor) -> bytes:
    flat = values.cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().tobytes()
