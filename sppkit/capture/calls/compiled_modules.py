"""What of a model is compiled: find it, look behind it, run it eagerly, refuse what is no Python.

`torch.compile(model)` wraps a module in another one that keeps it as `_orig_mod`; `model.compile()`
gives it another way to be called. In both the Python forward is still there to be traced and
hooked. A scripted, traced or exported model has none.
"""

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import CodeType
from typing import Any

import torch
from torch import nn


def is_wrapper(module: nn.Module) -> bool:
    """Say whether `torch.compile(module)` made this module; torch._dynamo need not be loaded."""
    return "_orig_mod" in module._modules and "_torchdynamo_orig_callable" in vars(module)


def original(module: nn.Module) -> nn.Module:
    """Give the module that was compiled, or the module itself."""
    while is_wrapper(module):
        module = module._modules["_orig_mod"]  # type: ignore[assignment]
    return module


def is_compiled(model: nn.Module) -> bool:
    """Say whether a model, or a part of it, is compiled."""
    return any(is_wrapper(m) or m._compiled_call_impl is not None for m in model.modules())


def compiled_entries(model: nn.Module) -> Iterator[str]:
    """Name the layers whose outputs a hook of ours sees after compiled code has returned them.

    That is what `torch.compile(layer)` wraps; `layer.compile()` includes the hooks of the layer.
    The outermost module is always read from outside. The model is wrapped as its user calls it.
    """
    root = original(model)
    if root is not model or root._compiled_call_impl is not None:
        yield ""
    for name, module in root.named_modules():
        if is_wrapper(module) and name:
            yield ".".join(part for part in name.split(".") if part != "_orig_mod")


def uses_cuda_graphs(model: nn.Module) -> bool:
    """Say whether a compiled part was asked to run as CUDA graphs, as "reduce-overhead" does."""
    return any(config.get("triton.cudagraphs") for config in _compiler_configs(model))


def _compiler_configs(model: nn.Module) -> Iterator[dict[str, object]]:
    for module in model.modules():
        source = module if is_wrapper(module) else module._compiled_call_impl
        ask = getattr(source, "get_compiler_config", None)
        if ask is not None:
            yield ask() or {}


@contextmanager
def originals_in_place(model: nn.Module) -> Iterator[None]:
    """Put the original modules in the places of compiled children: their names are those of eager.

    Inside the block `named_modules()` shows no `_orig_mod`.
    """
    parents = [module for module in model.modules() if not is_wrapper(module)]
    wrappers = [
        (parent, name, child)
        for parent in parents
        for name, child in parent._modules.items()
        if child is not None and is_wrapper(child)
    ]
    try:
        for parent, name, child in wrappers:
            parent._modules[name] = original(child)
        yield
    finally:
        for parent, name, child in wrappers:
            parent._modules[name] = child


@contextmanager
def run_eagerly(model: nn.Module) -> Iterator[None]:
    """Run no compiled code inside the block; a model without compiled parts is left alone."""
    with ExitStack() as stack:
        if is_compiled(model):
            stack.enter_context(originals_in_place(model))
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        yield


def was_called(model: nn.Module) -> bool:
    """Say whether compiled code exists that a call of this model may run.

    Compiled code belongs to functions, not to modules: that of a forward serves every instance of
    the class. By default torch does not compile again where hooks were added since.
    """
    entries = getattr(torch._C._dynamo.eval_frame, "_debug_get_cache_entry_list", None)
    return entries is not None and any(entries(code) for code in _codes(model))


def _codes(model: nn.Module) -> set[CodeType]:
    """Collect the code objects by which compiled code of a model is found."""
    from torch._dynamo.external_utils import wrap_inline

    functions: set[Callable[..., Any]] = {type(module).forward for module in model.modules()}
    if any(module._compiled_call_impl is not None for module in model.modules()):
        functions.add(nn.Module._call_impl)
    if any(is_wrapper(module) for module in model.modules()):
        functions.add(wrap_inline(len))
    return {f.__code__ for f in functions if hasattr(f, "__code__")}


def forget_compiled_code() -> None:
    """Make every compiled function compile again at its next call, now with the hooks in sight."""
    import torch._dynamo

    torch._dynamo.reset()


def refuse_without_forward(model: nn.Module) -> None:
    """Refuse models whose Python forward is gone.

    Raises:
        TypeError: the model was scripted, traced or exported.
    """
    kind = _kind_without_forward(model)
    if kind:
        raise TypeError(
            f"{type(model).__name__} is {kind}: its operations run without the calls of modules "
            "that hooks listen to. Record the module that it was made from."
        )


def _kind_without_forward(model: nn.Module) -> str | None:
    if isinstance(model, torch.jit.ScriptModule):
        return "made by torch.jit.trace or torch.jit.script"
    if isinstance(model, torch.fx.GraphModule) and any(
        isinstance(node.target, torch._ops.OpOverload) for node in model.graph.nodes
    ):
        return "a graph of operators, as torch.export makes it"
    return None


def warn(message: str) -> None:
    """Warn at the line of the user's that led here, behind the frames of sppkit and torch."""
    ours = tuple(str(Path(module.__file__).parent) for module in (sys.modules["sppkit"], torch))  # type: ignore[arg-type]
    frame, level = sys._getframe(1), 2
    while frame.f_back and frame.f_code.co_filename.startswith((*ours, "<")):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, UserWarning, stacklevel=level)
