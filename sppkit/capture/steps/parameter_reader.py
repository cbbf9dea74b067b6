"""Read what belongs to layers in a step: weight gradients as they come, the rest at its end."""

from collections.abc import Iterable

import torch
from torch import nn

from sppkit.capture.calls.compiled_modules import originals_in_place
from sppkit.capture.calls.places import Point
from sppkit.capture.planning.options import Options
from sppkit.capture.planning.parameters import has_effective_weight, is_sharded, parameter_readings
from sppkit.capture.planning.plan import Pass, Plan
from sppkit.capture.readings.reading import Reading, name_of, read_parameter
from sppkit.capture.tensors.sharding import Shard, is_distributed_tensor, local_values, shard_of
from sppkit.capture.writing.planned_parameters import PlannedParameters
from sppkit.capture.writing.weight_gradients import WeightGradients
from sppkit.signals import Signal


class ParameterReader:
    """Read the parameters of each step, and their gradients.

    A step that goes as planned takes no walk over the modules.

    Args:
        plan: of the recording, as it is at first.
        missing: where it says what cannot be read.
        unread: why nothing of it can be read; "" where it can.

    Attributes:
        written: what a step has read so far.
        aliases: parameters that were found under two names.
    """

    def __init__(self, plan: Plan, missing: dict[tuple[str, str], str], unread: str = "") -> None:
        self.written = Pass(plan, "", of_parameters=True)
        self.aliases: dict[Point, Point] = {}
        self._missing = missing
        self._unread = unread
        self._plan = plan
        self._slots = 0
        self._model: nn.Module | None = None
        self._options = Options()
        self._gradients: WeightGradients | None = None
        self._planned: PlannedParameters | None = None
        self._shards: dict[Point, Shard] = {}

    def attach(self, model: nn.Module, options: Options, plan: Plan, *, is_whole: bool) -> None:
        """Begin a step, and have weight gradients read as they are accumulated.

        Args:
            model: holds the parameters.
            options: what of them is read in this step.
            plan: of this step.
            is_whole: whether every step reads the same, and not each its part of the layers.
        """
        self._model, self._options, self._plan = model, options, plan
        self._slots = len(plan.slots)
        self.written = Pass(plan, "", of_parameters=True)
        self._planned = None
        if self._unread:
            return
        self._gradients = WeightGradients(model, options, plan, self.written)
        if self._slots and is_whole:
            self._planned = PlannedParameters.of(model, options, plan, self._gradients)

    @property
    def is_planned(self) -> bool:
        """Whether steps are read without a walk over the modules, as long as nothing changes."""
        return self._planned is not None

    @property
    def is_current(self) -> bool:
        """Whether plan and parameters are those of the latest `attach`."""
        is_same_plan = self._slots == len(self._plan.slots)
        return is_same_plan and (self._planned is None or self._planned.are_current)

    @property
    def has_shards(self) -> bool:
        """Whether parts of parameters were read in this step."""
        return bool(self._shards)

    def restart(self) -> None:
        """Begin a step like the one before, through the same hooks."""
        self.written = Pass(self._plan, "", of_parameters=True)
        if self._gradients:
            self._gradients.restart(self.written)

    def detach(self) -> None:
        """Take the hooks off."""
        if self._gradients:
            self._gradients.detach()

    def release(self) -> None:
        """Let go of the model."""
        self._model = self._gradients = self._planned = None
        self.written = Pass(self._plan, "", of_parameters=True)

    def was_read(self, point: Point) -> bool:
        """Say whether a weight gradient was read in the backward pass."""
        return self._gradients is not None and self._gradients.was_read(point)

    def read(self, phase: str | None) -> None:
        """End a step: write what no backward pass has written.

        Args:
            phase: of the passes whose gradients these are; None where there was none.
        """
        assert self._model is not None
        if phase is not None:
            self.written.phase = phase
        if not self._planned or not self._planned.read(self.written):
            with originals_in_place(self._model):
                self.aliases = self._read_each(self._model)

    def place_shards(self, readings: Iterable[Reading]) -> list[Reading]:
        """Let the summaries of shards speak of the whole tensors."""
        placed = [
            reading._replace(
                slot=reading.slot._replace(channels=shard.channels),
                summary=shard.place(reading.summary),
                is_shard=True,
            )
            if (shard := self._shards.get(reading.point))
            else reading
            for reading in readings
        ]
        self._shards.clear()
        return placed

    def _read_each(self, model: nn.Module) -> dict[Point, Point]:
        """Walk over the modules; give the parameters that are others' by another name."""
        if self._unread:
            self._missing["", "weight"] = self._unread
            return {}
        aliases = {}
        signals, layer = self._options.signals, self._options.layer
        for point, tensor, axis, alias in parameter_readings(model, signals, layer):
            if alias:
                aliases[point] = alias
            elif isinstance(tensor, torch.Tensor) and self.was_read(point):
                self._read_clipped(point, tensor, axis)
            elif reason := self._read_one(point, tensor, axis):
                self._missing[name_of(point), point.signal] = reason
        if Signal.EFFECTIVE_WEIGHT in signals:
            self._note_uncomputed_weights(model)
        return aliases

    def _note_uncomputed_weights(self, model: nn.Module) -> None:
        for name, module in model.named_modules():
            if self._options.layer(name) and has_effective_weight(module) and is_sharded(module):
                reason = "computing it from sharded parameters would take all ranks"
                self._missing[name, Signal.EFFECTIVE_WEIGHT] = reason

    def _read_one(
        self, point: Point, tensor: torch.Tensor | Exception, axis: int | None
    ) -> str | None:
        """Write a parameter, or the shard of it that is here; return why not."""
        if not isinstance(tensor, Exception) and is_distributed_tensor(tensor):
            shard = shard_of(tensor, axis)
            if isinstance(shard, str):
                return shard
            if shard:
                self._shards[point] = shard
            tensor = shard.local if shard else local_values(tensor)
        return read_parameter(self.written, point, tensor, axis)

    def _read_clipped(self, point: Point, gradient: torch.Tensor, axis: int | None) -> None:
        """Read a weight gradient again, where something changed it after the backward pass."""
        wanted = Signal.CLIPPED_WEIGHT_GRADIENT in self._options.signals
        if wanted and self._gradients and self._gradients.was_changed(point, gradient):
            clipped = Point(point.place, Signal.CLIPPED_WEIGHT_GRADIENT)
            read_parameter(self.written, clipped, gradient, axis)
