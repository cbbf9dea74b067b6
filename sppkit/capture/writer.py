"""The listener that records: outputs, named operations and their gradients go to slots."""

import weakref
from collections.abc import Callable, Sequence
from typing import Any

import torch

from sppkit.capture.channel_axis import axis_for_summary, axis_of_module_output
from sppkit.capture.graph import CASTS, RANDOM_OPERATIONS, SHAPE_OPERATIONS, Tracer
from sppkit.capture.options import Options
from sppkit.capture.places import Place, Point, tensors_in
from sppkit.capture.plan import Pass, Plan
from sppkit.capture.watch import ModuleCall
from sppkit.kernels import unsupported_reason
from sppkit.signals import Signal

_NOT_RECORDED = SHAPE_OPERATIONS | CASTS | RANDOM_OPERATIONS


class Writer:
    """Write every planned place of the passes it hears; without a plan, every candidate.

    Attributes:
        passes: those that are not fetched yet.
        leaves: the outputs of modules that called no other module.
        axes: the places seen, with their channel axes, in order of first execution.
        missing: what could not be recorded, and why.
        is_stale: whether a place was seen that the plan lacks.
    """

    def __init__(self, plan: Plan, options: Options, tracer: Tracer | None) -> None:
        self.passes: list[Pass] = []
        self.leaves: set[Place] = set()
        self.missing: dict[Point, str] = {}
        self.is_stale = False
        self.axes: dict[Place, int | None] = {}
        self.on_pass_end: Callable[[bool], None] = lambda completed: None
        self._plan = plan
        self._options = options
        self._tracer = tracer
        self._latest: tuple[weakref.ref[torch.Tensor], int, Place] | None = None

    @property
    def current(self) -> Pass:
        """The pass under way."""
        return self.passes[-1]

    def begin(self, root: ModuleCall, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Open a pass."""
        mode = "train" if root.module.training else "eval"
        self.passes.append(Pass(self._plan, self._options.phase or mode))
        self._latest = None

    def operation(
        self,
        call: ModuleCall,
        label: str,
        function: Callable[..., Any],
        args: Sequence[Any],
        kwargs: dict[str, Any],
        result: object,
    ) -> None:
        """Record a functional call between modules, where it is planned or may become so."""
        place = Place(call.layer, call.index, label)
        if not isinstance(result, torch.Tensor) or call.is_leaf:
            return
        if place in self._plan.axes or (not self._plan.is_made and self._may_be(label, result)):
            self._record(place, result, call)

    def output(self, call: ModuleCall, args: tuple[Any, ...], output: object) -> None:
        """Record what a module returned."""
        for path, tensor in tensors_in(output):
            place = Place(call.layer, call.index, "", path)
            if call.children == 0:
                self.leaves.add(place)
            if place in self._plan.axes or not self._plan.is_made:
                self._record(place, tensor, call)
            elif call.children == 0 and self._options.layer(call.layer):
                self.is_stale = True  # a layer or a call that the traced pass did not have
                self._record(place, tensor, call)

    def end(self, completed: bool) -> None:
        """Tell the session, which makes the plan after the first pass."""
        self.on_pass_end(completed)

    def is_chosen(self, place: Place) -> bool:
        """Say whether a candidate is still one, now that the plan may have been made."""
        return place in self._plan.axes or not self._plan.is_made or self.is_stale

    def _may_be(self, label: str, result: torch.Tensor) -> bool:
        """Say whether a functional call can turn out to end a block or a branch."""
        seen = self._tracer is not None and self._tracer.node_of(result) is not None
        name = label.partition("#")[0]
        return seen and result.is_floating_point() and name not in _NOT_RECORDED

    def _record(self, place: Place, tensor: torch.Tensor, call: ModuleCall) -> None:
        axis, reason = self._axis(place, tensor, call)
        if reason := unsupported_reason(tensor) or reason:
            self.missing[Point(place, Signal.ACTIVATION)] = reason
            return
        if self._is_alias(place, tensor):
            return
        if Signal.ACTIVATION in self._options.signals:
            self.current.write(Point(place, Signal.ACTIVATION), tensor, axis)
        if Signal.GRADIENT in self._options.signals:
            self._await_gradient(place, tensor, axis)

    def _axis(
        self, place: Place, tensor: torch.Tensor, call: ModuleCall
    ) -> tuple[int | None, str | None]:
        axis = self._options.axis_override(place.layer)
        if axis is None and place in self._plan.axes:
            axis = self._plan.axes[place]
        elif axis is None:
            axis = self._tracer.axis_of(tensor) if self._tracer else None
            if axis is None and not place.operation:
                axis = axis_of_module_output(call.module, tensor.dim())
        self.axes[place] = axis
        return axis_for_summary(axis, tensor.dim())

    def _is_alias(self, place: Place, tensor: torch.Tensor) -> bool:
        """Spare a second read of a tensor that an inner module has just returned unchanged."""
        if tensor.is_inference():
            return False
        if self._latest and self._latest[0]() is tensor and self._latest[1] == tensor._version:
            for signal in (Signal.ACTIVATION, Signal.GRADIENT):
                self.current.aliases[Point(place, signal)] = Point(self._latest[2], signal)
            return True
        self._latest = weakref.ref(tensor), tensor._version, place
        return False

    def _await_gradient(self, place: Place, tensor: torch.Tensor, axis: int | None) -> None:
        """Read the gradient through a hook on the tensor.

        Module backward hooks would turn the output into a view, which an in-place operation behind
        it may not change. A hook on the tensor sees the gradient of the value it has now.
        """
        point = Point(place, Signal.GRADIENT)
        if not tensor.requires_grad:
            if self.current.phase != "eval":
                reason = "its output does not require a gradient (frozen, or run without gradients)"
                self.missing[point] = reason
            return
        self.current.awaited.add(point)
        hook = _GradientHook(self, self.current, point, axis)
        self.current.handles.append(tensor.register_hook(hook))


class _GradientHook:
    """Write the gradient of one tensor to its slot; it changes nothing and never raises."""

    def __init__(self, writer: Writer, written_to: Pass, point: Point, axis: int | None) -> None:
        self._writer = writer
        self._pass = written_to
        self._point = point
        self._axis = axis

    def __call__(self, gradient: torch.Tensor) -> None:
        point = self._pass.renamed.get(self._point, self._point)
        if not self._pass.is_open or not self._writer.is_chosen(point.place):
            return
        try:
            reason = unsupported_reason(gradient)
            if reason is None:
                self._pass.write(point, gradient, self._axis)
        except Exception as error:  # a fault of ours must not become one of the user's backward
            reason = f"reading it failed: {error}"
        if reason:
            self._writer.missing[point] = reason
