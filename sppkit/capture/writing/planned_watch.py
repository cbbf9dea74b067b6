"""The watch of a pass that goes as planned: one short hook per layer, which writes its slots.

A planned pass needs no stack of all module calls: containers tell where a pass begins and ends, and
a layer's hook looks up by the number of its call what is to be read. Where functional calls of
containers are planned, each layer says besides when it is under way, as its own are not counted.
Whatever is not as planned (another type, shape or thread, a call in compiled code or inside
torch.func, a tensor that was read already) goes the way of any other pass.
"""

from collections import OrderedDict
from threading import get_ident
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from sppkit.capture.calls.depth import probe_depth
from sppkit.capture.calls.module_call import ModuleCall, has_no_parts
from sppkit.capture.calls.places import Place, Point
from sppkit.capture.calls.regions import is_recomputation
from sppkit.capture.calls.watch import Hook, Watch, can_be_hooked
from sppkit.capture.planning.plan import OURS, Pass, Plan
from sppkit.capture.planning.sheets import Page, Slot
from sppkit.capture.writing.recomputation import Destination
from sppkit.capture.writing.writer import Writer
from sppkit.signals import OF_OUTPUTS, Signal

_is_compiling = torch.compiler.is_compiling
_running_backward = torch._C._current_graph_task_id
_torch_function_modes = torch._C._len_torch_function_stack
_transform = torch._C._functorch.peek_interpreter_stack
_NONE = -1


class PlannedRead(NamedTuple):
    """What is read of one call of a layer that returns one tensor.

    Attributes:
        place: the output.
        gradient_point: of its gradient.
        activation, gradient: their slots, None where the signal is not recorded.
        dimensions, dtype: what the tensor must have.
    """

    place: Place
    gradient_point: Point
    activation: Slot | None
    gradient: Slot | None
    dimensions: int
    dtype: torch.dtype


def planned_reads(plan: Plan, signals: frozenset[Signal]) -> dict[str, list[PlannedRead | None]]:
    """List by layer and call what is read; None for a call that is looked at one by one."""
    reads: dict[str, list[PlannedRead | None]] = {}
    for place in plan.axes:
        calls = reads.setdefault(place.layer, [])
        calls += [None] * (place.call + 1 - len(calls))
        slots = {s: plan.slots.get(Point(place, s)) for s in OF_OUTPUTS & signals}
        if place.tensor or not slots or any(not s or s.flags for s in slots.values()):
            continue
        activation, gradient = slots.get(Signal.ACTIVATION), slots.get(Signal.GRADIENT)
        dtypes = {slot.dtype for slot in (activation, gradient) if slot}
        if len(dtypes) == 1:
            point = Point(place, Signal.GRADIENT)
            calls[place.call] = PlannedRead(
                *(place, point, activation, gradient, plan.dimensions[place], dtypes.pop())
            )
    return reads


class PlannedWatch(Watch):
    """Hooks on a model whose passes are planned.

    Args:
        model: the model.
        writer: hears what is not as planned.
        plan: says what is read.
        signals: what is recorded.
        on_missing: as for any watch.

    Attributes:
        thread: that of the pass under way.
        current: the pass under way, and None where nothing goes as planned.
        page: where its outputs are written.
        modes: function modes that are active in a pass, if the user has none.
        layer_under_way: the height of the stack where a layer without parts was called.
    """

    def __init__(
        self,
        model: nn.Module,
        writer: Writer,
        plan: Plan,
        signals: frozenset[Signal],
        on_missing: Any,
    ) -> None:
        super().__init__(model, [writer], operations=plan.has_operations, on_missing=on_missing)
        self.writer = writer
        self.depth = probe_depth()
        self.thread: int | None = None
        self.current: Pass | None = None
        self.page: Page | None = None
        self.modes = int(plan.has_operations)
        self.layer_under_way = _NONE
        self._plan = plan
        self._reads = planned_reads(plan, signals)
        self._operating = {place.layer for place in plan.axes if place.operation}

    def _hook(self, name: str, module: nn.Module, *, is_new: bool) -> None:
        calls_others = name in self._operating or name in self._plan.callees
        if is_new or calls_others or not has_no_parts(module):
            super()._hook(name, module, is_new=is_new)
        elif can_be_hooked(name, module):
            reads = self._reads.get(name, [])
            if self.modes:
                self._put_on(module, _EnterLayer(self, name), _LeaveLayerInMode(self, name, reads))
            else:
                self._put_on(module, None, _LeaveLayer(self, name, reads))

    def operate(self, *details: Any) -> None:
        """Hear of a functional call, if it is one of a container that has some to record."""
        depth = len(self._stack)
        if depth and depth != self.layer_under_way and self._stack[-1].layer in self._operating:
            super().operate(*details)

    def enter_layer(self) -> None:
        """Count no functional calls until `leave_layer`, but for those of containers inside."""
        self.layer_under_way = len(self._stack)

    def enter(self, layer: str, module: nn.Module, *details: Any) -> None:
        """Put a call of a container on the stack."""
        depth = len(self._stack)
        super().enter(layer, module, *details)
        if len(self._stack) == depth:
            return
        call = self._stack[-1]
        call.children = int(Place(layer, call.index) not in self._plan.leaves)
        if depth == 0 and self.writer.passes:
            self.thread, self.current = self._thread, self.writer.current
            self.page = self.current.plain_page

    def _finish(self, completed: bool) -> None:
        self.thread = self.current = self.page = None
        self.layer_under_way = _NONE
        super()._finish(completed)

    def leave_layer(
        self,
        layer: str,
        call: int,
        module: nn.Module,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        output: object,
    ) -> None:
        """Hear of a call that is not as planned."""
        if output is None:  # it raised, or has nothing to read
            return
        if self.is_resting or torch.compiler.is_compiling():
            self.was_compiled |= not self.is_resting
        elif is_recomputation():
            self.leave(layer, module, args, output)
        elif not self._stack:
            super().enter(layer, module, args, kwargs)
            self.leave(layer, module, args, output)
        elif self.depth == probe_depth() and not self._skips(layer, module):
            made = ModuleCall(layer, call, module, None)
            self._tell("output", made, args, output)
        else:
            self._skipped.leave(module)


class _LeaveLayer(Hook):
    """Read the output of a layer as planned, and have its gradient read when it comes."""

    def __init__(self, watch: PlannedWatch, layer: str, reads: list[PlannedRead | None]) -> None:
        super().__init__(watch, layer, is_new=False)
        self._planned = watch
        self._reads = reads
        self._pass: Pass | None = None
        self._calls = 0

    def put_on(self, module: nn.Module) -> RemovableHandle:
        return module.register_forward_hook(self, with_kwargs=True)

    def __call__(self, module: nn.Module, *details: Any) -> None:
        """Do it, without a call that can be spared; `leave_layer` does what is unusual."""
        output = details[2]
        watch = self._planned
        call = 0
        if (
            not _is_compiling()
            and (written := watch.current) is not None
            and watch.thread == get_ident()
            and _running_backward() == -1
            and probe_depth() == watch.depth
        ):
            if self._pass is not written:
                self._pass, self._calls = written, 0
            call = self._calls
            self._calls = call + 1
            if (
                call < len(self._reads)
                and (read := self._reads[call]) is not None
                and (page := watch.page) is not None
                and type(output) is Tensor
                and _transform() is None
                and _torch_function_modes() == watch.modes
                and _read_output(watch.writer, written, page, read, output)
            ):
                return
        watch.leave_layer(self._layer, call, module, *details)


class _EnterLayer(Hook):
    """Tell that a layer is under way."""

    def __init__(self, watch: PlannedWatch, layer: str) -> None:
        super().__init__(watch, layer, is_new=False)
        self._planned = watch

    def put_on(self, module: nn.Module) -> RemovableHandle:
        return module.register_forward_pre_hook(self)

    def __call__(self, module: nn.Module, *details: Any) -> None:
        watch = self._planned
        if not _is_compiling() and watch.thread == get_ident() and _running_backward() == -1:
            watch.enter_layer()


class _LeaveLayerInMode(_LeaveLayer):
    """Read the output of a layer while a function mode would hear of it."""

    def put_on(self, module: nn.Module) -> RemovableHandle:
        return module.register_forward_hook(self, with_kwargs=True, always_call=True)

    def __call__(self, module: nn.Module, *details: Any) -> None:
        if _is_compiling():
            super().__call__(module, *details)
            return
        watch = self._planned
        if watch.thread == get_ident():
            watch.layer_under_way = _NONE
        with torch._C.DisableTorchFunction():
            super().__call__(module, *details)


def _read_output(
    writer: Writer, written: Pass, page: Page, read: PlannedRead, output: Tensor
) -> bool:
    """Write the slot of an activation, and await its gradient; say whether it is as planned."""
    if (
        output.dtype is not read.dtype
        or output.dim() != read.dimensions
        or not (output.requires_grad if read.gradient else not output.is_inference())
        or writer.has_just_read(output)
    ):
        return False
    if read.activation and not _is_written(page, read.activation, output):
        return False
    writer.note_read(output, read.place)
    if read.gradient:
        written.expected[read.gradient.number] = read.gradient_point
        _put_on(output, _PlannedGradient(writer, written, page, read), written)
    return True


def _is_written(page: Page, slot: Slot, tensor: Tensor) -> bool:
    """Write a slot; a fault is told by the way that others go, where it comes again."""
    try:
        return page.read(slot, tensor)
    except Exception:
        return False


def _put_on(output: Tensor, hook: "_PlannedGradient", written: Pass) -> None:
    """Do what `Tensor.register_hook` does, without the handle, which takes longer than the rest."""
    node = output.grad_fn
    if node is None or output._backward_hooks is not None:
        written.handles.append(output.register_hook(hook))
        return
    hooks: OrderedDict[Any, Any] = OrderedDict(((OURS, hook),))
    output._backward_hooks = hooks
    node._register_hook_dict(output)
    written.hooks.append(hooks)


class _PlannedGradient:
    """Write the gradient of one tensor to its slot; what is unusual goes the way of any other."""

    __slots__ = ("_page", "_read", "_writer", "_written")

    def __init__(self, writer: Writer, written: Pass, page: Page, read: PlannedRead) -> None:
        self._writer, self._written, self._page, self._read = writer, written, page, read

    def __call__(self, gradient: Tensor) -> None:
        written, read = self._written, self._read
        slot = read.gradient
        assert slot is not None
        if not written.is_open:
            return
        if (
            type(gradient) is Tensor
            and gradient.dtype is read.dtype
            and gradient.dim() == read.dimensions
            and slot.number not in written.arrived
            and not _is_wrapped(gradient)
            and _is_written(self._page, slot, gradient)
        ):
            written.arrived.add(slot.number)
            return
        destination = Destination(written, read.gradient_point, slot.axis)
        self._writer.write_gradient(destination, gradient)


def _is_wrapped(gradient: Tensor) -> bool:
    functorch = torch._C._functorch
    return bool(
        functorch.is_functorch_wrapped_tensor(gradient)
        or functorch.is_legacy_batchedtensor(gradient)
    )
