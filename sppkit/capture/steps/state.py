"""Leave a model, and the generators of random numbers, as they were found."""

import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.parameter import is_lazy

_REGISTRIES = ("_parameters", "_buffers", "_modules")


class State:
    """What a model is made of at a moment: parameters, buffers, modes, modules and attributes.

    Not kept is what happens inside a mutable attribute that is neither tensor nor module (a list
    that the forward appends to), and lazy modules stay materialised.

    Args:
        model: the model; its tensors are copied.
    """

    def __init__(self, model: nn.Module) -> None:
        self._modules = [
            (
                *(module, type(module), dict(module.__dict__)),
                {name: dict(module.__dict__[name]) for name in _REGISTRIES},
            )
            for module in model.modules()
        ]
        found = dict.fromkeys([*model.parameters(), *model.buffers()])
        self.tensors = [tensor for tensor in found if not is_lazy(tensor)]
        self._values = [
            (tensor, tensor.requires_grad, _version(tensor), tensor.detach().clone())
            for tensor in self.tensors
        ]

    def restore(self) -> None:
        """Bring it back, bit for bit; tensors are written only where something wrote to them."""
        for module, kind, saved, contents in self._modules:
            module.__class__ = kind  # a parametrization gives a module a class of its own
            _restore_attributes(module, saved, contents)
        with torch.no_grad():
            for tensor, _, version, value in self._values:
                # BatchNorm writes its running statistics without counting that as a write.
                if _version(tensor) != version or not torch.equal(tensor, value):
                    tensor.copy_(value)
        for tensor, requires_grad, _, _ in self._values:
            if tensor.is_leaf:
                tensor.requires_grad_(requires_grad)


@contextmanager
def left_as_found(model: nn.Module) -> Iterator[None]:
    """Restore the state of a model, and its gradients, after the block.

    Gradients are put aside, so that the block starts without any.
    """
    state = State(model)
    gradients = [(tensor, tensor.grad) for tensor in state.tensors if tensor.is_leaf]
    for tensor, _ in gradients:
        tensor.grad = None
    try:
        yield
    finally:
        state.restore()
        for tensor, gradient in gradients:
            tensor.grad = gradient


def _version(tensor: torch.Tensor) -> int | None:
    """Count the writes to a tensor; None for inference tensors, which do not count them."""
    return None if tensor.is_inference() else tensor._version


def _restore_attributes(
    module: nn.Module, saved: dict[str, Any], contents: dict[str, dict[str, Any]]
) -> None:
    module.__dict__.clear()
    module.__dict__.update(saved)
    for name, content in contents.items():
        registry = module.__dict__[name]
        registry.clear()
        registry.update(content)


@contextmanager
def isolated_randomness(seed: int) -> Iterator[None]:
    """Seed the global generators of torch, numpy and Python inside the block only."""
    python_state, numpy_state = random.getstate(), np.random.get_state()
    with ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng())
        try:
            torch.manual_seed(seed)
            np.random.seed(seed % 2**32)
            random.seed(seed)
            yield
        finally:
            random.setstate(python_state)
            np.random.set_state(numpy_state)


@contextmanager
def without_fused_attention() -> Iterator[None]:
    """Switch off the fused path of `nn.TransformerEncoderLayer`, which runs no inner module."""
    enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(enabled)
