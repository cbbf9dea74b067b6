"""Follow the calls of a model's modules, and of functions between them, and tell listeners.

Module hooks keep a stack of the calls under way; a `TorchFunctionMode`, where asked for, names the
functional calls that run inside them. One *pass* is everything between the first module entered and
its return. Nothing here knows what listeners do with what they hear.
"""

import threading
import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from sppkit.capture.calls.depth import probe_depth
from sppkit.capture.calls.functional import OperationMode, canonical_name
from sppkit.capture.calls.module_call import Listener, ModuleCall
from sppkit.capture.calls.module_tree import ModuleTree
from sppkit.capture.calls.regions import is_recomputation, opaque_region


class Watch:
    """Hooks on a model's modules that tell listeners of each call.

    Args:
        model: the model; only a weak reference is kept.
        listeners: told in order.
        operations: tell of functional calls too.
        on_missing: is told where and why something goes unrecorded; the user's forward goes on.

    Passes of several threads at once cannot be told apart by their hooks: the first thread to begin
    one is heard, calls in others meanwhile are not.

    Attributes:
        was_compiled: whether a call ran in compiled code, which tells the listeners nothing.
        is_resting: whether calls are passed over, with the hooks in their places.
    """

    def __init__(
        self,
        model: nn.Module,
        listeners: Sequence[Listener],
        *,
        operations: bool,
        on_missing: Callable[[str, str], None],
    ) -> None:
        self._model = weakref.ref(model)
        self._tree: ModuleTree | None = None
        self._listeners = tuple(listeners)
        self._mode = OperationMode(self.operate) if operations else None
        self._on_missing = on_missing
        self._handles: list[RemovableHandle] = []
        self._leaving: list[tuple[nn.Module, RemovableHandle]] = []
        self._hooked: list[tuple[nn.Module, Hook | None, Hook]] = []
        self._stack: list[ModuleCall] = []
        self._calls: dict[str, int] = {}
        self._mode_entered = False
        self._thread: int | None = None
        self._lock = threading.Lock()
        self._skipped = _Skipped()
        self.was_compiled = False
        self.is_resting = False
        self._depth = probe_depth()

    def attach(self, layers: Iterable[str] | None = None) -> None:
        """Hook the modules named, or all but parametrizations (they fire at every access)."""
        model = self._model()
        if model is None:
            return
        self._tree = ModuleTree(model)
        wanted = None if layers is None else {*layers, ""}
        for name, module in self._tree.named:
            if wanted is None or name in wanted:
                self._hook(name, module, is_new=False)

    def _hook(self, name: str, module: nn.Module, *, is_new: bool) -> None:
        if not can_be_hooked(name, module):
            return
        self._put_on(module, _Enter(self, name, is_new), _Leave(self, name, is_new))

    def _put_on(self, module: nn.Module, enter: "Hook | None", leave: "Hook") -> None:
        """Put hooks on a module, to be put on again by `resume`."""
        self._hooked.append((module, enter, leave))
        self._register(module, enter, leave)

    def _register(self, module: nn.Module, enter: "Hook | None", leave: "Hook") -> None:
        leaving = leave.put_on(module)
        self._handles.append(leaving)
        self._leaving.append((module, leaving))
        if enter is not None:
            self._handles.append(enter.put_on(module))

    def _catch_up(self) -> None:
        """Before a pass: hook what is new or renamed, and be the last to see the outputs.

        Hooks of others may replace an output; what flows on is what the last one returned.
        """
        model = self._model()
        if model is not None and self._tree and not self._tree.is_current():
            try:
                self._hook_again(model)
            except Exception as error:  # must never become a fault of the user's forward
                self._on_missing("", _describe(error))
        for module, handle in self._leaving:
            hooks = module._forward_hooks
            if len(hooks) > 1 and handle.id in hooks and next(reversed(hooks)) != handle.id:
                hooks.move_to_end(handle.id)  # type: ignore[attr-defined]

    def _hook_again(self, model: nn.Module) -> None:
        """Hook every module under the name it has now."""
        before = {id(module): name for name, module in self._tree.named} if self._tree else {}
        self._remove_hooks()
        self._tree = ModuleTree(model)
        for name, module in self._tree.named:
            self._hook(name, module, is_new=before.get(id(module)) != name)

    def _remove_hooks(self) -> None:
        self._take_off()
        self._hooked.clear()

    def _take_off(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self._leaving.clear()

    @property
    def is_in_place(self) -> bool:
        """Whether the model has the modules that were hooked, no others, and no hook was lost."""
        return (
            self._tree is not None
            and self._tree.is_current()
            and all(handle.id in (handle.hooks_dict_ref() or ()) for handle in self._handles)
        )

    def detach(self) -> None:
        """Remove every hook; leave the function mode where an interrupt left it entered."""
        self._remove_hooks()
        self._tree = None
        self.rest()

    def rest(self, *, hooks_stay: bool = True) -> None:
        """Pass over all calls until `resume`; a pass under way ends here."""
        self.is_resting = True
        if not hooks_stay:
            self._take_off()
        if self._stack:
            self._finish(completed=False)

    def resume(self) -> None:
        """Hear of calls again, through the same hooks as before."""
        self.is_resting = False
        if not self._handles:
            for hooked in self._hooked:
                self._register(*hooked)

    def enter(
        self,
        layer: str,
        module: nn.Module,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        is_new: bool = False,
    ) -> None:
        """Put a module call on the stack; the outermost one begins a pass."""
        if self.is_resting or is_recomputation() or self._depth != probe_depth():
            return
        if self._skips(layer, module):
            return
        parent = self._stack[-1] if self._stack else None
        if parent:
            parent.children += 1
        else:
            self._catch_up()
        call = ModuleCall(layer, self._calls.get(layer, 0), module, parent, is_new)
        self._calls[layer] = call.index + 1
        self._stack.append(call)
        if parent is None:
            self._tell("begin", call, args, kwargs)
            if self._mode:
                self._mode.__enter__()
                self._mode_entered = True

    def leave(self, layer: str, module: nn.Module, args: tuple[Any, ...], output: object) -> None:
        """Take a module call off the stack and tell of its output."""
        if self._skipped.leave(module):
            return
        if is_recomputation():
            if self._depth == probe_depth():
                self._tell("recomputed", layer, output)
            return
        if not any(call.module is module for call in self._stack):
            return
        while self._stack[-1].module is not module:
            self._stack.pop()  # calls that an exception cut short
        call = self._stack[-1]
        if output is not None:
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
        if (
            not self._stack
            or opaque_region()
            or not (
                isinstance(result, torch.Tensor | tuple | list)
                or function is torch.Tensor.__setitem__
            )
        ):
            return
        call = self._stack[-1]
        name = canonical_name(function)
        call.operations[name] = call.operations.get(name, 0) + 1
        self._tell(
            "operation", call, f"{name}#{call.operations[name]}", function, args, kwargs, result
        )

    def _skips(self, layer: str, module: nn.Module) -> bool:
        """Pass over a call that cannot be recorded, with all the calls inside it; say why once."""
        if not self._skipped.calls:
            reason = opaque_region() or self._other_thread()
            if not reason:
                return False
            self._on_missing(layer, reason)
        self._skipped.calls.append(module)
        return True

    def _other_thread(self) -> str | None:
        """Take the pass for this thread, or say that another one has it."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.get_ident()
            if self._thread == threading.get_ident():
                return None
        return "several threads called it at once: of such calls one is recorded"

    def _finish(self, completed: bool) -> None:
        if self._mode and self._mode_entered and self._thread == threading.get_ident():
            self._mode.__exit__(None, None, None)
        self._mode_entered = False
        self._stack.clear()
        self._calls.clear()
        self._tell("end", completed)
        self._thread = None

    def _tell(self, event: str, *details: Any) -> None:
        """Tell the listeners; a fault of ours must never become a fault of the user's forward."""
        with torch._C.DisableTorchFunction():  # another recorder must not hear our operations
            for listener in self._listeners:
                try:
                    getattr(listener, event)(*details)
                except Exception as error:
                    layer = self._stack[-1].layer if self._stack else ""
                    self._on_missing(layer, _describe(error))


def _describe(error: Exception) -> str:
    return f"recording it failed: {type(error).__name__}: {error}"


def can_be_hooked(name: str, module: nn.Module) -> bool:
    """Pass over parametrizations, which fire at every access, and scripted modules."""
    return "parametrizations" not in name.split(".") and not isinstance(
        module, torch.jit.ScriptModule
    )


class _Skipped(threading.local):
    """The module calls under way in one thread that are not recorded."""

    def __init__(self) -> None:
        self.calls: list[nn.Module] = []

    def leave(self, module: nn.Module) -> bool:
        """Take a call off; calls that an exception cut short go with it."""
        if not any(call is module for call in self.calls):
            return False
        while self.calls.pop() is not module:
            pass
        return True


class Hook:
    """A hook that a copied or pickled model carries along as one that does nothing."""

    def __init__(self, watch: Watch, layer: str, is_new: bool) -> None:
        self._watch = watch
        self._layer = layer  # kept here, since a shallow copy of a module shares its hooks
        self._is_new = is_new

    def put_on(self, module: nn.Module) -> RemovableHandle:
        """Register it with a module."""
        raise NotImplementedError

    def __call__(self, module: nn.Module, *details: Any) -> None:
        """Hear of a call; its output goes on as it is."""
        raise NotImplementedError

    def __deepcopy__(self, memo: object) -> Callable[..., None]:
        return inert

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[()]]:
        return _inert_hook, ()


class _Enter(Hook):
    def put_on(self, module: nn.Module) -> RemovableHandle:
        return module.register_forward_pre_hook(self, with_kwargs=True)

    def __call__(self, module: nn.Module, *details: Any) -> None:
        args, kwargs = details
        if torch.compiler.is_compiling():
            self._watch.was_compiled = True
        else:
            self._watch.enter(self._layer, module, args, kwargs, self._is_new)


class _Leave(Hook):
    def put_on(self, module: nn.Module) -> RemovableHandle:
        return module.register_forward_hook(self, always_call=True)

    def __call__(self, module: nn.Module, *details: Any) -> None:
        args, output = details
        if not torch.compiler.is_compiling():
            self._watch.leave(self._layer, module, args, output)


def inert(*_: object) -> None:
    """Stand in for a hook of ours in a copy of the model."""


def _inert_hook() -> Callable[..., None]:
    return inert
