"""Read weight gradients as the backward pass leaves them, before anything clips them."""

import weakref
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from sppkit.capture.calls.depth import probe_depth
from sppkit.capture.calls.places import Point
from sppkit.capture.planning.options import Options
from sppkit.capture.planning.parameters import parameter_readings
from sppkit.capture.planning.plan import Pass, Plan
from sppkit.capture.planning.sheets import Slot
from sppkit.capture.tensors.readable import readable
from sppkit.signals import Signal

_Seen = tuple[weakref.ref[torch.Tensor], int]


class WeightGradients:
    """Hooks on parameters that write each gradient when it has been accumulated.

    With gradient accumulation a later backward pass writes again, so that what stays is the sum
    that the optimiser will see. A gradient that was written to since (by clipping, by unscaling) is
    told by its version.

    In a process group gradients are averaged after they were accumulated; there the hooks stay
    away, and gradients are read at the end of the step, as they are then.
    """

    def __init__(self, model: nn.Module, options: Options, plan: Plan, written: Pass) -> None:
        self.hooks: dict[Point, WeightGradientHook] = {}
        self._plan, self._written = plan, written
        self._handles: list[Any] = []
        self._hooked: list[tuple[nn.Parameter, WeightGradientHook]] = []
        if Signal.WEIGHT_GRADIENT not in options.signals or _averages():
            return
        weights = parameter_readings(model, frozenset({Signal.WEIGHT}), options.layer)
        for point, parameter, axis, alias in weights:
            if alias or not isinstance(parameter, nn.Parameter) or is_lazy(parameter):
                continue
            if parameter.requires_grad:
                point = Point(point.place, Signal.WEIGHT_GRADIENT)
                hook = self.hooks[point] = WeightGradientHook(self, point, axis)
                self._hooked.append((parameter, hook))
        self._put_on()

    def _put_on(self) -> None:
        for parameter, hook in self._hooked:
            self._handles.append(parameter.register_post_accumulate_grad_hook(hook))

    def restart(self, written: Pass) -> None:
        """Write to another pass from now on, through the same hooks."""
        self._written = written
        for hook in self.hooks.values():
            hook.seen = None
        if not self._handles:
            self._put_on()

    def detach(self) -> None:
        """Take the hooks off."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def was_read(self, point: Point) -> bool:
        """Whether a gradient was read when it was accumulated."""
        hook = self.hooks.get(point)
        return hook is not None and hook.seen is not None

    def was_changed(self, point: Point, gradient: torch.Tensor) -> bool:
        """Whether something has written to a gradient, or replaced it, since it was read."""
        return self.hooks[point].was_changed(gradient)

    def read(self, hook: "WeightGradientHook", gradient: torch.Tensor) -> None:
        """Write a gradient to its slot; one without a reading gets its reason at the step's end."""
        slot = hook.slot
        if slot is None:
            slot = hook.slot = self._plan.slots.get(hook.point)
        is_plain = slot is not None and not slot.flags and type(gradient) is torch.Tensor
        is_written = is_plain and slot and self._written.write_planned(slot, gradient)
        if is_written or self._write(hook, gradient):
            hook.seen = weakref.ref(gradient), gradient._version

    def _write(self, hook: "WeightGradientHook", gradient: torch.Tensor) -> bool:
        found = readable(gradient, hook.axis, of_units=True)
        if isinstance(found, str):
            return False
        self._written.write(hook.point, found)
        return True


class WeightGradientHook:
    """Have the gradient of one parameter read.

    Attributes:
        point, axis: what it is, and the axis of its units.
        slot: where it is written, once that is planned.
        seen: the gradient that was read, and its version.
    """

    def __init__(self, owner: WeightGradients, point: Point, axis: int | None) -> None:
        self.point, self.axis = point, axis
        self.slot: Slot | None = None
        self.seen: _Seen | None = None
        self._owner = owner
        self._depth = probe_depth()

    def __call__(self, parameter: torch.Tensor) -> None:
        """Read it, unless a probe inside of the recording has made it."""
        gradient = parameter.grad
        if gradient is not None and self._depth == probe_depth():
            self._owner.read(self, gradient)

    def was_changed(self, gradient: torch.Tensor) -> bool:
        """Whether something has written to the gradient, or replaced it, since it was read."""
        assert self.seen is not None
        reference, version = self.seen
        return reference() is not gradient or gradient._version != version


def _averages() -> bool:
    distributed = torch.distributed
    return (
        distributed.is_available()
        and distributed.is_initialized()
        and distributed.get_world_size() > 1
    )
