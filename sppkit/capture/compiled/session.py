"""A session of recording for models that are compiled, as a whole or in parts.

Compiled code runs no Python of ours but what an operator reaches, so that everything is decided
before it is compiled: the first call is made once eagerly, on the original module, to trace it and
plan what to record; then hooks go on that only hand tensors over. A gate around the outermost call,
where no compiled code runs yet, tells one pass from the next.
"""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from sppkit.capture.calls.compiled_modules import (
    compiled_entries,
    forget_compiled_code,
    original,
    originals_in_place,
    uses_cuda_graphs,
    warn,
    was_called,
)
from sppkit.capture.calls.depth import probe_depth
from sppkit.capture.calls.places import Place, Point, tensors_in
from sppkit.capture.calls.regions import is_recomputation
from sppkit.capture.compiled.gate import Gate
from sppkit.capture.compiled.hooks import Counter, OutputHook, Switch, TensorRead
from sppkit.capture.compiled.observe import Receiver
from sppkit.capture.compiled.preparation import prepare
from sppkit.capture.planning.options import Options
from sppkit.capture.planning.plan import Pass
from sppkit.capture.readings.reading import Reading
from sppkit.capture.steps.session import MAXIMUM_OPEN_PASSES, Session
from sppkit.capture.tensors.readable import readable
from sppkit.capture.writing.writer import Writer
from sppkit.signals import Signal

COMPILED_BEFORE = (
    "a function of this model was compiled and called before the recording (by this model, or by "
    "another one that shares its code), and torch would go on without our hooks: "
    "torch._dynamo.reset() was called, and everything compiled compiles again at its next call"
)
HOOKS_DID_NOT_RUN = (
    "the compiled code ran without our hooks; torch._dynamo.reset() was called, so that the next "
    "step has them. Record before the first call of the compiled model"
)
CUDA_GRAPHS = (
    "the model was compiled for CUDA graphs (mode='reduce-overhead' or 'max-autotune'), which "
    "repeat kernels and no calls of Python: recording was not verified with them. Compile in the "
    "default mode for the recording; what a step does not hand over is listed here"
)
NOT_SEEN = "a compiled pass did not hand it over: the layer was not called as in the traced pass"
ANOTHER_CALL = (
    "the layer was called once in the traced pass and more often in another: whose activation it "
    "is, is lost in compiled code"
)
ANOTHER_BACKWARD = (
    "more than one gradient came for each forward pass of the step (retain_graph, or a forward "
    "pass of an earlier step): whose it is, is lost in compiled code"
)
ANOTHER_MODE = (
    "passes in train and in eval mode preceded the backward pass: whose gradient it is, is lost in "
    "compiled code"
)


class CompiledPass(Pass):
    """One pass through compiled code.

    Attributes:
        has_returned: whether the forward pass returned.
    """

    has_returned = False


class CompiledSession(Session):
    """Record one model that is compiled, or has compiled parts.

    Args:
        model: the module that the user calls: a compiled one, or one with compiled parts.
        options: what to record.
        unread_parameters: as for any session.
    """

    def __init__(self, model: nn.Module, options: Options, unread_parameters: str = "") -> None:
        super().__init__(original(model), options, None, unread_parameters)
        self._called = model
        self._entries = frozenset(compiled_entries(model))  # the gate would look like one
        self._passes = Writer(self.plan, options, self.masks, None)
        self._writer = self._passes
        self._switch = Switch()
        self._depth = probe_depth()
        self._gate: Gate | None = None
        self._counters: dict[str, tuple[Counter, int]] = {}
        self._handles: list[RemovableHandle] = []
        self._receivers: dict[Point, Receiver] = {}
        self._root_hook: OutputHook | None = None
        self._aliases: dict[Point, Point] = {}
        self._awaited_by_each: set[Point] = set()
        self._reasons: dict[Point, str] = {}
        self._refused: dict[Point, str] = {}
        self._unwritten: set[Point] = set()
        self._differentiated: list[CompiledPass] = []
        self._gradients_came = False
        self._idle: frozenset[Point] = frozenset()

    def attach(self) -> None:
        """Let the hooks write; the first time, see to it that they will be compiled in."""
        self._switch.is_on = True
        self._writer = self._passes
        with originals_in_place(self._called):
            self._take_turn()
            self._watch_parameters()
        self._idle = self._find_idle()
        if self._gate is not None:
            return
        if was_called(self._called):
            self._say_once(COMPILED_BEFORE)
            forget_compiled_code()
        if uses_cuda_graphs(self._called):
            self._say_once(CUDA_GRAPHS)
        self._gate = Gate(self._called, self._before_call, self._after_call)

    def _find_idle(self) -> frozenset[Point]:
        """Name the points that are not read, since it is the turn of others and of no alias."""
        resting = self.options.resting
        due = (alias for alias in self._aliases if alias.place.layer not in resting)
        wanted = {self._source(alias) for alias in due}
        return frozenset(p for p in self._receivers if p.place.layer in resting and p not in wanted)

    def detach(self) -> None:
        """Let the hooks rest: compiled code goes on without writing."""
        self._switch.is_on = False
        self._parameters.detach()

    def rest(self, *, hooks_stay: bool) -> None:
        """Let the hooks rest, as between any two steps: taking them off would compile anew."""
        self.detach()

    def set_aside(self) -> None:
        """Leave the passes of an unfinished step where they are: only a switch is turned."""

    def signature(self) -> None:
        """Look at every reading: what belongs to a pass is found out at the end of a step."""

    def close(self) -> None:
        """Take every hook off, and the gate."""
        self.detach()
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        if self._gate:
            self._gate.remove()

    def discard(self) -> None:
        """Forget what was written and not collected."""
        super().discard()
        self._differentiated.clear()

    def collect(self) -> list[Reading]:
        """End a step; points that more came for than can be told apart are left out."""
        self._passes.missing = dict(self._reasons)
        readings = [r for r in super().collect() if self._is_kept(r.point)]
        for of_this_step in (self._refused, self._unwritten, self._differentiated):
            of_this_step.clear()
        return readings

    def _is_kept(self, point: Point) -> bool:
        is_due = point.place.layer not in self.options.resting
        return is_due and self._source(point) not in self._refused

    def _source(self, point: Point) -> Point:
        """Give the point that a point is an alias of, or itself."""
        while point in self._aliases:
            point = self._aliases[point]
        return point

    # -- around a call, where no compiled code runs

    def _before_call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        """Open a pass; say whether one was opened. A fault of ours is not one of the user's."""
        if not self._switch.is_on or self._depth != probe_depth():
            return False
        try:
            if not self.plan.is_made:
                self._prepare(args, kwargs)
            self._open_pass(args, kwargs)
        except Exception as error:
            self._on_missing("", f"recording it failed: {type(error).__name__}: {error}")
            return False
        return True

    def _open_pass(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if len(self._passes.passes) >= MAXIMUM_OPEN_PASSES:
            self._fetch(self._passes.passes.pop(0))
        for counter, _ in self._counters.values():
            counter.seen.clear()
        mode = "train" if self.model.training else "eval"
        sizes = [tensor.shape[0] for _, tensor in tensors_in((args, kwargs)) if tensor.dim()]
        opened = CompiledPass(
            self._plan_of_step,
            self._options.phase or mode,
            sizes[0] if sizes else 0,
            self.masks.are_used,
        )
        opened.sampling = self._options.sampling
        opened.mask = self.masks.take(args, kwargs)
        opened.aliases = dict(self._aliases)
        self._passes.passes.append(opened)
        if self._gradients_came:
            self._differentiated.clear()
            self._gradients_came = False
        if torch.is_grad_enabled():
            opened.awaited = self._awaited_by_each - self._idle
            self._differentiated.append(opened)

    def _after_call(self, output: object) -> None:
        for layer, (counter, planned) in self._counters.items():
            if len(counter.seen) > planned:
                calls = f"{len(counter.seen)} calls in a pass, {planned} in the traced one"
                self.missing[layer, ""] = f"{calls}: those beyond are not recorded"
        try:
            if self._root_hook:
                self._root_hook(self.model, (), output)
        except Exception as error:
            self._on_missing("", f"recording it failed: {type(error).__name__}: {error}")
        opened = self._passes.passes[-1]
        if isinstance(opened, CompiledPass):
            opened.has_returned = True

    # -- what compiled code hands over

    def _receive(self, point: Point, axis: int | None, tensor: Tensor) -> None:
        """Write what was handed over to the pass that it belongs to."""
        is_gradient = point.signal is Signal.GRADIENT
        if not self._switch.is_on or self._depth != probe_depth() or point in self._idle:
            return
        if is_recomputation() and not is_gradient:
            return
        owner = self._owner_of_gradient(point) if is_gradient else self._owner_of_activation(point)
        try:
            found = readable(tensor, axis)
            reason = found if isinstance(found, str) else ""
            if owner is not None and not isinstance(found, str):
                owner.write(point, owner.chosen(point.place, found))
        except Exception as error:  # a fault of ours must not become one of the user's pass
            reason = f"reading it failed: {type(error).__name__}: {error}"
        if reason:
            self._refused[point] = reason

    def _owner_of_activation(self, point: Point) -> CompiledPass | None:
        owner = self._passes.passes[-1] if self._passes.passes else None
        if not isinstance(owner, CompiledPass):
            return None
        if point in owner.written:
            self._refused[point] = ANOTHER_CALL
            return None
        return owner

    def _owner_of_gradient(self, point: Point) -> CompiledPass | None:
        """Give the latest pass that awaits it; of one mode they are merged, so that any will do."""
        self._gradients_came = True
        modes = {each.phase for each in self._differentiated}
        free = [p for p in self._differentiated if p.is_open and point not in p.written]
        if len(modes) > 1:
            self._refused[point] = ANOTHER_MODE
        elif not free:
            self._refused[point] = ANOTHER_BACKWARD
        else:
            return free[-1]
        return None

    # -- the plan, made before anything is compiled

    def _prepare(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Trace one eager pass to plan what to record, and hook it."""
        found = prepare(self._called, self._options, (args, kwargs), self._entries, self.missing)
        self._aliases, self._reasons = found.aliases, found.reasons
        self._awaited_by_each = found.awaited
        self._receivers = {
            point: Receiver(partial(self._receive, point, axis))
            for point, axis in found.axes.items()
        }
        self._hook(found.calls)
        self.plan = self._plan_of_step = found.plan

    def _hook(self, calls: list[tuple[str, int]]) -> None:
        """Hook the modules of the planned places; the outermost is read by the gate."""
        with originals_in_place(self._called):
            modules = dict(self.model.named_modules())
        places = list(dict.fromkeys(point.place for point in self._receivers))
        for layer in dict.fromkeys(place.layer for place in places):
            planned = sum(called == layer for called, _ in calls)
            counter = Counter() if planned > 1 else None
            if counter:
                self._counters[layer] = counter, planned
            reads = [
                [self._read(place) for place in places if place[:2] == (layer, call)]
                for call in range(planned)
            ]
            hook = OutputHook(self._switch, reads, counter)
            if layer:
                self._handles.append(modules[layer].register_forward_hook(hook))
            else:
                self._root_hook = hook

    def _read(self, place: Place) -> TensorRead:
        points = (Point(place, signal) for signal in (Signal.ACTIVATION, Signal.GRADIENT))
        receivers = (self._receivers.get(point) for point in points)
        activation, gradient = (r.number if r else None for r in receivers)
        return TensorRead(place.tensor, activation, gradient)

    # -- when a step ends

    def _fetch(self, written: Pass) -> None:
        if isinstance(written, CompiledPass) and written.has_returned:
            self._look_for_what_was_not_handed_over(written)
        super()._fetch(written)

    def _look_for_what_was_not_handed_over(self, written: CompiledPass) -> None:
        read = self._receivers.keys() - self._idle
        expected = {p for p in read if p.signal is Signal.ACTIVATION and p.place.layer}
        unwritten = expected - written.written
        if unwritten and unwritten == expected:
            self._say_once(HOOKS_DID_NOT_RUN)
            forget_compiled_code()
        self._unwritten |= unwritten

    def _note_what_is_missing(self, writer: Writer) -> None:
        arrived = self._readings.points
        writer.missing |= dict.fromkeys(self._unwritten - arrived, NOT_SEEN)
        writer.missing = {p: reason for p, reason in writer.missing.items() if p not in arrived}
        writer.missing |= self._refused
        if self._gradients_came:
            self._readings.awaited -= self._refused.keys()
        super()._note_what_is_missing(writer)

    def _say_once(self, message: str) -> None:
        """Warn, and keep it with what was not captured."""
        said = self.missing.get(("", ""), "")
        if message not in said:
            warn(message)
            self.missing["", ""] = f"{said}; {message}" if said else message
