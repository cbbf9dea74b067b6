"""Read the parameters of a step that goes as planned, without a walk over the modules."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple, Self

from torch import Tensor, nn

from sppkit.capture.calls.places import Point
from sppkit.capture.planning.options import Options
from sppkit.capture.planning.parameters import has_effective_weight, is_sharded, parameter_readings
from sppkit.capture.planning.plan import Pass, Plan
from sppkit.capture.planning.sheets import Slot
from sppkit.capture.tensors.channel_axis import is_quantised
from sppkit.capture.writing.weight_gradients import WeightGradientHook, WeightGradients
from sppkit.signals import Signal


class _Planned(NamedTuple):
    """One parameter that is read, and where it is kept."""

    owner: Mapping[str, Tensor | None]
    key: str
    parameter: Tensor
    slot: Slot | None
    hook: WeightGradientHook | None


class PlannedParameters:
    """The parameters of a model that stay the same objects from step to step.

    Args:
        parameters: all that are read.
        is_clipped_read: whether gradients that were changed since are read again.
    """

    def __init__(self, parameters: list[_Planned], is_clipped_read: bool) -> None:
        self._parameters = parameters
        self._is_clipped_read = is_clipped_read

    @classmethod
    def of(
        cls, model: nn.Module, options: Options, plan: Plan, gradients: WeightGradients
    ) -> Self | None:
        """List the parameters; None where one of them is more than a plain tensor of its layer."""
        modules = [(n, m) for n, m in model.named_modules() if options.layer(n)]
        if any(has_effective_weight(m) or is_quantised(m) or is_sharded(m) for _, m in modules):
            return None
        parameters = list(_planned(model, options, plan, gradients))
        is_clipped_read = Signal.CLIPPED_WEIGHT_GRADIENT in options.signals
        whole = [p for p in parameters if p is not None]
        return cls(whole, is_clipped_read) if len(whole) == len(parameters) else None

    @property
    def are_current(self) -> bool:
        """Whether the layers still have these parameters."""
        return all(p.owner.get(p.key) is p.parameter for p in self._parameters)

    def read(self, written: Pass) -> bool:
        """Write the weights; False where something is not as planned, and has to be looked at.

        Their gradients have been written in the backward pass.
        """
        for owner, key, parameter, slot, hook in self._parameters:
            gradient = parameter.grad
            if owner.get(key) is not parameter:
                return False
            if gradient is not None and (hook is None or not self._is_read(hook, gradient)):
                return False
            if slot is not None and not written.write_planned(slot, parameter):
                return False
        return True

    def _is_read(self, hook: WeightGradientHook, gradient: Tensor) -> bool:
        """Say whether a gradient was read in the backward pass, and need not be read again."""
        return hook.seen is not None and not (self._is_clipped_read and hook.was_changed(gradient))


def _planned(
    model: nn.Module, options: Options, plan: Plan, gradients: WeightGradients
) -> Iterator[_Planned | None]:
    reads_weights = Signal.WEIGHT in options.signals
    modules = dict(model.named_modules())
    for point, parameter, _, alias in parameter_readings(
        model, frozenset({Signal.WEIGHT}), options.layer
    ):
        slot = plan.slots.get(point)
        if alias:
            continue
        if type(parameter) is not nn.Parameter or (reads_weights and not (slot and not slot.flags)):
            yield None
            continue
        hook = gradients.hooks.get(Point(point.place, Signal.WEIGHT_GRADIENT))
        owner, key = modules[point.place.layer]._parameters, point.place.tensor
        yield _Planned(owner, key, parameter, slot if reads_weights else None, hook)
