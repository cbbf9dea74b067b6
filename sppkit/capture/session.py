"""A session of recording: trace, plan, write, and fetch, step after step."""

import math
from collections.abc import Iterator
from typing import NamedTuple

from torch import nn

from sppkit.capture.blocks import TapInfo, find_taps, taps_by_pattern
from sppkit.capture.graph import Graph, Tracer
from sppkit.capture.merges import Findings, find_merges
from sppkit.capture.options import Options
from sppkit.capture.parameters import parameter_readings
from sppkit.capture.places import Place, Point
from sppkit.capture.plan import Pass, Plan, Slot
from sppkit.capture.structure import structure_rows
from sppkit.capture.watch import Watch
from sppkit.capture.writer import Writer
from sppkit.kernels import unsupported_reason
from sppkit.patterns import matcher
from sppkit.signals import Signal, Tap
from sppkit.summary import ChannelSummary

_MAXIMUM_OPEN_PASSES = 16


class Reading(NamedTuple):
    """One point of one step, merged over the passes of its phase."""

    phase: str
    point: Point
    slot: Slot
    summary: ChannelSummary
    flags: str


class Session:
    """Record one model.

    Args:
        model: the model.
        options: what to record.
        plan: of an earlier session on a model of the same architecture; spares the trace.
    """

    def __init__(self, model: nn.Module, options: Options, plan: Plan | None = None) -> None:
        self.plan = plan or Plan(options.extended)
        self.missing: dict[tuple[str, str], str] = {}
        self._model = model
        self._options = options
        self._watch: Watch | None = None
        self._writer: Writer | None = None
        self._tracer: Tracer | None = None
        self._fetched: dict[tuple[str, Point], Reading] = {}
        self._awaited: set[Point] = set()

    def attach(self) -> None:
        """Put the hooks on: all of them where a plan is still to be made, else the planned ones."""
        if self._writer and self._writer.is_stale:
            self.plan = Plan(self._options.extended)
        self._tracer = None if self.plan.is_made else Tracer(self._model)
        self._writer = Writer(self.plan, self._options, self._tracer)
        self._writer.on_pass_end = self._on_pass_end
        self._watch = Watch(
            self._model,
            [listener for listener in (self._tracer, self._writer) if listener],
            operations=not self.plan.is_made or self.plan.has_operations,
            on_fault=self._on_fault,
        )
        self._watch.attach(None if self._needs_every_module() else self._planned_layers())

    def detach(self) -> None:
        """Take every hook off, those on tensors too."""
        if self._watch:
            self._watch.detach()
        for written in self._writer.passes if self._writer else ():
            written.close()

    def discard(self) -> None:
        """Forget what was written and not collected."""
        if self._writer:
            self._writer.passes.clear()
        self._fetched.clear()

    @property
    def has_seen_a_pass(self) -> bool:
        """Whether there is anything to collect."""
        return bool(self._fetched or (self._writer and self._writer.passes))

    def collect(self) -> list[Reading]:
        """End a step: read the parameters, fetch everything written, merged over the passes."""
        if not self._writer or not self.has_seen_a_pass:
            return []
        aliases = self._read_parameters(self._writer.passes[-1])
        for written in self._writer.passes:
            self._fetch(written)
        self._writer.passes.clear()
        self._note_what_is_missing(self._writer)
        readings = [*self._fetched.values(), *self._of_shared_parameters(aliases)]
        self._fetched.clear()
        return readings

    def _needs_every_module(self) -> bool:
        return not self.plan.is_made or self.plan.has_operations

    def _planned_layers(self) -> set[str]:
        """Name the planned layers, and every leaf that may be called later."""
        leaves = {
            name for name, module in self._model.named_modules() if not list(module.children())
        }
        return {place.layer for place in self.plan.axes} | leaves

    def _on_fault(self, layer: str, error: Exception) -> None:
        self.missing[layer, ""] = f"recording it failed: {type(error).__name__}: {error}"

    def _on_pass_end(self, completed: bool) -> None:
        if self._writer is None:
            return
        if completed and self._tracer and not self.plan.is_made:
            self._make_plan(self._tracer.graph, self._writer)
        if len(self._writer.passes) >= _MAXIMUM_OPEN_PASSES:
            self._fetch(self._writer.passes.pop(0))

    def _make_plan(self, graph: Graph, writer: Writer) -> None:
        findings = find_merges(graph)
        self.plan.taps = self._find_taps(graph, findings)
        self.plan.remarks = list(_remarks(findings, self.plan.taps))
        self._decide_late_axes(graph, writer)
        chosen = {p: axis for p, axis in writer.axes.items() if self._is_chosen(p, writer)}
        layers = dict.fromkeys((place.layer, place.operation) for place in chosen)
        self.plan.depths = {layer: rank for rank, layer in enumerate(layers)}
        self.plan.leaves = writer.leaves & set(chosen)
        self.plan.structure = structure_rows(self._model, graph, self.plan.taps, self.plan.depths)
        shapes = [node.shape for node in graph.nodes for p in node.emitted if p in chosen]
        self.plan.values = sum(math.prod(shape) for shape in shapes)
        self.plan.axes = chosen
        for written in writer.passes:
            written.keep(chosen)

    def _decide_late_axes(self, graph: Graph, writer: Writer) -> None:
        """Add the axes that only the whole pass decides; this pass has been read without them."""
        for place, axis in graph.decide_axes_by_readers().items():
            point = Point(place, Signal.ACTIVATION)
            if point in writer.missing and writer.axes.get(place, axis) is None:
                writer.axes[place] = axis
                writer.missing[point] = (
                    "its channel axis was decided by a layer that reads it, when the first pass "
                    "had gone by: the steps after the first have it"
                )

    def _find_taps(self, graph: Graph, findings: Findings) -> dict[Place, TapInfo]:
        options = self._options
        if not options.names_places:
            return find_taps(graph, findings)
        return taps_by_pattern(
            graph,
            matcher(options.blocks),
            matcher(options.residual_branches),
            matcher(options.stem),
        )

    def _is_chosen(self, place: Place, writer: Writer) -> bool:
        is_root_output = place.layer == "" and not place.operation
        wanted = place in writer.leaves or place in self.plan.taps or is_root_output
        return wanted and self._options.layer(place.layer)

    def _read_parameters(self, written: Pass) -> dict[Point, Point]:
        aliases = {}
        signals, layer = self._options.signals, self._options.layer
        for point, tensor, axis, alias in parameter_readings(self._model, signals, layer):
            if alias:
                aliases[point] = alias
            elif reason := unsupported_reason(tensor):
                self.missing[f"{point.place.layer}.{point.place.tensor}", point.signal] = reason
            else:
                written.write(point, tensor, axis)
        return aliases

    def _fetch(self, written: Pass) -> None:
        """Bring a pass to the host, merge it with the others of its phase, and let it go."""
        written.close()
        summaries = written.summaries()
        self._awaited |= written.awaited
        for point, (slot, _) in summaries.items():
            if point not in self.plan.slots:
                self.plan.add(point, slot)
        for point, target in written.aliases.items():
            while target in written.aliases:
                target = written.aliases[target]
            if target in summaries:
                self._merge(written.phase, point, *summaries[target], f"alias of {_name(target)}")
        for point, (slot, summary) in summaries.items():
            self._merge(written.phase, point, slot, summary, "")

    def _merge(
        self, phase: str, point: Point, slot: Slot, summary: ChannelSummary, flags: str
    ) -> None:
        earlier = self._fetched.get((phase, point))
        if earlier is not None and earlier.slot.channels == slot.channels:
            summary = earlier.summary.merge(summary)
        elif earlier is not None:
            reason = f"{slot.channels} channels in one pass, {earlier.slot.channels} in another"
            self.missing[point.place.layer, point.signal] = f"passes cannot be merged: {reason}"
            return
        self._fetched[phase, point] = Reading(phase, point, slot, summary, flags)

    def _of_shared_parameters(self, aliases: dict[Point, Point]) -> Iterator[Reading]:
        by_point = {reading.point: reading for reading in self._fetched.values()}
        for point, target in aliases.items():
            if target in by_point:
                yield by_point[target]._replace(point=point, flags=f"alias of {_name(target)}")

    def _note_what_is_missing(self, writer: Writer) -> None:
        """Say what could not be read, and where a gradient was awaited and did not come."""
        arrived = {reading.point for reading in self._fetched.values()}
        gradients = {point for point in arrived if point.signal is Signal.GRADIENT}
        if self._awaited and not gradients:
            self.missing["", Signal.GRADIENT] = "no backward pass was seen: forward only"
        else:
            late = dict.fromkeys(self._awaited - arrived, "the backward pass did not reach it")
            writer.missing = late | writer.missing
        for point, reason in writer.missing.items():
            if point.place in self.plan.axes:
                self.missing[_name(point), point.signal] = reason
        self._awaited.clear()


def _name(point: Point) -> str:
    """Name a place in a message."""
    place = point.place
    return ".".join(part for part in (place.layer, place.operation, place.tensor) if part)


def _remarks(findings: Findings, taps: dict[Place, TapInfo]) -> Iterator[str]:
    """Say in sentences what looked like a residual network and is shown otherwise."""
    if not any(info.tap is Tap.BLOCK for info in taps.values()):
        yield "no residual merge was found: the plot follows the weighted layers"
    if findings.parallel:
        yield (
            f"sums of parallel branches of equal weight: {len(findings.parallel)}. None of these "
            "branches is a skip path, so they are not drawn as blocks; where they should be, name "
            "them with record(..., blocks=PATTERN)"
        )
    if findings.spanning:
        yield (
            f"sums that join a path around several blocks: {len(findings.spanning)} (as in a U-Net "
            "or a feature pyramid). The plot shows the blocks inside"
        )
    if findings.concatenations:
        yield (
            f"concatenations that join branches: {len(findings.concatenations)}. They are no "
            "residual merges and have no residual branch variance"
        )
