"""A session of recording: trace, plan, write, and fetch, step after step."""

from collections.abc import Hashable

import torch
from torch import nn

from sppkit.capture.calls.places import Point
from sppkit.capture.calls.watch import Watch
from sppkit.capture.planning.options import Options
from sppkit.capture.planning.plan import Pass, Plan
from sppkit.capture.planning.sheets import Page, SheetKey, Slot
from sppkit.capture.readings.merging import MergedReadings, under_other_names
from sppkit.capture.readings.reading import Reading, name_of, read_parameter, with_totals
from sppkit.capture.readings.recipes import pages_by_phase
from sppkit.capture.steps.parameter_reader import ParameterReader
from sppkit.capture.steps.planning import make_plan
from sppkit.capture.steps.turns import Turns
from sppkit.capture.tensors.masks import Masks
from sppkit.capture.tracing.graph import Graph
from sppkit.capture.tracing.tracer import Tracer
from sppkit.capture.writing.planned_watch import PlannedWatch
from sppkit.capture.writing.writer import Writer
from sppkit.errors import RecordingError
from sppkit.signals import Signal
from sppkit.summary import ChannelSummary

MAXIMUM_OPEN_PASSES = 16
_MAXIMUM_WAITING_PASSES = 256

COMPILED_ELSEWHERE = (
    "modules were called from compiled code that the recorder does not know of, and are left out: "
    "record what torch.compile returned, or compile before the recording starts"
)


class Session:
    """Record one model.

    Args:
        model: the model.
        options: what to record.
        plan: of an earlier session on a model of the same architecture; spares the trace.
        unread_parameters: why parameters and their gradients cannot be read, where they cannot.

    Attributes:
        turns: whose turn it is, where each step reads a part of the layers.
        options: what to record in the step under way.
    """

    def __init__(
        self,
        model: nn.Module,
        options: Options,
        plan: Plan | None = None,
        unread_parameters: str = "",
    ) -> None:
        self.plan = plan or Plan(options.extended)
        self.missing: dict[tuple[str, str], str] = {}
        self.masks = Masks(options.mask)
        self._held: nn.Module | None = model
        self.turns: Turns | None = None
        self.options = self._options = options
        self._plan_of_step = self.plan
        self._watch: Watch | None = None
        self._writer: Writer | None = None
        self._tracer: Tracer | None = None
        self._readings = MergedReadings(self.missing)
        self._parameters = ParameterReader(self.plan, self.missing, unread_parameters)
        self._is_resting = False
        self._given_up: set[Point] = set()

    def take(self, model: nn.Module | None) -> None:
        """Hold the model while it is recorded.

        Raises:
            RecordingError: it is gone.
        """
        if model is None:
            raise RecordingError(
                "the recorded model is gone: a recording does not keep it. Make another one with "
                "sppkit.record."
            )
        self._held = model

    def release(self) -> None:
        """Let go of the model and of all that leads to it."""
        self._held = self._watch = self._writer = self._tracer = None
        self._parameters.release()

    @property
    def model(self) -> nn.Module:
        """The model, while it is held."""
        assert self._held is not None
        return self._held

    def attach(self) -> None:
        """Put the hooks on: all of them where a plan is still to be made, else the planned ones."""
        if self._is_resting and self._resume():
            return
        self.detach()
        if (self._writer and self._writer.is_stale) or self._is_another_network():
            self.plan = Plan(self._options.extended)
        self._tracer = None if self.plan.is_made else Tracer(self.model)
        hooked = self._take_turn()
        self._writer = Writer(self._plan_of_step, self.options, self.masks, self._tracer)
        self._writer.on_pass_end = self._on_pass_end
        self._watch_parameters()
        is_planned = self.turns is None and self.plan.is_regular
        self._watch = self._planned_watch() if is_planned else self._full_watch()
        self._watch.attach(hooked)

    def _planned_watch(self) -> Watch:
        assert self._writer
        return PlannedWatch(
            *(self.model, self._writer, self.plan, self.options.signals, self._on_missing)
        )

    def _full_watch(self) -> Watch:
        return Watch(
            self.model,
            [listener for listener in (self._tracer, self._writer) if listener],
            operations=not self.plan.is_made or self._plan_of_step.has_operations,
            on_missing=self._on_missing,
        )

    def _take_turn(self) -> set[str] | None:
        """Settle what this step reads; name the layers to hook, None for all of them."""
        self._plan_of_step, self.options = self.plan, self._options
        if self.turns is None or not self.plan.is_made:
            return None if self._needs_every_module() else self._planned_layers()
        turn = self.turns.turn(self.plan, self._options, self.model)
        self._plan_of_step, self.options = turn.plan, turn.options
        return turn.hooked

    def rest(self, *, hooks_stay: bool) -> None:
        """Write nothing until the next recorded step.

        Args:
            hooks_stay: whether that step comes at once; else the hooks come off until then.
        """
        if self._tracer or self.turns or not (hooks_stay or self._parameters.is_planned):
            self.detach()
            return
        self._is_resting = True
        if self._watch:
            self._watch.rest(hooks_stay=hooks_stay)
        if not hooks_stay:
            self._parameters.detach()
        for written in self._writer.passes if self._writer else ():
            written.close()

    def _resume(self) -> bool:
        """Go on with the same hooks; False where the network or the plan has changed."""
        self._is_resting = False
        watch, writer = self._watch, self._writer
        if not watch or not writer or writer.is_stale or not watch.is_in_place:
            return False
        if not self._parameters.is_current:
            return False
        writer.restart()
        self._parameters.restart()
        watch.resume()
        return True

    def _watch_parameters(self) -> None:
        """Have weight gradients read as they are accumulated."""
        self._parameters.attach(
            self.model, self.options, self._plan_of_step, is_whole=self.turns is None
        )

    def set_aside(self) -> None:
        """Fetch what the passes of an unfinished step have written: a pause would forget it."""
        if self._writer:
            for written in self._writer.passes:
                self._fetch(written)
            self._writer.passes.clear()

    def detach(self) -> None:
        """Take every hook off, those on tensors too."""
        self._is_resting = False
        if self._watch:
            self._watch.detach()
            if self._watch.was_compiled:
                self.missing["", ""] = COMPILED_ELSEWHERE
        for written in self._writer.passes if self._writer else ():
            written.close()
        self._parameters.detach()

    def close(self) -> None:
        """End the recording: what hooks are left come off."""
        self.detach()

    def discard(self) -> None:
        """Forget what was written and not collected."""
        if self._writer:
            self._writer.passes.clear()
        self._readings.forget()

    def traced(self) -> tuple[Writer, Graph, Plan]:
        """Give what the traced pass has left: what was written, the graph, and the plan.

        Raises:
            ValueError: no pass was traced.
        """
        if self._writer is None or self._tracer is None or not self.plan.is_made:
            raise ValueError(f"no pass of {type(self.model).__name__} was traced")
        return self._writer, self._tracer.graph, self.plan

    @property
    def has_seen_a_pass(self) -> bool:
        """Whether there is anything to collect."""
        return bool(self._readings or (self._writer and self._writer.passes))

    def collect(self) -> list[Reading]:
        """Fetch everything written in a step that has ended, merged over the passes."""
        if not self._writer or not self.has_seen_a_pass:
            return []
        for written in (*self._writer.passes, self._parameters.written):
            self._fetch(written)
        self._writer.passes.clear()
        self._note_what_is_missing(self._writer)
        readings = self._parameters.place_shards(self._readings)
        readings += under_other_names(readings, self._parameters.aliases)
        readings = with_totals(readings, self._readings.totals)
        self._readings.forget()
        return readings

    def end_step(self) -> None:
        """Read the parameters, where the step has seen a pass."""
        if not self._writer or not self.has_seen_a_pass:
            return
        phases = [*self._readings.totals, *(written.phase for written in self._writer.passes)]
        self._parameters.read(phases[-1] if phases else None)

    def signature(self) -> Hashable | None:
        """Identify which points a step that has ended wrote, and how; None where it is unusual.

        Two steps of equal signatures have the same rows but for the statistics.
        """
        if (
            not self._writer
            or not self._writer.passes
            or self._readings
            or self._parameters.has_shards
        ):
            return None
        passes = [*self._writer.passes, self._parameters.written]
        if any(written.aside or written.renamed for written in passes):
            return None
        by_phase = {p.phase: p.signature() for p in self._writer.passes}
        if any(p.signature() != by_phase[p.phase] for p in self._writer.passes):
            return None  # its passes wrote different points, and are merged point by point
        return (
            self._plan_of_step.number,
            *((p.phase, p.batch, by_phase[p.phase]) for p in self._writer.passes),
            self._parameters.written.signature(),
            frozenset(self._parameters.aliases.items()),
            frozenset(self._writer.missing.items()),
        )

    def take_pages(self) -> dict[tuple[str, SheetKey], list[Page]]:
        """Hand over the pages of a step that has ended; `put_back` takes them again."""
        assert self._writer
        pages = pages_by_phase(self._writer.passes, self._parameters.written)
        for written in self._writer.passes:
            written.close()
        self._writer.passes.clear()
        return pages

    def read(
        self, tensors: list[tuple[Point, torch.Tensor, int | None]], phase: str
    ) -> list[Reading]:
        """Read tensors that no hook shows."""
        written = Pass(self._plan_of_step, phase, of_parameters=True)
        for point, tensor, axis in tensors:
            read_parameter(written, point, tensor, axis)
        readings = MergedReadings(self.missing)
        readings.add(written, self._summaries(written))
        return list(readings)

    def remarks(self) -> list[str]:
        """Say what a reader of the rows must know of how they were read."""
        return [self.turns.remark(self.plan, self._options, self.model)] if self.turns else []

    def _needs_every_module(self) -> bool:
        return not self.plan.is_made or self.plan.has_operations

    def _planned_layers(self) -> set[str]:
        """Name the planned layers, and every leaf that may be called later."""
        leaves = {
            name for name, module in self.model.named_modules() if not list(module.children())
        }
        return {place.layer for place in self.plan.axes} | leaves

    def _is_another_network(self) -> bool:
        """Say whether modules were added, removed or replaced since the plan was made."""
        planned = {
            row["layer"]: row["layer_type"] for row in self.plan.structure if not row["operation"]
        }
        present = {name: type(module).__name__ for name, module in self.model.named_modules()}
        return self.plan.is_made and planned != present

    def _on_missing(self, layer: str, reason: str) -> None:
        self.missing[layer, ""] = reason

    def _on_pass_end(self, completed: bool) -> None:
        if self._writer is None:
            return
        if completed and self._tracer and not self.plan.is_made:
            make_plan(self.plan, self.model, self._tracer.graph, self._writer, self._options)
        passes = self._writer.passes
        if len(passes) >= MAXIMUM_OPEN_PASSES and (
            passes[0].is_complete or len(passes) >= _MAXIMUM_WAITING_PASSES
        ):
            self._given_up |= passes[0].still_awaited()
            self._fetch(passes.pop(0))

    def _fetch(self, written: Pass) -> None:
        """Bring a pass to the host, merge it with the others of its phase, and let it go."""
        written.close()
        self._readings.add(written, self._summaries(written), self._parameters.was_read)

    def _summaries(self, written: Pass) -> dict[Point, tuple[Slot, ChannelSummary]]:
        """Fetch what a pass has written; what had no slot gets one."""
        summaries = written.summaries()
        for point, (slot, _) in summaries.items():
            if point not in self.plan.slots:
                self.plan.add(point, slot)
        return summaries

    def _note_what_is_missing(self, writer: Writer) -> None:
        """Say what could not be read, and where a gradient was awaited and did not come."""
        arrived, awaited = self._readings.points, self._readings.awaited
        gradients = {point for point in arrived if point.signal is Signal.GRADIENT}
        if awaited and not gradients:
            self.missing["", Signal.GRADIENT] = "no backward pass was seen: forward only"
        else:
            late = dict.fromkeys(
                self._readings.awaited - arrived, "the backward pass did not reach it"
            )
            reason = (
                f"more than {_MAXIMUM_WAITING_PASSES} forward passes waited for a backward pass: "
                "the oldest are left out"
            )
            writer.missing = late | dict.fromkeys(self._given_up, reason) | writer.missing
        for point, reason in writer.missing.items():
            place = point.place
            is_late_leaf = place in writer.leaves and self.options.layer(place.layer)
            if place in self.plan.axes or is_late_leaf:
                self.missing[name_of(point), point.signal] = reason
        self._given_up.clear()
