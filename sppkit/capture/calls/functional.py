"""Hear of functional calls, by a function mode that nobody notices; one name for each operation."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Self

import torch
from torch.overrides import TorchFunctionMode

Operate = Callable[[Callable[..., Any], Sequence[Any], dict[str, Any], object], None]

_ALIASES = {
    **dict.fromkeys(("iadd", "radd"), "add"),
    **dict.fromkeys(("isub", "rsub", "subtract"), "sub"),
    **dict.fromkeys(("imul", "rmul", "multiply"), "mul"),
    **dict.fromkeys(("idiv", "itruediv", "truediv", "rdiv", "true_divide", "divide"), "div"),
    **dict.fromkeys(("imatmul", "rmatmul"), "matmul"),
    "_threshold": "threshold",
    "log_sigmoid": "logsigmoid",
}


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


class OperationMode(TorchFunctionMode):
    """Hand every functional call, with its result, to a listener, and change nothing.

    Args:
        operate: hears of a function, its arguments and its result.
    """

    def __init__(self, operate: Operate) -> None:
        super().__init__()
        self._operate = operate

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
        self._operate(func, args, kwargs or {}, result)
        return result

    def __enter__(self) -> Self:
        torch.overrides.has_torch_function = _someone_else_overrides
        return super().__enter__()  # type: ignore[no-untyped-call, no-any-return]

    def __exit__(self, *details: object) -> None:
        super().__exit__(*details)  # type: ignore[no-untyped-call]
        if not any(isinstance(mode, OperationMode) for mode in _modes()):
            torch.overrides.has_torch_function = _has_torch_function


_has_torch_function = torch.overrides.has_torch_function


def _modes() -> list[object]:
    stack = range(torch._C._len_torch_function_stack())
    return [torch._C._get_function_stack_at(level) for level in stack]


def _someone_else_overrides(args: Iterable[Any]) -> bool:
    """Answer `has_torch_function` as if we were not there.

    nn.TransformerEncoder and nn.MultiheadAttention ask it whether to take their fused paths, one of
    which leaves zeros at padded positions: a traced pass must return what any other one returns.
    """
    if not all(isinstance(mode, OperationMode) for mode in _modes()):
        return bool(_has_torch_function(args))
    kinds = {type(argument) for argument in args} - {torch.Tensor}
    none = torch._C._disabled_torch_function_impl
    return any(getattr(kind, "__torch_function__", none) is not none for kind in kinds)
