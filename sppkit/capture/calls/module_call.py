"""The calls of modules, and who is told of them."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from torch import nn


class ModuleCall:
    """One call of one module, while it is under way."""

    __slots__ = (
        *("children", "index", "is_leaf", "is_new", "layer", "module", "operations", "stack"),
    )

    def __init__(
        self,
        layer: str,
        index: int,
        module: nn.Module,
        parent: "ModuleCall | None",
        is_new: bool = False,
    ) -> None:
        self.layer = layer
        self.index = index
        self.module = module
        self.is_leaf = has_no_parts(module)
        self.is_new = is_new  # became a part of the model after the hooks were put on
        self.children = 0  # calls of other modules made by this one
        self.operations: dict[str, int] = {}
        self.stack: tuple[tuple[str, int], ...] = (
            *(parent.stack if parent else ()),
            (layer, index),
        )


class Listener(Protocol):
    """What a watch tells."""

    def begin(self, root: ModuleCall, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Hear that a pass begins, with the arguments of its outermost call."""

    def operation(
        self,
        call: ModuleCall,
        label: str,
        function: Callable[..., Any],
        args: Sequence[Any],
        kwargs: dict[str, Any],
        result: object,
    ) -> None:
        """Hear of a functional call; `label` numbers it within its module call, as "add#1"."""

    def output(self, call: ModuleCall, args: tuple[Any, ...], output: object) -> None:
        """Hear that a module call returned."""

    def recomputed(self, layer: str, output: object) -> None:
        """Hear that a call of the pass was repeated inside the backward pass (checkpointing)."""

    def end(self, completed: bool) -> None:
        """Hear that the pass is over; not completed where its outermost call raised."""


def has_no_parts(module: nn.Module) -> bool:
    """Say whether a module has no submodules but its parametrizations."""
    return all(name == "parametrizations" for name, _ in module.named_children())
