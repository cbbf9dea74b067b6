"""Read weight gradients as the backward pass leaves them, before anything clips them."""

import weakref
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from sppkit.capture.depth import probe_depth
from sppkit.capture.options import Options
from sppkit.capture.parameters import parameter_readings
from sppkit.capture.places import Point
from sppkit.capture.plan import Pass
from sppkit.capture.readable import readable
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

    def __init__(self, model: nn.Module, options: Options, written: Pass) -> None:
        self._written = written
        self._seen: dict[Point, _Seen] = {}
        self._handles: list[Any] = []
        if Signal.WEIGHT_GRADIENT not in options.signals or _averages():
            return
        weights = parameter_readings(model, frozenset({Signal.WEIGHT}), options.layer)
        for point, parameter, axis, alias in weights:
            if alias or not isinstance(parameter, nn.Parameter) or is_lazy(parameter):
                continue
            if parameter.requires_grad:
                hook = _Hook(self, Point(point.place, Signal.WEIGHT_GRADIENT), axis)
                self._handles.append(parameter.register_post_accumulate_grad_hook(hook))

    def detach(self) -> None:
        """Take the hooks off."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def was_read(self, point: Point) -> bool:
        """Whether a gradient was read when it was accumulated."""
        return point in self._seen

    def was_changed(self, point: Point, gradient: torch.Tensor) -> bool:
        """Whether something has written to a gradient, or replaced it, since it was read."""
        reference, version = self._seen[point]
        return reference() is not gradient or gradient._version != version

    def read(self, point: Point, gradient: torch.Tensor, axis: int | None) -> None:
        """Write a gradient to its slot; one without a reading gets its reason at the step's end."""
        found = readable(gradient, axis, of_units=True)
        if not isinstance(found, str):
            self._written.write(point, found)
            self._seen[point] = weakref.ref(gradient), gradient._version


class _Hook:
    def __init__(self, owner: WeightGradients, point: Point, axis: int | None) -> None:
        self._owner, self._point, self._axis = owner, point, axis
        self._depth = probe_depth()

    def __call__(self, parameter: torch.Tensor) -> None:
        if parameter.grad is not None and self._depth == probe_depth():
            self._owner.read(self._point, parameter.grad, self._axis)


def _averages() -> bool:
    distributed = torch.distributed
    return (
        distributed.is_available()
        and distributed.is_initialized()
        and distributed.get_world_size() > 1
    )
