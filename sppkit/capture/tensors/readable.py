"""Which values are read of a tensor of any kind: the one place that decides it.

The kernels read dense floating point numbers. Sparse, nested, quantised, complex and float8 tensors
are brought to that here, so that every statistic is the one of the tensor that they stand for; what
has no such reading gets a reason instead.

=============  ===================================================================================
kind           what is read
=============  ===================================================================================
complex        Re z and Im z, two real channels for each complex one: with m_c the mean of channel
               c, second_moment = E|z|^2 / 2, average_channel_squared_mean = mean of |m_c|^2 / 2 and
               average_channel_variance = mean of E|z - m_c|^2 / 2, which is what each part of a
               circular gaussian has. Of weights both parts belong to their unit, so that its norm
               is sqrt(sum |w|^2).
sparse         the dense tensor, duplicates added up, implicit zeros included.
nested         the components one after the other, channels last: every position is a real one.
quantised      the dequantised values.
float8         the codes as numbers: a scale, where there is one, is kept elsewhere and not known.
=============  ===================================================================================
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor
from torch.nn.parameter import is_lazy

from sppkit.capture.tensors.channel_axis import axis_for_summary
from sppkit.kernels import unsupported_reason

FLOAT8 = frozenset(
    {torch.float8_e4m3fn, torch.float8_e4m3fnuz, torch.float8_e5m2, torch.float8_e5m2fnuz}
)
_PLAIN = frozenset({Tensor, nn.Parameter})
_SPARSE = frozenset(
    {torch.sparse_coo, torch.sparse_csr, torch.sparse_csc, torch.sparse_bsr, torch.sparse_bsc}
)

TWO_CHANNELS = "real and imaginary parts are two channels"
TWO_PARTS = "real and imaginary parts of a unit are read together"
NO_SCALE = "float8 codes without their scale"


def join_flags(*flags: str) -> str:
    """Put flags into one text, each of them once.

    >>> join_flags("alias of 0; unmasked", "", "unmasked")
    'alias of 0; unmasked'
    """
    every = "; ".join(flag for flag in flags if flag)
    return "; ".join(dict.fromkeys(every.split("; ")))


class Readable(NamedTuple):
    """What the kernels are given to read for a tensor.

    Attributes:
        values: dense and of a floating point type.
        axis: the channels of `values`; None where all of it is one channel.
        dtype: the type in which the tensor itself is stored.
        flags: what a reader of the numbers must know.
        may_be_padded: whether some positions may be no real ones.
    """

    values: Tensor
    axis: int | None
    dtype: torch.dtype
    flags: str = ""
    may_be_padded: bool = True


def readable(tensor: Tensor, axis: int | None, *, of_units: bool = False) -> Readable | str:
    """Bring a tensor into the form that the kernels read, or say why it has none.

    Args:
        tensor: of any kind, layout and type.
        axis: axis of its channels, as decided; None where that is undecided.
        of_units: its channels are the output units of a weight.

    Returns:
        What to read, or the reason why nothing can be read.
    """
    if not _is_plain(tensor):
        return _of_another_kind(tensor, axis, of_units)
    axis, undecided = axis_for_summary(axis, tensor.dim())
    return undecided or Readable(tensor, axis, tensor.dtype)


def _is_plain(tensor: Tensor) -> bool:
    """Say whether the kernels read a tensor as it is; quickly, since nearly all are so."""
    is_plain = type(tensor) in _PLAIN and unsupported_reason(tensor) is None
    return is_plain and not _stands_for_others(tensor)


def _stands_for_others(tensor: Tensor) -> bool:
    functorch = torch._C._functorch
    return functorch.is_functorch_wrapped_tensor(tensor) or functorch.is_legacy_batchedtensor(
        tensor
    )


@torch.no_grad()
def _of_another_kind(tensor: Tensor, axis: int | None, of_units: bool) -> Readable | str:
    if reason := _without_values(tensor):
        return reason
    dense = _dense(tensor)
    if isinstance(dense, str):
        return dense
    if tensor.is_nested:
        axis = 1
    axis, undecided = axis_for_summary(axis, dense.dim())
    if undecided:
        return undecided
    found = Readable(dense, axis, tensor.dtype, may_be_padded=not tensor.is_nested)
    if dense.is_complex():
        return _parts(found, of_units)
    if dense.dtype in FLOAT8:
        return found._replace(values=dense.to(torch.float32), flags=NO_SCALE)
    return unsupported_reason(dense) or found


def _without_values(tensor: Tensor) -> str | None:
    """Say why a tensor has no values of its own at this moment."""
    if is_lazy(tensor):
        return "a lazy parameter has no values before the first call of its layer"
    if _stands_for_others(tensor):
        return "inside torch.func and batched gradients tensors stand for others and are not read"
    if isinstance(tensor, FakeTensor):
        return "fake tensors have a shape and no values: the model is traced, not run"
    if tensor.dtype.is_floating_point or tensor.is_complex() or tensor.is_quantized:
        return None
    return unsupported_reason(torch.empty(0, dtype=tensor.dtype, device="cpu"))


def _dense(tensor: Tensor) -> Tensor | str:
    """Give the dense tensor that a sparse, nested or quantised one stands for."""
    if tensor.is_nested:
        return _components(tensor)
    if tensor.is_meta:
        return unsupported_reason(tensor) or tensor
    if tensor.is_quantized:
        return tensor.dequantize()
    return (tensor.to_dense() if tensor.layout in _SPARSE else tensor).detach()


def _components(tensor: Tensor) -> Tensor | str:
    """Join the components of a nested tensor: shape (positions of all of them, channels)."""
    parts = tensor.detach().unbind()
    channels = {part.shape[-1] for part in parts if part.dim()}
    if len(channels) != 1 or any(part.dim() < 2 for part in parts):
        return "the components of this nested tensor have no last axis of equal size for channels"
    width = channels.pop()
    return torch.cat([part.reshape(part.shape[:-1].numel(), width) for part in parts])


def _parts(found: Readable, of_units: bool) -> Readable:
    """See a complex tensor as real numbers: twice as many channels, or values per unit."""
    real = torch.view_as_real(found.values.resolve_conj())  # (..., 2)
    if of_units:
        return found._replace(values=real, flags=TWO_PARTS)
    if found.axis is None:
        return found._replace(values=real, axis=real.dim() - 1, flags=TWO_CHANNELS)
    joined = real.movedim(-1, found.axis + 1).flatten(found.axis, found.axis + 1)
    return found._replace(values=joined, flags=TWO_CHANNELS)
