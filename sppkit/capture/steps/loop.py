"""Hear a training loop's steps through its optimiser and its gradient scaler."""

from collections.abc import Callable
from typing import Any

import torch


class Loop:
    """Tells when an optimiser is about to step, has stepped, or was made to skip a step.

    An optimiser tells by its own hooks. A `GradScaler` that finds a gradient that is not finite
    does not call the optimiser at all; that shows only when its `update` is called, which is
    therefore wrapped while the loop is heard, on this instance alone. An optimiser that is handed a
    closure runs forward and backward pass inside of its step, as those of Lightning and LBFGS do:
    then "before" is when the closure has been called for the first time.

    Args:
        optimizer: whose steps count.
        scaler: the scaler that steps it, if there is one.
        before: is called right before each step, when its gradients are there.
        after: is called right after each step.
        skipped: is called in place of both for a skipped step.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        scaler: torch.amp.GradScaler | None,
        *,
        before: Callable[[], None],
        after: Callable[[], None],
        skipped: Callable[[], None],
    ) -> None:
        self._optimizer, self._scaler = optimizer, scaler
        self._before, self._after, self._skipped = before, after, skipped
        self._has_stepped = self._awaits_closure = False
        self._handles: list[torch.utils.hooks.RemovableHandle] = []

    def attach(self) -> None:
        """Start to listen."""
        self._handles = [
            self._optimizer.register_step_pre_hook(self._before_step),
            self._optimizer.register_step_post_hook(lambda *_: self._after_step()),
        ]
        if self._scaler is not None:
            update = self._scaler.update

            def update_and_tell(*arguments: Any, **keywords: Any) -> None:
                if not self._has_stepped:
                    self._skipped()
                self._has_stepped = False
                update(*arguments, **keywords)

            self._scaler.update = update_and_tell  # type: ignore[method-assign]

    def detach(self) -> None:
        """Stop to listen; optimiser and scaler are as they were."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        if self._scaler is not None:
            self._scaler.__dict__.pop("update", None)

    @property
    def scale(self) -> float:
        """The factor that the loss of this step was multiplied with; 1 without a scaler."""
        return 1.0 if self._scaler is None else float(self._scaler.get_scale())

    @property
    def has_unscaled(self) -> bool:
        """Whether the scaler has already divided the weight gradients of this step."""
        if self._scaler is None:
            return True
        state = self._scaler._per_optimizer_states[id(self._optimizer)]
        return bool(state["found_inf_per_device"])

    def _before_step(
        self, _: torch.optim.Optimizer, arguments: tuple[Any, ...], keywords: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        """Tell that a step begins; where it begins with a closure, when that has returned."""
        self._has_stepped, self._awaits_closure = True, True
        if callable(keywords.get("closure")):
            return arguments, {**keywords, "closure": self._heard(keywords["closure"])}
        if len(arguments) > 1 and callable(arguments[1]):
            return (arguments[0], self._heard(arguments[1]), *arguments[2:]), keywords
        self._tell_before()
        return None

    def _heard(self, closure: Callable[[], Any]) -> Callable[[], Any]:
        def call_and_tell() -> Any:
            result = closure()
            self._tell_before()
            return result

        return call_and_tell

    def _tell_before(self) -> None:
        if self._awaits_closure:
            self._awaits_closure = False
            self._before()

    def _after_step(self) -> None:
        self._tell_before()  # the optimiser has not called its closure
        self._after()
