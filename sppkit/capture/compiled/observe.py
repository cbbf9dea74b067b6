"""An operator that hands a tensor of compiled code to Python: no graph break, nothing saved.

`torch.compile` sees one opaque operator with a side effect and keeps it where it is, in the forward
and in the backward graph. What it is given besides the tensor is the number of a receiver, itself a
tensor: a plain number would be a constant, and every block that is compiled by itself would be
compiled anew for its own. Nothing is written to an input of the graph. A buffer that the backward
graph writes would be saved by the forward pass, and the next forward pass, which writes it too,
would make the user's backward pass raise.
"""

import itertools
import weakref
from collections.abc import Callable

import torch
from torch import Tensor
from torch._higher_order_ops.effects import _EffectType, _register_effectful_op

OPERATOR = "sppkit::observe"
SCHEMA = "(Tensor receiver, Tensor tensor) -> ()"

_NUMBERS = itertools.count()
_RECEIVERS: "weakref.WeakValueDictionary[int, Receiver]" = weakref.WeakValueDictionary()


class Receiver:
    """What is done with a tensor that is handed over, as long as somebody keeps it.

    Args:
        receive: called with the tensor, without grad. It must not raise: that would be an error of
            the user's own forward or backward pass.

    Attributes:
        number: what to give to `observe`; on the host, so that reading it waits for no device.
    """

    def __init__(self, receive: Callable[[Tensor], None]) -> None:
        self.receive = receive
        number = next(_NUMBERS)
        with torch.inference_mode(False):  # or else it could not be used outside of that mode
            self.number = torch.tensor(number, device="cpu")
        _RECEIVERS[number] = self


def observe(number: Tensor, tensor: Tensor) -> None:
    """Hand a tensor to the receiver of a number; nobody hears of it where that is gone."""
    torch.ops.sppkit.observe(number, tensor.detach())


def _hand_over(number: Tensor, tensor: Tensor) -> None:
    receiver = _RECEIVERS.get(int(number))
    if receiver is not None:
        receiver.receive(tensor.detach())


def _fake(number: Tensor, tensor: Tensor) -> None:
    """Stand in for the call while a graph is traced."""


_NOT_IN_CUDA_GRAPHS = getattr(torch.Tag, "cudagraph_unsafe", None)
torch.library.define(OPERATOR, SCHEMA, tags=[_NOT_IN_CUDA_GRAPHS] if _NOT_IN_CUDA_GRAPHS else [])
torch.library.impl(OPERATOR, "CompositeExplicitAutograd", _hand_over)
torch.library.register_fake(OPERATOR, _fake)
_register_effectful_op(torch.ops.sppkit.observe.default, _EffectType.ORDERED)
