"""`sppkit.record`: a context manager that records a model while the user's own code runs it."""

import os
import platform
import sys
import weakref
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any, Literal, Self

import torch
from torch import nn

from sppkit import __version__
from sppkit.capture.compiled import (
    is_compiled,
    original,
    originals_in_place,
    refuse_without_forward,
)
from sppkit.capture.compiled_session import CompiledSession
from sppkit.capture.distributed import ALL_RANKS, Ranks, path_on_this_rank
from sppkit.capture.gains import describe_silence, silent_branches
from sppkit.capture.loop import Loop
from sppkit.capture.masks import Mask, MaskFunction
from sppkit.capture.options import Options, make_signals
from sppkit.capture.places import Place
from sppkit.capture.plan import Plan
from sppkit.capture.readable import join_flags
from sppkit.capture.rows import table_rows
from sppkit.capture.scaling import unscaled
from sppkit.capture.session import Reading, Session
from sppkit.capture.sharding import Spread, spread_of, unwrapped, user_class
from sppkit.capture.structure import describe_initialisation
from sppkit.capture.updates import Updates
from sppkit.errors import RecordingError
from sppkit.patterns import Patterns
from sppkit.recording import Recording, not_captured_entry
from sppkit.signals import DEFAULT_SIGNALS, Phase, Signal
from sppkit.table import SCHEMA_VERSION


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
        every: int = 1,
        loss_reduction: str | None = None,
        spread: Spread | None = None,
    ) -> None:
        super().__init__(metadata={run: _environment(original(model), options)})
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
        self._run, self._seed, self._every = run, seed, every
        self._steps = 0
        self._recorded_steps = 0
        self._described: Plan | None = None
        self._latest_recorded: int | None = None
        self._is_attached = False
        self._is_entered = False
        self._weights: dict[Place, Reading] = {}
        self._updates = Updates(self._session, options) if _reads_updates(options) else None
        self._loop: Loop | None = None
        if optimizer is not None:
            hear = {"before": self._before_step, "after": self._after_step}
            self._loop = Loop(optimizer, scaler, **hear, skipped=self._skip_step)

    @property
    def plan(self) -> Plan:
        """The plan that the first pass made."""
        return self._session.plan

    def __enter__(self) -> Self:
        """Attach the hooks of the first step; entered again later, go on with the next one.

        Raises:
            RecordingError: it is being recorded into already, or the model is gone.
        """
        if self._is_entered:
            raise RecordingError(
                f"this recording of {self._run!r} is already running: a second `with` would count "
                "everything twice. Leave the first, or make another recording with sppkit.record."
            )
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

    def _open_step(self) -> None:
        if self._steps % self._every == 0:
            self._session.attach()
            self._is_attached = True

    def _open_next_step(self) -> None:
        self._steps += 1
        self._open_step()

    def _before_step(self) -> None:
        if self._updates and self._is_attached:
            self._updates.remember()
        self._close_step()

    def _after_step(self) -> None:
        if self._updates and self._weights and (self._ranks is None or self._ranks.is_first):
            differences = self._session.read(self._updates.differences(), Phase.TRAIN)
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
        self._session.detach()
        with originals_in_place(self._session.model):
            self._keep(self._collected(flag))

    def _close_last_step(self) -> None:
        """End the recording; where there are other ranks, tell them, whatever was seen here."""
        with originals_in_place(self._session.model):
            readings: list[Reading] = []
            if self._is_attached:
                self._session.detach()
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
        shares: Iterable[tuple[int, list[Reading]]] = [(ALL_RANKS, readings)]
        if self._ranks:
            shares = self._ranks.share(readings, self._steps, is_last=is_last)
        rows = [row for rank, share in shares for row in self._add_rows(share, rank)]
        if not readings:
            return
        if self.plan is not self._described:
            self._describe_network(rows)
        self._recorded_steps += 1
        self._latest_recorded = self._steps

    def _add_rows(self, readings: list[Reading], rank: int = ALL_RANKS) -> list[dict[str, Any]]:
        constants = {"run": self._run, "seed": self._seed, "rank": rank, "step": self._steps}
        read = {r.point.place: r.summary for r in readings if r.point.signal is Signal.WEIGHT}
        weights = read or {place: reading.summary for place, reading in self._weights.items()}
        rows = list(table_rows(readings, self._session.model, self.plan, constants, weights))
        self._rows += rows
        return rows

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

    def _describe_network(self, rows: list[dict[str, Any]]) -> None:
        """Add what the structure lacks, from the plan and the weights of its first step."""
        self._described = self.plan
        known = {(row["layer"], row["operation"]) for row in self._structure_rows}
        started: dict[str, list[str]] = {}
        for row in rows:
            if row["signal"] == Signal.WEIGHT:
                described = f"{row['tensor']}: {describe_initialisation(row)}"
                started.setdefault(row["layer"], []).append(described)
        for row in self.plan.structure:
            if (row["layer"], row["operation"]) not in known:
                described = ", ".join(started.get(row["layer"], ()))
                self._structure_rows.append({**row, "run": self._run, "initialisation": described})
        metadata = self.metadata[self._run]
        metadata["remarks"] = list(self.plan.remarks)
        metadata["plan"] = self.plan.digest
        if not known:  # of the network as it was at first
            metadata |= describe_silence(silent_branches(self._session.model, self.plan))

    def _say_what_is_missing(self) -> None:
        with originals_in_place(self._session.model):
            never_called = list(_never_called(self._session.model, self.plan))
        metadata = self.metadata[self._run]
        missing = self._session.missing | (self._updates.unread if self._updates else {})
        if not self._recorded_steps:
            missing.setdefault(("", ""), "no forward pass of the model was seen")
        entries = [
            not_captured_entry(self._run, layer, signal, reason)
            for (layer, signal), reason in missing.items()
        ]
        said = {layer for layer, signal in missing if not signal}
        entries += [
            not_captured_entry(self._run, layer, "", reason)
            for layer, reason in never_called
            if layer not in said
        ]
        metadata["not_captured"] = entries
        metadata["recorded_steps"] = self._recorded_steps
        if self._ranks:
            metadata["remarks"] = [*metadata["remarks"], *self._ranks.remarks]
            metadata["distributed"] = self._ranks.describe()
        reasons = {entry["layer"]: entry["reason"] for entry in entries}
        for row in self._structure_rows:
            row["not_captured"] = reasons.get(row["layer"])


def record(
    model: nn.Module,
    *,
    optimizer: torch.optim.Optimizer | None = None,
    scaler: torch.amp.GradScaler | None = None,
    every: int = 1,
    run: str | None = None,
    seed: int = 0,
    signals: Iterable[Signal | str] = DEFAULT_SIGNALS,
    granularity: Literal["layer", "operation"] = "layer",
    loss_reduction: Literal["mean", "sum"] | None = None,
    include: Patterns | None = None,
    exclude: Patterns | None = None,
    extended: bool = False,
    channel_axis: Mapping[str, int] | None = None,
    blocks: Patterns | None = None,
    residual_branches: Patterns | None = None,
    stem: Patterns | None = None,
    mask: MaskFunction | None = None,
) -> Recorder:
    """Record the signals of a model while your own code runs it.

    Hooks are on the model only inside the `with` block and only during recorded steps. A tensor is
    read once, inside the hook, before anything can change it; the numbers stay on its device until
    the step ends. Forward passes between two steps are merged exactly, weighted by size.

    Args:
        model: any module with a Python forward; of a compiled model, what the user calls, before
            its first call (else everything compiled is compiled again, with a warning).
        optimizer: ends a step right before each of its own steps; without it call `.step()`.
        scaler: the gradient scaler of the loop; gradients are divided by the scale that their loss
            had, and steps that it skips are flagged and counted.
        every: record one step in so many.
        run: name of the run; by default the model's class.
        seed: written to the table.
        signals: which signals to record, of `sppkit.Signal`; by default all but "update", which
            costs a copy of the parameters and needs the optimiser.
        granularity: "operation" also records the functional calls between layers (F.relu, add,
            matmul, softmax, ...), at about half a microsecond per call and one read of each result.
        loss_reduction: "mean" or "sum" over the samples, for `sppkit.per_sample_gradients`.
        include, exclude: layers by name (globs, or regular expressions behind `re:`).
        extended: also record mean absolute values, kurtosis and quantiles (slower).
        channel_axis: axis of the channels by layer name, where the default is wrong.
        blocks, residual_branches, stem: layers by name, over what provenance finds.
        mask: leaves padding out: a function that is given the arguments of each forward pass and
            returns a tensor that is True at the real positions, as
            ``lambda tokens: tokens != 0``, or None for a pass without. Inside a loop,
            ``recording.mask(tensor)`` does it for the next pass. It applies to the activations and
            gradients whose leading axes have its shape and whose channels lie behind them;
            `samples` counts what was read. Rows that it does not fit are flagged "unmasked".

    In several processes (`torch.distributed`) call it on every rank, with the wrapped model: what
    all ranks read is merged on rank 0 as if it were one batch; see docs/distributed.md.

    Returns:
        A recording to use in a `with` statement.

    Raises:
        ValueError: a pattern matches no layer, a signal is unknown, or `every` is no positive
            number.
        TypeError: `model` is no module, is `nn.DataParallel`, or was scripted, traced or exported.

    Example:
        >>> import torch, sppkit
        >>> model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU())
        >>> with sppkit.record(model) as recording:
        ...     model(torch.randn(32, 4)).sum().backward()
        >>> sorted(set(recording.table()["signal"]))
        ['activation', 'gradient', 'weight', 'weight gradient']
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, not {type(model).__name__}")
    if every < 1:
        raise ValueError(f"every={every} must be 1 or more: record one step in so many")
    options = Options(
        signals=make_signals(signals),
        include=include,
        exclude=exclude,
        channel_axis=dict(channel_axis or {}),
        blocks=blocks,
        residual_branches=residual_branches,
        stem=stem,
        mask=mask,
        extended=extended,
        granularity=granularity,
    )
    spread, model = spread_of(model), unwrapped(model)
    refuse_without_forward(model)
    with originals_in_place(model):
        options.check(original(model))
    _check_loop(optimizer, scaler, options)
    return Recorder(
        model,
        options,
        run=run or user_class(original(model)).__name__,
        seed=seed,
        optimizer=optimizer,
        scaler=scaler,
        every=every,
        loss_reduction=loss_reduction,
        spread=spread,
    )


def _reads_updates(options: Options) -> bool:
    return Signal.UPDATE in options.signals


def _check_loop(
    optimizer: torch.optim.Optimizer | None, scaler: torch.amp.GradScaler | None, options: Options
) -> None:
    if optimizer is None and scaler is not None:
        raise ValueError("scaler= needs optimizer=: it is the optimiser's steps that it skips")
    if optimizer is None and Signal.UPDATE in options.signals:
        raise ValueError("the signal 'update' needs optimizer=: it is what its step changes")
    if options.granularity not in ("layer", "operation"):
        raise ValueError(f"granularity={options.granularity!r} must be 'layer' or 'operation'")


def _environment(model: nn.Module, options: Options) -> dict[str, Any]:
    """Describe with what a run is measured."""
    tensor = next((t for t in (*model.parameters(), *model.buffers())), None)
    return {
        "schema": SCHEMA_VERSION,
        "model": user_class(model).__name__,
        "versions": {
            "sppkit": __version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
        "platform": sys.platform,
        "device": str(tensor.device) if tensor is not None else "cpu",
        "mode": "train" if model.training else "eval",
        "signals": sorted(str(signal) for signal in options.signals),
        "extended": options.extended,
        "remarks": [],
        "not_captured": [],
    }


_SCRIPTED = "a scripted module runs no Python hooks: use the module that it was made from"
_ROOT_NEVER_CALLED = (
    "the model itself was never called, only modules inside of it: each of their calls counts as "
    "a forward pass of its own"
)
_NEVER_CALLED = (
    "the module was never called, or by its .forward(), which runs no hooks; its parameters may "
    "be used by another one, as nn.MultiheadAttention does with out_proj"
)


def _never_called(model: nn.Module, plan: Plan) -> Iterable[tuple[str, str]]:
    called = {row["layer"] for row in plan.structure if row["calls"]}
    scripted: set[str] = set()
    for name, module in model.named_modules() if plan.is_made else ():
        if name in called or "parametrizations" in name.split("."):
            continue
        if isinstance(module, torch.jit.ScriptModule):
            scripted.add(name)
            if name.rpartition(".")[0] not in scripted:
                yield name, _SCRIPTED
        elif not name:
            yield name, _ROOT_NEVER_CALLED
        elif any(p is not None for p in module._parameters.values()):
            yield name, _NEVER_CALLED
