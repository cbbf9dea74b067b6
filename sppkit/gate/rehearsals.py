"""Which seeds of a check are rehearsed, and why others are not."""

from typing import Any

from torch import nn

from sppkit.gate.rehearsal import (
    MOST_SEEDS,
    CannotRehearseError,
    Rehearsal,
    affordable_seeds,
    rehearse,
)
from sppkit.probing.conditions import Conditions
from sppkit.probing.measurement import DEFAULT_BATCH_SIZE


class Rehearsals:
    """The rehearsals of training of the first seeds of a check.

    Args:
        conditions: of the probes.
        wanted: True for as many as are worth their time, a number for that many, False for none.
        has_loss: whether the user gave a loss, which the task of a rehearsal may not suit.
    """

    def __init__(self, conditions: Conditions, wanted: bool | int, *, has_loss: bool) -> None:
        self._conditions = conditions
        self._has_loss = has_loss
        self._most = MOST_SEEDS if wanted is True else int(wanted)
        self._done: dict[int, Rehearsal] = {}
        self._left_out = "" if wanted else "it was asked for without"

    def try_seed(self, model: nn.Module, seed: int, multiplications: int) -> None:
        """Rehearse training with a seed, unless there is a reason not to.

        Args:
            model: as the seed has initialised it; it is left so.
            seed: its number.
            multiplications: of a forward pass, per sample.
        """
        if self._left_out or len(self._done) >= self._most:
            return
        size = multiplications, sum(weight.numel() for weight in model.parameters())
        affordable = affordable_seeds(*size)
        self._left_out = self._reason_against() or ("" if affordable else _too_large(*size))
        is_asked_for = self._most != MOST_SEEDS
        if self._left_out or (len(self._done) >= affordable and not is_asked_for):
            return
        conditions = self._conditions
        batch = conditions.batch(seed, conditions.batch_size or DEFAULT_BATCH_SIZE)
        try:
            self._done[seed] = rehearse(model, batch, seed)
        except CannotRehearseError as error:
            self._left_out = str(error)

    def stated(self) -> dict[str, Any]:
        """Give for the metadata how they went, or why there is none."""
        return {
            "values": {str(seed): rehearsal.as_dict() for seed, rehearsal in self._done.items()},
            "left_out": "" if self._done else self._left_out,
        }

    def _reason_against(self) -> str:
        if self._conditions.mode == "eval":
            return "the network was probed in eval mode"
        if self._has_loss:
            return "a loss was given, which the task made up for it may not suit"
        return ""


def _too_large(multiplications: int, parameters: int) -> str:
    size = f"{multiplications:.2g} multiplications per sample, {parameters:.2g} weights"
    return f"it is too large ({size})"
