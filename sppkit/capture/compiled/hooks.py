"""Hooks that `torch.compile` can look through: they hand tensors over and touch nothing else.

Everything that the eager recording decides while it runs (which call this is, what is an alias) is
decided beforehand and is a constant of the compiled graph.
"""

from collections.abc import Callable, Iterable
from functools import partial

import torch
from torch import Tensor, nn

from sppkit.capture.calls.places import tensors_in
from sppkit.capture.calls.regions import is_recomputation
from sppkit.capture.calls.watch import inert
from sppkit.capture.compiled.observe import observe


class Switch:
    """Whether the hooks do anything; compiled code exists once for each of the two states."""

    def __init__(self) -> None:
        self.is_on = False


class Counter:
    """The calls of one module so far in a pass. It is reset where no compiled code runs.

    Compiled code expects the count that it was compiled with, which is the same in every pass. It
    is the length of a list, because `register_hook` makes torch._dynamo forget changed attributes.
    """

    def __init__(self) -> None:
        self.seen: list[None] = []


class TensorRead:
    """One tensor of a module's output, and the receivers of it and of its gradient.

    Args:
        path: of the tensor in the output, as `tensors_in` names it.
        activation, gradient: numbers of receivers; None for what is not recorded.
    """

    def __init__(self, path: str, activation: Tensor | None, gradient: Tensor | None) -> None:
        self._path = path
        self._activation = activation
        self._gradient = gradient

    def __call__(self, output: object) -> None:
        """Hand the tensor over, and have its gradient handed over when it comes."""
        tensor = output if not self._path else dict(tensors_in(output)).get(self._path)
        if not isinstance(tensor, Tensor):
            return  # found missing when the step ends
        if self._activation is not None:
            observe(self._activation, tensor)
        if self._gradient is not None and tensor.requires_grad:
            tensor.register_hook(partial(_observe_gradient, self._gradient))


def _observe_gradient(number: Tensor, gradient: Tensor) -> None:
    observe(number, gradient)


class OutputHook:
    """A forward hook: what to read of each call of a module.

    Args:
        switch: shared by all hooks.
        calls: for each call of the module within a pass, the tensors to read.
        counter: tells the calls apart, where there are several.
    """

    def __init__(
        self, switch: Switch, calls: Iterable[Iterable[TensorRead]], counter: Counter | None
    ) -> None:
        self._switch = switch
        self._calls = tuple(tuple(reads) for reads in calls)
        self._counter = counter

    def __call__(self, module: nn.Module, args: object, output: object) -> None:
        """Read one call."""
        if not self._switch.is_on:
            return
        if not torch.compiler.is_compiling() and is_recomputation():
            return
        call = 0
        if self._counter is not None:
            call = len(self._counter.seen)
            self._counter.seen.append(None)
        if call < len(self._calls):
            for read in self._calls[call]:
                read(output)

    def __deepcopy__(self, memo: object) -> Callable[..., None]:
        return inert

    def __reduce__(self) -> tuple[Callable[..., Callable[..., None]], tuple[()]]:
        return _inert_hook, ()


def _inert_hook() -> Callable[..., None]:
    return inert
