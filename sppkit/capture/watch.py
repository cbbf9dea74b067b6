"""Follow the calls of a model's modules, and of functions between them, and tell listeners.

Module hooks keep a stack of the calls under way; a `TorchFunctionMode`, where asked for, names the
functional calls that run inside them. One *pass* is everything between the first module entered and
its return. Nothing here knows what listeners do with what they hear.
"""

import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils.hooks import RemovableHandle

_ALIASES = {
    **dict.fromkeys(("iadd", "radd"), "add"),
    **dict.fromkeys(("isub", "rsub", "subtract"), "sub"),
    **dict.fromkeys(("imul", "rmul", "multiply"), "mul"),
    **dict.fromkeys(("idiv", "itruediv", "truediv", "rdiv", "true_divide", "divide"), "div"),
    **dict.fromkeys(("imatmul", "rmatmul"), "matmul"),
}


class ModuleCall:
    """One call of one module, while it is under way."""

    __slots__ = ("children", "index", "is_leaf", "layer", "module", "operations", "stack")

    def __init__(
        self, layer: str, index: int, module: nn.Module, parent: "ModuleCall | None"
    ) -> None:
        self.layer = layer
        self.index = index
        self.module = module
        self.is_leaf = has_no_parts(module)
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

    def end(self, completed: bool) -> None:
        """Hear that the pass is over; not completed where its outermost call raised."""


def has_no_parts(module: nn.Module) -> bool:
    """Say whether a module has no submodules but its parametrizations."""
    return all(name == "parametrizations" for name, _ in module.named_children())


def canonical_name(function: Callable[..., Any]) -> str:
    """Give one name to all spellings of an operation.

    >>> canonical_name(torch.Tensor.add_), canonical_name(torch.Tensor.__rsub__)
    ('add', 'sub')
    """
    name: str = getattr(function, "__name__", type(function).__name__)
    if name == "__get__":  # a property of the tensor, such as `.T`
        return str(getattr(getattr(function, "__self__", None), "__name__", name))
    if name.startswith("__"):
        name = name.strip("_")
    elif not name.startswith("_"):
        name = name.rstrip("_")
    return _ALIASES.get(name, name)


class Watch:
    """Hooks on a model's modules that tell listeners of each call.

    Args:
        model: the model; only a weak reference is kept.
        listeners: told in order.
        operations: tell of functional calls too.
        on_fault: is told where and why a listener failed; the user's forward goes on.

    Attributes:
        was_compiled: whether a call ran in compiled code, which tells the listeners nothing.
    """

    def __init__(
        self,
        model: nn.Module,
        listeners: Sequence[Listener],
        *,
        operations: bool,
        on_fault: Callable[[str, Exception], None],
    ) -> None:
        self._model = weakref.ref(model)
        self._names = {id(module): name for name, module in model.named_modules()}
        self._listeners = tuple(listeners)
        self._mode = _OperationMode(self) if operations else None
        self._on_fault = on_fault
        self._handles: list[RemovableHandle] = []
        self._stack: list[ModuleCall] = []
        self._calls: dict[str, int] = {}
        self._mode_entered = False
        self.was_compiled = False

    def attach(self, layers: Iterable[str] | None = None) -> None:
        """Hook the modules named, or all but parametrizations (they fire at every access)."""
        model = self._model()
        if model is None:
            return
        wanted = None if layers is None else {*layers, ""}
        for name, module in model.named_modules():
            if "parametrizations" in name.split(".") or not (wanted is None or name in wanted):
                continue
            enter = module.register_forward_pre_hook(_Enter(self), with_kwargs=True)
            leave = module.register_forward_hook(_Leave(self), always_call=True)
            self._handles += [enter, leave]

    def detach(self) -> None:
        """Remove every hook; leave the function mode where an interrupt left it entered."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        if self._stack:
            self._finish(completed=False)

    def enter(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Put a module call on the stack; the outermost one begins a pass."""
        if is_recomputation():
            return
        layer = self._names.get(id(module), "")
        parent = self._stack[-1] if self._stack else None
        if parent:
            parent.children += 1
        call = ModuleCall(layer, self._calls.get(layer, 0), module, parent)
        self._calls[layer] = call.index + 1
        self._stack.append(call)
        if parent is None:
            self._tell("begin", call, args, kwargs)
            if self._mode:
                self._mode.__enter__()  # type: ignore[no-untyped-call]
                self._mode_entered = True

    def leave(self, module: nn.Module, args: tuple[Any, ...], output: object) -> None:
        """Take a module call off the stack and tell of its output."""
        if is_recomputation() or not any(call.module is module for call in self._stack):
            return
        while self._stack[-1].module is not module:
            self._stack.pop()  # calls that an exception cut short
        call = self._stack[-1]
        if output is not None:
            with torch._C.DisableTorchFunction():
                self._tell("output", call, args, output)
        if len(self._stack) == 1:
            self._finish(completed=output is not None)
        else:
            self._stack.pop()

    def operate(
        self,
        function: Callable[..., Any],
        args: Sequence[Any],
        kwargs: dict[str, Any],
        result: object,
    ) -> None:
        """Number a functional call within the module call under way and tell of it."""
        if not self._stack or not (
            isinstance(result, torch.Tensor | tuple | list) or function is torch.Tensor.__setitem__
        ):
            return
        call = self._stack[-1]
        name = canonical_name(function)
        call.operations[name] = call.operations.get(name, 0) + 1
        self._tell(
            "operation", call, f"{name}#{call.operations[name]}", function, args, kwargs, result
        )

    def _finish(self, completed: bool) -> None:
        if self._mode and self._mode_entered:
            self._mode_entered = False
            self._mode.__exit__(None, None, None)  # type: ignore[no-untyped-call]
        self._stack.clear()
        self._calls.clear()
        self._tell("end", completed)

    def _tell(self, event: str, *details: Any) -> None:
        """Tell the listeners; a fault of ours must never become a fault of the user's forward."""
        for listener in self._listeners:
            try:
                getattr(listener, event)(*details)
            except Exception as error:
                self._on_fault(self._stack[-1].layer if self._stack else "", error)


def is_recomputation() -> bool:
    """Say whether a backward pass is running: a forward inside it repeats a checkpointed one."""
    return torch._C._current_graph_task_id() != -1


class _OperationMode(TorchFunctionMode):
    def __init__(self, watch: Watch) -> None:
        super().__init__()
        self._watch = watch

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if torch.compiler.is_compiling():
            return result
        self._watch.operate(func, args, kwargs or {}, result)
        return result


class _Hook:
    """A hook that a copied or pickled model carries along as one that does nothing."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    def __deepcopy__(self, memo: object) -> Callable[..., None]:
        return inert

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[()]]:
        return _inert_hook, ()


class _Enter(_Hook):
    def __call__(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if torch.compiler.is_compiling():
            self._watch.was_compiled = True
        else:
            self._watch.enter(module, args, kwargs)


class _Leave(_Hook):
    def __call__(self, module: nn.Module, args: tuple[Any, ...], output: object) -> None:
        if not torch.compiler.is_compiling():
            self._watch.leave(module, args, output)


def inert(*_: object) -> None:
    """Stand in for a hook of ours in a copy of the model."""


def _inert_hook() -> Callable[..., None]:
    return inert
