"""A place around the outermost call of a model, where no compiled code runs yet."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from sppkit.capture.calls.regions import is_recomputation


class Gate:
    """Stands before the outermost call of a model, outside of compiled code.

    A module looks for `_compiled_call_impl` before it runs its own hooks, so that this is a place
    around wrapped, compiled and eager modules alike, and one that copies and pickles leave out.
    """

    def __init__(
        self,
        module: nn.Module,
        before: Callable[[tuple[Any, ...], dict[str, Any]], bool],
        after: Callable[[object], None],
    ) -> None:
        self._module = module
        self._before, self._after = before, after
        self._found = vars(module).get("_compiled_call_impl")
        vars(module)["_compiled_call_impl"] = self

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Make the call that was asked for."""
        call = self._found or self._module._call_impl
        if torch.compiler.is_compiling() or is_recomputation() or not self._before(args, kwargs):
            return call(*args, **kwargs)
        output = call(*args, **kwargs)
        self._after(output)
        return output

    def remove(self) -> None:
        """Put back what was there, unless someone else has replaced it since."""
        if vars(self._module).get("_compiled_call_impl") is not self:
            return
        del vars(self._module)["_compiled_call_impl"]
        if self._found is not None:
            vars(self._module)["_compiled_call_impl"] = self._found
