"""A recording in the making: a context manager around a session, step by step."""

import os
import weakref
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

import torch
import torch.distributed as dist
from torch import nn

from sppkit.capture.calls.compiled_modules import (
    is_compiled,
    original,
    originals_in_place,
)
from sppkit.capture.calls.places import Place
from sppkit.capture.circumstances import environment
from sppkit.capture.compiled.session import CompiledSession
from sppkit.capture.descriptions import structure_of_run, what_is_missing
from sppkit.capture.gains import describe_silence, silent_branches
from sppkit.capture.planning.options import Options
from sppkit.capture.planning.plan import Plan
from sppkit.capture.processes.ranks import ALL_RANKS, Ranks, path_on_this_rank
from sppkit.capture.readings.reading import Reading
from sppkit.capture.readings.recipes import Recipe
from sppkit.capture.readings.repeated_steps import RepeatedSteps
from sppkit.capture.readings.rows import columns_of
from sppkit.capture.readings.scaling import unscaled
from sppkit.capture.steps.loop import Loop
from sppkit.capture.steps.schedule import StepFunction, describe, is_recorded, make_schedule
from sppkit.capture.steps.session import Session
from sppkit.capture.steps.turns import Turns
from sppkit.capture.steps.updates import Updates
from sppkit.capture.tensors.masks import Mask
from sppkit.capture.tensors.readable import join_flags
from sppkit.capture.tensors.sharding import Spread
from sppkit.errors import RecordingError
from sppkit.recording import Recording
from sppkit.run_directory import StreamedRows
from sppkit.signals import Phase, Signal
from sppkit.table import Columns


class Recorder(Recording):
    """A recording in the making; see `record`, which makes it."""

    def __init__(
        self,
        model: nn.Module,
        options: Options,
        *,
        run: str,
        seed: int = 0,
        plan: Plan | None = None,
        optimizer: torch.optim.Optimizer | None = None,
        scaler: torch.amp.GradScaler | None = None,
        schedule: StepFunction | None = None,
        layers_per_step: int | None = None,
        stream: StreamedRows | None = None,
        first_step: int = 0,
        loss_reduction: str | None = None,
        spread: Spread | None = None,
    ) -> None:
        super().__init__(metadata={run: environment(original(model), options)})
        self._spread = spread or Spread()
        self.metadata[run]["world_size"] = max(1, len(self._spread.members))
        self.metadata[run]["loss_reduction"] = loss_reduction
        self._ranks: Ranks | None = None
        compiled = plan is None and is_compiled(model)
        self._session = (
            CompiledSession(model, options, self._spread.unread_parameters)
            if compiled
            else Session(model, options, plan, self._spread.unread_parameters)
        )
        self._model = weakref.ref(original(model))
        self._run, self._seed = run, seed
        self._schedule = schedule or make_schedule(1, None)
        self.metadata[run]["schedule"] = describe(self._schedule)
        if layers_per_step is not None:
            self._session.turns = Turns(layers_per_step)
            self.metadata[run]["layers_per_step"] = layers_per_step
        self._stream = stream
        if stream is not None:
            self._rows = stream
        self._steps = first_step
        self._recorded_steps = 0
        self._described: Plan | None = None
        self._latest_recorded: int | None = None
        self._is_attached = False
        self._is_entered = False
        self._weights: dict[Place, Reading] = {}
        self._repeated = RepeatedSteps()
        self._updates = Updates(self._session) if Signal.UPDATE in options.signals else None
        self._listeners: list[Callable[[Columns], None]] = []
        self._leavers: list[Callable[[], None]] = []
        self._optimizer = optimizer
        self._loop: Loop | None = None
        if optimizer is not None:
            hear = {"before": self._before_step, "after": self._after_step}
            self._loop = Loop(optimizer, scaler, **hear, skipped=self._skip_step)

    @property
    def plan(self) -> Plan:
        """The plan that the first pass made."""
        return self._session.plan

    @property
    def model(self) -> nn.Module | None:
        """The model that is recorded, without a wrapper; None when it is gone."""
        return self._model()

    @property
    def optimizer(self) -> torch.optim.Optimizer | None:
        """The optimiser that ends the steps, where one was given."""
        return self._optimizer

    def listen(
        self, hear: Callable[[Columns], None], ended: Callable[[], None] | None = None
    ) -> None:
        """Let a function hear the rows of each recorded step as soon as they are made.

        They come by column, as arrays or as one value for all rows, by the names of the table's
        columns; a step may come in several blocks. Steps that look alike share the arrays of their
        labels, which are not to be written to. Rows of a CUDA device come some steps later; `flush`
        waits for them. `ended` is called when the `with` block of the recording is left, after
        the last rows.
        """
        self._listeners.append(hear)
        if ended is not None:
            self._leavers.append(ended)

    def __enter__(self) -> Self:
        """Attach the hooks of the first step; entered again later, go on with the next one.

        Raises:
            RecordingError: it is being recorded into already, the model is gone, or the run
                directory holds another recording or cannot be written.
        """
        if self._is_entered:
            raise RecordingError(
                f"this recording of {self._run!r} is already running: a second `with` would count "
                "everything twice. Leave the first, or make another recording with sppkit.record."
            )
        if self._stream is not None:
            self.metadata[self._run]["ended"] = False
            rank = dist.get_rank() if len(self._spread.members) > 1 else 0
            earlier = self._stream.open(rank, self.metadata).get(self._run, {})
            self._recorded_steps += int(earlier.get("recorded_steps", 0))
        self._session.take(self._model())
        self._is_entered = True
        self._steps += self._latest_recorded == self._steps
        if self._loop:
            self._loop.attach()
        if len(self._spread.members) > 1:
            self._ranks = Ranks(self._spread, self._session.model, self._run)
        self._open_step()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Take every hook off; the step under way is kept unless it was interrupted."""
        try:
            if kind is not None:
                self._forget_interrupted_step(kind)
            elif self._ranks or self._session.has_seen_a_pass:
                self._close_last_step()
        finally:
            self._session.close()
            if self._loop:
                self._loop.detach()
            self._is_attached = self._is_entered = False
        self._say_what_is_missing()
        self._session.release()
        self._make_rows(wait=True)
        self._weights.clear()
        if self._updates:
            self._updates.forget()
        try:
            if self._stream is not None:
                self._end_stream(self._stream, error)
        finally:
            for leave in self._leavers:
                leave()

    def _end_stream(self, stream: StreamedRows, error: BaseException | None) -> None:
        """Write the last part; what went wrong before is what the user is to see."""
        self.metadata[self._run]["ended"] = True
        try:
            stream.flush(self.structure(), self.metadata)
        except RecordingError as failure:
            if error is None:
                raise
            error.add_note(str(failure))

    def mask(self, keep: torch.Tensor) -> None:
        """Say which positions of the next forward pass are real: only those are read.

        Args:
            keep: True, or a number other than 0, at the positions to read; its shape is that of the
                leading axes of the activations, as (samples, tokens). `record` describes the rest.

        Raises:
            TypeError: it is no tensor.
        """
        self._session.masks.give(Mask(keep))

    def step(self) -> None:
        """End a step: read weights and weight gradients, fetch what the hooks wrote.

        To be called once per optimiser step, between `backward()` and `optimizer.step()` where the
        weight gradients are wanted raw. Recorders that were given the optimiser do it themselves.

        Raises:
            RecordingError: outside of the `with` block.
        """
        if not self._is_entered:
            raise RecordingError(
                "step() ends a step inside of the `with` block of a recording only"
            )
        self._close_step()
        self._open_next_step()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Read nothing inside the block: an evaluation, say.

        It may stand between two steps, or between two passes whose gradients are accumulated.
        Without it, what the block runs belongs to the next step that is recorded.
        """
        if self._is_attached:
            self._session.set_aside()
            self._session.rest(hooks_stay=False)
        try:
            yield
        finally:
            if self._is_attached:
                self._session.attach()

    def flush(self) -> None:
        """Write the rows so far to the run directory, without waiting until they are due.

        Raises:
            RecordingError: they cannot be written, or there is no run directory.
        """
        if self._stream is None:
            raise RecordingError(
                "this recording has no run directory to write to: give one with "
                "sppkit.record(model, run_directory=...), or write it with save()"
            )
        if self._is_entered:
            self._say_what_is_missing()
        self._make_rows(wait=True)
        self._stream.flush(self.structure(), self.metadata)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything to one parquet file, atomically.

        In a recording of several ranks, rank 0 writes `path`. Another rank writes only what stayed
        with it alone, if there is any, to a file of its own: "run.rank1.parquet".

        Raises:
            RecordingError: the file cannot be written.
        """
        rank = self._ranks.rank if self._ranks else 0
        if rank == 0 or not self.table().empty:
            super().save(path_on_this_rank(path, rank))

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as what was recorded so far, without the model."""
        return Recording.from_frames, (self.table(), self.structure(), self.metadata)

    def _open_step(self) -> None:
        if is_recorded(self._schedule, self._steps):
            if self._session.turns:
                self._session.turns.begin(self._steps)
            self._session.attach()
            self._is_attached = True

    def _open_next_step(self) -> None:
        self._steps += 1
        self._open_step()
        if self._stream is not None and self._stream.is_due:
            self.flush()

    def _before_step(self) -> None:
        if self._updates and self._is_attached:
            self._updates.remember()
        self._close_step()

    def _after_step(self) -> None:
        if self._updates and self._updates.is_waiting:
            differences = self._session.read(self._updates.differences(), Phase.TRAIN)
            if self._ranks is None or self._ranks.is_first:
                self._add_rows([self._like_its_weight(reading) for reading in differences])
        self._weights.clear()
        self._open_next_step()

    def _skip_step(self) -> None:
        """End a step that the scaler skipped: the parameters stay, the attempt counts."""
        self._close_step(flag="skipped step")
        self._weights.clear()
        self._open_next_step()

    def _close_step(self, flag: str = "") -> None:
        if not self._is_attached:
            return
        self._is_attached = False
        self._session.rest(hooks_stay=is_recorded(self._schedule, self._steps + 1))
        self._session.end_step()
        signature = None if flag else self._signature()
        if signature in self._repeated:
            self._repeated.begin(signature, self._constants(), self._session.take_pages())
            self._make_rows(wait=False)
            self._count_step()
            return
        with originals_in_place(self._session.model):
            readings = self._collected(flag)
            self._keep(readings)
            if signature is not None and readings:
                recipe = Recipe(readings, self._session.model, self.plan)
                self._repeated.learn(signature, recipe)

    def _signature(self) -> Hashable | None:
        """Identify the step among its like; None where readings are looked at one by one."""
        if self._ranks or self._updates or (self._loop and self._loop.scale != 1.0):
            return None
        return self._session.signature()

    def _make_rows(self, *, wait: bool) -> None:
        """Add the rows of earlier steps whose numbers have arrived from the device."""
        for columns in self._repeated.rows(wait=wait):
            self._append(columns)

    def _count_step(self) -> None:
        self._recorded_steps += 1
        self._latest_recorded = self._steps

    def _settle(self) -> None:
        self._make_rows(wait=True)

    def _constants(self, rank: int = ALL_RANKS) -> Columns:
        return {"run": self._run, "seed": self._seed, "rank": rank, "step": self._steps}

    def _close_last_step(self) -> None:
        """End the recording; where there are other ranks, tell them, whatever was seen here."""
        with originals_in_place(self._session.model):
            readings: list[Reading] = []
            if self._is_attached:
                self._session.detach()
                self._session.end_step()
                readings = self._collected()
            self._keep(readings, is_last=True)

    def _collected(self, flag: str = "") -> list[Reading]:
        """Fetch what was read in the step, brought back to the loss that the user wrote."""
        readings = self._session.collect()
        if self._loop and readings:
            readings = unscaled(readings, self._loop.scale, self._loop.has_unscaled)
        if flag:
            readings = [r._replace(flags=join_flags(flag, r.flags)) for r in readings]
        self._weights = {r.point.place: r for r in readings if r.point.signal is Signal.WEIGHT}
        return readings

    def _keep(self, readings: list[Reading], *, is_last: bool = False) -> None:
        """Make rows of the readings of a step, shared with the other ranks."""
        shares = [(ALL_RANKS, readings)]
        if self._ranks:
            shares = self._ranks.share(readings, self._steps, is_last=is_last)
        for rank, share in shares:
            self._add_rows(share, rank)
        if not readings and not (self._updates and self._updates.is_waiting):
            return
        if self.plan is not self._described:
            self._describe_network([reading for _, share in shares for reading in share])
        self._count_step()

    def _add_rows(self, readings: list[Reading], rank: int = ALL_RANKS) -> None:
        if not readings:
            return
        self._make_rows(wait=True)
        read = {r.point.place: r.summary for r in readings if r.point.signal is Signal.WEIGHT}
        weights = read or {place: reading.summary for place, reading in self._weights.items()}
        model = self._session.model
        self._append(columns_of(readings, model, self.plan, self._constants(rank), weights))

    def _append(self, columns: Columns) -> None:
        self._rows.append(columns)
        for hear in self._listeners:
            hear(columns)

    def _like_its_weight(self, update: Reading) -> Reading:
        """Give an update the phase, passes and samples of the step that made it."""
        weight = self._weights.get(update.point.place)
        if weight is None:
            return update
        return update._replace(phase=weight.phase, passes=weight.passes, batch=weight.batch)

    def _forget_interrupted_step(self, kind: type[BaseException]) -> None:
        if self._session.has_seen_a_pass:
            reason = f"step {self._steps} was interrupted by {kind.__name__} and is left out"
            self._session.missing["", f"step {self._steps}"] = reason
        self._session.discard()
        if self._ranks:
            self._ranks.leave()

    def _describe_network(self, readings: list[Reading]) -> None:
        """Add what the structure lacks, from the plan and the weights of its first step."""
        self._described = self.plan
        known = {(row["layer"], row["operation"]) for row in self._structure_rows}
        self._structure_rows += structure_of_run(self._run, self.plan, readings, known)
        metadata = self.metadata[self._run]
        metadata["remarks"] = [*self.plan.remarks, *self._session.remarks()]
        metadata["plan"] = self.plan.digest
        if not known:  # of the network as it was at first
            metadata |= describe_silence(silent_branches(self._session.model, self.plan))

    def _say_what_is_missing(self) -> None:
        metadata = self.metadata[self._run]
        missing = self._session.missing | (self._updates.unread if self._updates else {})
        if not self._recorded_steps:
            missing.setdefault(("", ""), "no forward pass of the model was seen")
        with originals_in_place(self._session.model):
            entries = what_is_missing(self._run, self._session.model, self.plan, missing)
        metadata["not_captured"] = entries
        metadata["recorded_steps"] = self._recorded_steps
        if self._ranks:
            metadata["remarks"] = list(dict.fromkeys([*metadata["remarks"], *self._ranks.remarks]))
            metadata["distributed"] = self._ranks.describe()
        reasons = {entry["layer"]: entry["reason"] for entry in entries}
        for row in self._structure_rows:
            row["not_captured"] = reasons.get(row["layer"])
