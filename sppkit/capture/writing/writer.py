"""The listener that records: outputs, named operations and their gradients go to slots."""

import functools
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import torch

from sppkit.capture.calls.module_call import ModuleCall
from sppkit.capture.calls.places import Place, Point, tensors_in
from sppkit.capture.planning.options import Options
from sppkit.capture.planning.plan import Pass, Plan
from sppkit.capture.tensors.channel_axis import axis_of_module_output
from sppkit.capture.tensors.masks import Masks
from sppkit.capture.tensors.readable import Readable, join_flags, readable
from sppkit.capture.tracing.graph import CASTS, RANDOM_OPERATIONS, SHAPE_OPERATIONS
from sppkit.capture.tracing.tracer import Tracer
from sppkit.capture.writing.recomputation import Destination, Recomputations
from sppkit.signals import Phase, Signal

NEW = "got this name within the step"
_NOT_RECORDED = SHAPE_OPERATIONS | CASTS | RANDOM_OPERATIONS


class Writer:
    """Write every planned place of the passes it hears; without a plan, every candidate.

    Attributes:
        passes: those that are not fetched yet.
        leaves: the outputs of modules that called no other module.
        axes: the places seen, with their channel axes, in order of first execution.
        dimensions: of the tensors at these places.
        missing: what could not be recorded, and why.
        is_stale: whether a place was seen that the plan lacks.
    """

    def __init__(self, plan: Plan, options: Options, masks: Masks, tracer: Tracer | None) -> None:
        self.passes: list[Pass] = []
        self.leaves: set[Place] = set()
        self.missing: dict[Point, str] = {}
        self.is_stale = False
        self.axes: dict[Place, int | None] = {}
        self.dimensions: dict[Place, int] = {}
        self.on_pass_end: Callable[[bool], None] = lambda completed: None
        self._plan = plan
        self._options = options
        self._masks = masks
        self._tracer = tracer
        self._recomputations = Recomputations()
        self._latest: tuple[weakref.ref[torch.Tensor], int, Place] | None = None

    def restart(self) -> None:
        """Begin another step: nothing of the last one is left."""
        self.passes.clear()
        self.missing.clear()
        self._recomputations = Recomputations()
        self._latest = None

    @property
    def current(self) -> Pass:
        """The pass under way."""
        return self.passes[-1]

    def begin(self, root: ModuleCall, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Open a pass."""
        mode = "train" if root.module.training else "eval"
        sizes = [tensor.shape[0] for _, tensor in tensors_in((args, kwargs)) if tensor.dim()]
        batch = sizes[0] if sizes else 0
        phase = self._options.phase or mode
        self.passes.append(Pass(self._plan, phase, batch, self._masks.are_used))
        self._latest = None
        self.current.sampling = self._options.sampling
        self.current.mask = self._masks.take(args, kwargs)

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
        if not isinstance(result, torch.Tensor) or self._is_inside_layer(call):
            return
        if place in self._plan.axes or (not self._plan.is_made and self._may_be(label, result)):
            self._record(place, result, call)

    def output(self, call: ModuleCall, args: tuple[Any, ...], output: object) -> None:
        """Record what a module returned."""
        for path, tensor in tensors_in(output):
            place = Place(call.layer, call.index, "", path)
            if call.children == 0:
                self.leaves.add(place)
            self.is_stale |= call.is_new and self._plan.is_made
            if place in self._plan.axes or not self._plan.is_made:
                self._record(place, tensor, call)
            elif call.children == 0 and self._may_be_new(call.layer):
                self.is_stale = True  # a layer or a call that the traced pass did not have
                self._record(place, tensor, call)

    def _may_be_new(self, layer: str) -> bool:
        return layer not in self._plan.known and self._options.is_chosen(layer)

    def recomputed(self, layer: str, output: object) -> None:
        """Await the gradients that the first run of a checkpointed call did not have."""
        for path, tensor in tensors_in(output):
            if tensor.requires_grad:
                segment = self._recomputations.segment()
                rank = segment.repeat((layer, path))
                find = functools.partial(segment.destination, (layer, path), rank)
                tensor.register_hook(GradientHook(self, find))

    def end(self, completed: bool) -> None:
        """Tell the session, which makes the plan after the first pass."""
        self.on_pass_end(completed)

    def _is_inside_layer(self, call: ModuleCall) -> bool:
        """Say whether a call runs in a module whose output says it all.

        Between operations, those inside a leaf of the user's own count too; a layer of torch's is
        one operation.
        """
        is_torch = type(call.module).__module__.startswith("torch.nn.")
        return call.is_leaf and (self._options.granularity == "layer" or is_torch)

    def is_chosen(self, place: Place) -> bool:
        """Say whether a candidate is still one, now that the plan may have been made."""
        return place in self._plan.axes or not self._plan.is_made or self.is_stale

    def _may_be(self, label: str, result: torch.Tensor) -> bool:
        """Say whether a functional call is to be recorded, or can turn out to end a branch."""
        seen = self._tracer is not None and self._tracer.node_of(result) is not None
        name = label.partition("#")[0]
        return seen and result.is_floating_point() and name not in _NOT_RECORDED

    def _record(self, place: Place, tensor: torch.Tensor, call: ModuleCall) -> None:
        axis = self._axis(place, tensor, call)
        found = _flagged(readable(tensor, axis), call.is_new)
        if isinstance(found, str):
            self.missing[Point(place, Signal.ACTIVATION)] = found
            return
        if self._is_alias(place, tensor):
            return
        if Signal.ACTIVATION in self._options.signals:
            self.current.write(Point(place, Signal.ACTIVATION), self.current.chosen(place, found))
        if Signal.GRADIENT in self._options.signals:
            self._await_gradient(place, tensor, axis, call.is_new)

    def _axis(self, place: Place, tensor: torch.Tensor, call: ModuleCall) -> int | None:
        axis = self._options.axis_override(place.layer)
        planned = not call.is_new and self._plan.dimensions.get(place) == tensor.dim()
        if axis is None and planned:
            axis = self._plan.axes[place]
        elif axis is None:
            self.is_stale |= place in self._plan.axes  # its tensor has other axes than the traced
            axis = self._tracer.axis_of(tensor) if self._tracer else None
            if axis is None and not place.operation:
                axis = axis_of_module_output(call.module, tensor.dim())
        self.axes[place] = axis
        self.dimensions[place] = tensor.dim()
        return axis

    def _is_alias(self, place: Place, tensor: torch.Tensor) -> bool:
        """Spare a second read of a tensor that an inner module has just returned unchanged."""
        if tensor.is_inference():
            return False
        if self._latest and self.has_just_read(tensor):
            for signal in (Signal.ACTIVATION, Signal.GRADIENT):
                self.current.aliases[Point(place, signal)] = Point(self._latest[2], signal)
            return True
        self.note_read(tensor, place)
        return False

    def has_just_read(self, tensor: torch.Tensor) -> bool:
        """Say whether a tensor is the one read last, and unchanged since."""
        latest = self._latest
        return latest is not None and latest[0]() is tensor and latest[1] == tensor._version

    def note_read(self, tensor: torch.Tensor, place: Place) -> None:
        """Remember the tensor that is read, as long as it lives."""
        self._latest = weakref.ref(tensor), tensor._version, place

    def _await_gradient(
        self, place: Place, tensor: torch.Tensor, axis: int | None, is_new: bool
    ) -> None:
        """Read the gradient through a hook on the tensor.

        Module backward hooks would turn the output into a view, which an in-place operation behind
        it may not change. A hook on the tensor sees the gradient of the value it has now.
        """
        point = Point(place, Signal.GRADIENT)
        if tensor.requires_grad:
            self.current.awaited.add(point)
            destination = Destination(self.current, point, axis)
            hook = GradientHook(self, lambda: destination, is_new)
            self.current.handles.append(tensor.register_hook(hook))
            return
        if not torch.is_grad_enabled():
            self._recomputations.add(self.current, point, axis)
        if self.current.phase != Phase.EVAL:
            enabled = torch.is_grad_enabled()
            why = "no parameter that is trained stands before it" if enabled else "it ran without"
            self.missing[point] = f"its output does not require a gradient: {why}"

    def write_gradient(
        self, destination: Destination, gradient: torch.Tensor, is_new: bool = False
    ) -> None:
        """Write a gradient to its slot, or the reason why it cannot be read; raise nothing."""
        written, point, axis = destination
        point = written.renamed.get(point, point)
        if not self.is_chosen(point.place):
            return
        try:
            found = _flagged(readable(gradient, axis), is_new)
            reason = found if isinstance(found, str) else ""
            if not isinstance(found, str):
                written.write(point, written.chosen(point.place, found))
                self.missing.pop(point, None)
        except Exception as error:  # a fault of ours must not become one of the user's backward
            reason = f"reading it failed: {error}"
        if reason:
            self.missing[point] = reason


def _flagged(found: Readable | str, is_new: bool) -> Readable | str:
    """Say of a layer that came within the step that the step may hold another one's numbers."""
    if isinstance(found, str) or not is_new:
        return found
    return found._replace(flags=join_flags(found.flags, NEW))


class GradientHook:
    """Write the gradient of one tensor to its slot; it changes nothing and never raises."""

    def __init__(
        self, writer: Writer, find: Callable[[], Destination | None], is_new: bool = False
    ) -> None:
        self._writer = writer
        self._find = find
        self._is_new = is_new

    def __call__(self, gradient: torch.Tensor) -> None:
        """Write it, as long as its pass is open."""
        destination = self._find()
        if destination is not None and destination.written.is_open:
            self._writer.write_gradient(destination, gradient, self._is_new)
