"""A session of recording for models that are compiled, as a whole or in parts.

Compiled code runs no Python of ours, so that everything is decided before it is compiled: the first
call is made once eagerly, on the original module, to trace it and plan the slots; then hooks go on
that only write these. A gate around the outermost call, where no compiled code runs yet, does what
compiled code cannot: it tells one pass from the next and puts aside what the last one wrote.
"""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import torch
from torch import nn
from torch.utils._pytree import tree_map_only
from torch.utils.hooks import RemovableHandle

from sppkit.capture.compiled import (
    compiled_entries,
    forget_compiled_code,
    original,
    run_eagerly,
    unwrapped,
    uses_cuda_graphs,
    warn,
    was_called,
)
from sppkit.capture.compiled_hooks import Counter, OutputHook, SlotTensors, Switch
from sppkit.capture.graph import Graph
from sppkit.capture.options import Options
from sppkit.capture.places import Place, Point
from sppkit.capture.plan import Pass, Plan, Slot
from sppkit.capture.session import MAXIMUM_OPEN_PASSES, Reading, Session
from sppkit.capture.state import isolated_randomness, left_as_found
from sppkit.capture.writer import Writer
from sppkit.kernels.slot_operator import is_recomputation
from sppkit.signals import Signal
from sppkit.summary import ChannelSummary

_OF_OUTPUTS = frozenset({Signal.ACTIVATION, Signal.GRADIENT})

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
    "the model was compiled for CUDA graphs (mode='reduce-overhead' or 'max-autotune'): hooks that "
    "write slots may make torch run without them. Compile for the recording in the default mode"
)
FUNCTIONAL = (
    "a functional call in a compiled model has no hook; put it into a module of its own, or record "
    "the model before it is compiled"
)
SPLIT_GRADIENT = (
    "compiled code returns this tensor and also reads it: outside, the gradient lacks that part"
)
NOT_WRITTEN = (
    "the compiled pass did not write it: it was not called, or its shape or dtype is not the one "
    "of the traced first pass"
)


class Gate:
    """Stands before the outermost call of a model, outside of compiled code.

    A module looks for `_compiled_call_impl` before it runs its own hooks, so that this is a place
    around wrapped, compiled and eager modules alike, and one that copies and pickles leave out.
    """

    def __init__(
        self,
        module: nn.Module,
        before: Callable[[tuple[Any, ...], dict[str, Any]], bool],
        after: Callable[[object], None],
    ) -> None:
        self._module = module
        self._before, self._after = before, after
        self._found = vars(module).get("_compiled_call_impl")
        vars(module)["_compiled_call_impl"] = self

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Make the call that was asked for."""
        call = self._found or self._module._call_impl
        if torch.compiler.is_compiling() or is_recomputation() or not self._before(args, kwargs):
            return call(*args, **kwargs)
        output = call(*args, **kwargs)
        self._after(output)
        return output

    def remove(self) -> None:
        """Put back what was there, unless someone else has replaced it since."""
        if vars(self._module).get("_compiled_call_impl") is not self:
            return
        del vars(self._module)["_compiled_call_impl"]
        if self._found is not None:
            vars(self._module)["_compiled_call_impl"] = self._found


class CompiledPass(Pass):
    """One pass through compiled code; what is written to it directly, as parameters, goes aside."""

    def __init__(self, plan: Plan, phase: str, aliases: dict[Point, Point]) -> None:
        super().__init__(Plan(plan.extended), phase)
        self.aliases = dict(aliases)
        self.has_gradients_enabled = torch.is_grad_enabled()
        self.is_complete = False
        self.copied: dict[torch.device, torch.Tensor] = {}
        self.found: dict[Point, tuple[Slot, ChannelSummary]] = {}

    def summaries(self) -> dict[Point, tuple[Slot, ChannelSummary]]:
        """Give what the session found in the copy of the slots, and what was kept aside."""
        return {**self.found, **super().summaries()}


class CompiledSession(Session):
    """Record one model that is compiled, or has compiled parts.

    Args:
        model: the module that the user calls: a compiled one, or one with compiled parts.
        options: what to record.
    """

    def __init__(self, model: nn.Module, options: Options) -> None:
        super().__init__(original(model), options)
        self._called = model
        self._entries = frozenset(compiled_entries(model))  # the gate would look like one
        self._passes = Writer(self.plan, options, None)
        self._writer = self._passes
        self._switch = Switch()
        self._gate: Gate | None = None
        self._counters: dict[str, tuple[Counter, int]] = {}
        self._handles: list[RemovableHandle] = []
        self._slots: SlotTensors | None = None
        self._aliases: dict[Point, Point] = {}
        self._expected: set[Point] = set()
        self._awaited_by_each: set[Point] = set()
        self._reasons: dict[Point, str] = {}
        self._open: CompiledPass | None = None
        self._without_gradients: list[str] = []
        self._refused: dict[Point, str] = {}
        self._unwritten: set[Point] = set()
        self._root_hook: OutputHook | None = None

    def attach(self) -> None:
        """Let the hooks write; the first time, see to it that they will be compiled in."""
        self._switch.is_on = True
        if self._gate is not None:
            return
        if was_called(self._called):
            self._say_once(COMPILED_BEFORE)
            forget_compiled_code()
        if uses_cuda_graphs(self._called):
            self._say_once(CUDA_GRAPHS)
        self._gate = Gate(self._called, self._before_call, self._after_call)

    def detach(self) -> None:
        """Let the hooks rest: compiled code goes on without writing."""
        self._switch.is_on = False

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
        self._open = None

    def collect(self) -> list[Reading]:
        """End a step; points that were written over are left out, with a reason."""
        self._put_aside()
        self._passes.missing = dict(self._reasons)
        readings = [r for r in super().collect() if r.point not in self._refused]
        for of_this_step in (self._refused, self._unwritten, self._without_gradients):
            of_this_step.clear()
        return readings

    # -- around a call, where no compiled code runs

    def _before_call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        """Open a pass; say whether one was opened. A fault of ours is not one of the user's."""
        if not self._switch.is_on:
            return False
        try:
            if self._slots is None:
                self._prepare(args, kwargs)
            self._put_aside()
        except Exception as error:
            self._on_fault("", error)
            return False
        for counter, _ in self._counters.values():
            counter.seen.clear()
        mode = "train" if self._model.training else "eval"
        self._open = CompiledPass(self.plan, self._options.phase or mode, self._aliases)
        if self._open.has_gradients_enabled:
            self._open.awaited = set(self._awaited_by_each)
        self._passes.passes.append(self._open)
        return True

    def _after_call(self, output: object) -> None:
        if self._open is None:
            return
        self._open.is_complete = True
        for layer, (counter, planned) in self._counters.items():
            if len(counter.seen) > planned:
                calls = f"{len(counter.seen)} calls in a pass, {planned} in the traced one"
                self.missing[layer, ""] = f"{calls}: those beyond are not recorded"
        try:
            if self._root_hook:
                self._root_hook(self._model, (), output)
        except Exception as error:
            self._on_fault("", error)

    def _put_aside(self) -> None:
        """Copy what the last pass wrote; what is written from now on belongs to the next one."""
        if self._slots is None:
            return
        if self._open is not None:
            self._open.copied = self._slots.copied()
            self._open = None
        self._slots.clear()
        if len(self._passes.passes) >= MAXIMUM_OPEN_PASSES:
            self._fetch(self._passes.passes.pop(0))

    # -- the plan, made before anything is compiled

    def _prepare(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Trace one eager pass; lay out a slot for each point, and hook what writes them."""
        traced = self._trace(args, kwargs)
        writer, graph = traced._writer, traced._tracer.graph  # type: ignore[union-attr]
        self.plan = traced.plan
        self.missing |= traced.missing
        written = writer.passes[-1]  # type: ignore[union-attr]
        wanted = self._options.signals & _OF_OUTPUTS
        slots = {
            Point(point.place, signal): slot
            for point, (slot, _) in written.aside.items()
            for signal in wanted
            if not point.place.operation
        }
        self._aliases = {a: target for a, target in written.aliases.items() if a.signal in wanted}
        self._reasons = {
            Point(place, signal): FUNCTIONAL
            for place in self.plan.axes
            for signal in wanted
            if place.operation
        }
        self._reasons |= {p: r for p, r in writer.missing.items() if p.signal in wanted}  # type: ignore[union-attr]
        self._settle_outputs_of_compiled_code(slots, graph)
        self._awaited_by_each = {p for p in written.awaited if p in slots}
        self._expected = {p for p in slots if p.signal is Signal.ACTIVATION and p.place.layer}
        self._slots = SlotTensors(slots, self._options.extended)
        self._hook(self._slots, {place for place, _ in slots}, list(graph.calls))

    def _settle_outputs_of_compiled_code(self, slots: dict[Point, Slot], graph: Graph) -> None:
        """Find what is read where compiled code has returned, outside of it.

        A tensor has another identity there: what it was inside is an alias of it, and the gradient
        that arrives lacks the part that its readers inside send back.
        """
        entries = self._entries
        children = graph.children()
        for node in graph.nodes:
            inside = [Point(p, s) for p in node.emitted for s in Signal if p.layer not in entries]
            for place in (p for p in node.emitted if p.layer in entries):
                for point in (Point(place, signal) for signal in Signal):
                    if point not in slots:
                        continue
                    same = [p for p in inside if p.signal is point.signal and p in slots]
                    if same:
                        del slots[point]
                        self._aliases[point] = same[0]
                    elif children[node.index] and point.signal is Signal.GRADIENT:
                        del slots[point]
                        self._reasons[point] = SPLIT_GRADIENT

    def _trace(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Session:
        """Run the original module once on a copy of the arguments; nothing else remembers it."""
        session = Session(self._model, replace(self._options, signals=_OF_OUTPUTS))
        with ExitStack() as stack:
            stack.enter_context(torch.inference_mode(False))
            stack.enter_context(torch.enable_grad())
            stack.enter_context(run_eagerly(self._called))
            stack.enter_context(left_as_found(self._model))
            stack.enter_context(isolated_randomness(0))
            given, named = tree_map_only(torch.Tensor, _copy, (args, kwargs))
            stack.callback(session.detach)
            session.attach()
            self._model._call_impl(*given, **named)
        return session

    def _hook(self, slots: SlotTensors, places: set[Place], calls: list[tuple[str, int]]) -> None:
        """Hook the modules of the places; the outermost is read by the gate."""
        with unwrapped(self._called):
            modules = dict(self._model.named_modules())
        for layer in dict.fromkeys(place.layer for place in places):
            planned = sum(called == layer for called, _ in calls)
            counter = Counter() if planned > 1 else None
            if counter:
                self._counters[layer] = counter, planned
            reads = [
                [slots.read_of(place) for place in places if place[:2] == (layer, call)]
                for call in range(planned)
            ]
            hook = OutputHook(self._switch, reads, counter)
            if layer:
                self._handles.append(modules[layer].register_forward_hook(hook))
            else:
                self._root_hook = hook

    # -- what was written, when it has come to the host

    def _fetch(self, written: Pass) -> None:
        if isinstance(written, CompiledPass) and self._slots is not None:
            found = self._slots.unpack(written.copied)
            written.found = {point: (slot, summary) for point, (_, slot, summary) in found.items()}
            self._refuse_what_was_written_over({p: writes for p, (writes, _, _) in found.items()})
            self._refuse_gradients_of_another_mode(written)
            if written.is_complete:
                self._look_for_what_was_not_written(written)
        super()._fetch(written)

    def _refuse_what_was_written_over(self, writes: dict[Point, int]) -> None:
        for point, count in writes.items():
            if count > 1 and point.signal is Signal.GRADIENT:
                self._refused[point] = (
                    f"{count} backward passes wrote over one another: in a compiled model each "
                    "backward pass must come before the next forward pass"
                )
            elif count > 1:
                self._refused[point] = (
                    f"{count} calls in one pass wrote over one another; in the traced pass the "
                    "layer was called once"
                )

    def _refuse_gradients_of_another_mode(self, written: CompiledPass) -> None:
        """Refuse gradients that came after a pass in train mode and one in eval mode."""
        if written.has_gradients_enabled:
            self._without_gradients.append(written.phase)
        gradients = [point for point in written.found if point.signal is Signal.GRADIENT]
        if not gradients:
            return
        if set(self._without_gradients) != {written.phase}:
            reason = "passes in train and eval mode preceded the backward pass: whose it is, is lost"
            self._refused |= dict.fromkeys(gradients, reason)
        self._without_gradients.clear()

    def _look_for_what_was_not_written(self, written: CompiledPass) -> None:
        unwritten = self._expected - written.found.keys()
        if unwritten and unwritten == self._expected:
            self._say_once(HOOKS_DID_NOT_RUN)
            forget_compiled_code()
        self._unwritten |= unwritten

    def _note_what_is_missing(self, writer: Writer) -> None:
        arrived = {reading.point for reading in self._fetched.values()}
        writer.missing |= dict.fromkeys(self._unwritten - arrived, NOT_WRITTEN)
        writer.missing |= self._refused
        super()._note_what_is_missing(writer)

    def _say_once(self, message: str) -> None:
        """Warn, and keep it with what was not captured."""
        said = self.missing.get(("", ""), "")
        if message not in said:
            warn(message)
            self.missing["", ""] = f"{said}; {message}" if said else message


def _copy(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().clone().requires_grad_(tensor.requires_grad)
