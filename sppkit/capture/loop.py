"""Hear a training loop's steps through its optimiser and its gradient scaler."""

from collections.abc import Callable
from typing import Any

import torch


class Loop:
    """Tells when an optimiser is about to step, has stepped, or was made to skip a step.

    An optimiser tells by its own hooks. A `GradScaler` that finds a gradient that is not finite
    does not call the optimiser at all; that shows only when its `update` is called, which is
    therefore wrapped while the loop is heard, on this instance alone.

    Args:
        optimizer: whose steps count.
        scaler: the scaler that steps it, if there is one.
        before: is called right before each step.
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
        self._has_stepped = False
        self._handles: list[torch.utils.hooks.RemovableHandle] = []

    def attach(self) -> None:
        """Start to listen."""
        self._handles = [
            self._optimizer.register_step_pre_hook(lambda *_: self._before_step()),
            self._optimizer.register_step_post_hook(lambda *_: self._after()),
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

    def _before_step(self) -> None:
        self._has_stepped = True
        self._before()
