"""Read a part of the layers in each recorded step, turn by turn, so that a step costs less.

The first recorded step is traced and read whole; from then on each one reads the layers whose turn
it is, in their order of execution, and hooks no others. A layer's parameters go with its turn.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from torch import nn

from sppkit.capture.planning.options import Options
from sppkit.capture.planning.parameters import stored_parameters
from sppkit.capture.planning.plan import Plan


@dataclass
class PartOfPlan(Plan):
    """The places of a plan whose turn it is; there may be none, where only parameters are read."""

    @property
    def is_made(self) -> bool:
        """A part is always one of a plan that has been made."""
        return True


class Turn(NamedTuple):
    """What is read in one step.

    Attributes:
        plan: the places to write.
        options: of the layers that are read.
        hooked: names of the layers to hook; None for all of them.
    """

    plan: Plan
    options: Options
    hooked: set[str] | None


class Turns:
    """Whose turn it is.

    Args:
        layers_per_step: how many layers are read in a step.
    """

    def __init__(self, layers_per_step: int) -> None:
        self._size = layers_per_step
        self._step: int | None = None
        self._number = -1
        self._made: dict[int, tuple[int, Turn]] = {}
        self._plan: Plan | None = None
        self._groups: list[set[str]] = []

    def begin(self, step: int) -> None:
        """Go on to the next turn, unless it is the same step that begins once more."""
        self._number += step != self._step
        self._step = step

    def turn(self, plan: Plan, options: Options, model: nn.Module) -> Turn:
        """Give what is read in this step, by a plan that has been made."""
        if plan is not self._plan:
            self._plan, self._made = plan, {}
            self._groups = groups_of_layers(plan, options, model, self._size)
        index = (self._number - 1) % max(len(self._groups), 1)
        slots, made = self._made.get(index, (-1, None))
        if made is None or slots != len(plan.slots):  # slots come when the first step ends
            due = self._groups[index] if self._groups else set()
            made = _make_turn(plan, options, model, due)
            self._made[index] = len(plan.slots), made
        return made

    def remark(self, plan: Plan, options: Options, model: nn.Module) -> str:
        """Say how often a layer is read."""
        groups = groups_of_layers(plan, options, model, self._size)
        return (
            f"read turn by turn (layers_per_step={self._size}): each recorded step after the first "
            f"has rows of a part of the layers, and {len(groups)} steps have all of them"
        )


def groups_of_layers(plan: Plan, options: Options, model: nn.Module, size: int) -> list[set[str]]:
    """Divide the layers into turns, in order of execution.

    What has parameters and no place of its own (parametrizations, the projection inside an
    attention) goes with the nearest layer around it, else it takes a turn like the others.
    """
    placed = dict.fromkeys(place.layer for place in plan.axes)
    followers: dict[str, list[str]] = {}
    for name, module in model.named_modules():
        if name not in placed and options.layer(name) and stored_parameters(module):
            leader = next((outer for outer in _around(name) if outer in placed), name)
            followers.setdefault(leader, []).append(name)
    leaders = list(dict.fromkeys([*placed, *followers]))
    groups = [leaders[start : start + size] for start in range(0, len(leaders), size)]
    return [
        {*group, *(name for leader in group for name in followers.get(leader, ()))}
        for group in groups
    ]


def _around(name: str) -> Iterator[str]:
    """Name the modules around one, from the inside, without the root."""
    while name := name.rpartition(".")[0]:
        yield name


def _make_turn(plan: Plan, options: Options, model: nn.Module, due: set[str]) -> Turn:
    names = {name for name, _ in model.named_modules()}
    called = {row["layer"] for row in plan.structure if row["calls"]}
    part = PartOfPlan(
        plan.extended,
        axes={place: axis for place, axis in plan.axes.items() if place.layer in due},
        dimensions=plan.dimensions,
        leaves=plan.leaves,
        depths=plan.depths,
        taps=plan.taps,
        structure=plan.structure,
        known=frozenset((called - due) | plan.callees.keys()),
    )
    for point, slot in plan.slots.items():
        if point.place.layer in due:
            part.add(point, slot)
    resting = frozenset((called | _with_parameters(model)) - due)
    is_whole = "" in called  # else the calls of inner modules are passes, and all must be seen
    hooked = _to_hook(part, plan, names) | (names - called) if is_whole else None
    return Turn(part, replace(options, resting=resting), hooked)


def _with_parameters(model: nn.Module) -> set[str]:
    return {name for name, module in model.named_modules() if stored_parameters(module)}


def _to_hook(part: Plan, plan: Plan, names: set[str]) -> set[str]:
    """Name the layers with a place, and those that must not be taken for a part of their caller.

    The functional calls of a layer are numbered, and those inside the modules it calls are theirs.
    """
    numbered = {place.layer for place in part.axes if place.operation}
    inside = {name for name in names if name.rpartition(".")[0] in numbered}
    called = {name for layer in numbered for name in plan.callees.get(layer, ())}
    return {place.layer for place in part.axes} | inside | called
