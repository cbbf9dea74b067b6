"""`sppkit.record`: a context manager that records a model while the user's own code runs it."""

import platform
import sys
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any, Self

import torch
from torch import nn

from sppkit import __version__
from sppkit.capture.compiled import is_compiled, original, refuse_without_forward, unwrapped
from sppkit.capture.compiled_session import CompiledSession
from sppkit.capture.gains import describe_silence, silent_branches
from sppkit.capture.options import Options, make_signals
from sppkit.capture.plan import Plan
from sppkit.capture.rows import table_rows
from sppkit.capture.session import Session
from sppkit.capture.structure import describe_initialisation
from sppkit.patterns import Patterns
from sppkit.recording import Recording, not_captured_entry
from sppkit.signals import Signal
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
        every: int = 1,
    ) -> None:
        super().__init__(metadata={run: _environment(original(model), options)})
        compiled = plan is None and is_compiled(model)
        self._session = (
            CompiledSession(model, options) if compiled else Session(model, options, plan)
        )
        self._model = original(model)
        self._run, self._seed, self._every = run, seed, every
        self._steps = 0
        self._recorded_steps = 0
        self._is_attached = False
        self._optimizer = optimizer
        self._handles: list[torch.utils.hooks.RemovableHandle] = []

    @property
    def plan(self) -> Plan:
        """The plan that the first pass made."""
        return self._session.plan

    def __enter__(self) -> Self:
        """Attach the hooks of the first step."""
        if self._optimizer is not None:
            self._handles = [
                self._optimizer.register_step_pre_hook(lambda *_: self._close_step()),
                self._optimizer.register_step_post_hook(lambda *_: self._open_next_step()),
            ]
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
            elif self._session.has_seen_a_pass:
                self._close_step()
        finally:
            self._session.close()
            for handle in self._handles:
                handle.remove()
            self._is_attached = False
        self._say_what_is_missing()

    def step(self) -> None:
        """End a step: read weights and weight gradients, fetch what the hooks wrote.

        To be called once per optimiser step, between `backward()` and `optimizer.step()` where the
        weight gradients are wanted raw. Recorders that were given the optimiser do it themselves.
        """
        self._close_step()
        self._open_next_step()

    def _open_step(self) -> None:
        if self._steps % self._every == 0:
            self._session.attach()
            self._is_attached = True

    def _open_next_step(self) -> None:
        self._steps += 1
        self._open_step()

    def _close_step(self) -> None:
        if not self._is_attached:
            return
        self._is_attached = False
        self._session.detach()
        with unwrapped(self._model):
            self._read_step()

    def _read_step(self) -> None:
        readings = self._session.collect()
        constants = {"run": self._run, "seed": self._seed, "rank": -1, "step": self._steps}
        self._rows += list(table_rows(readings, self._model, self.plan, constants))
        if readings and not self._recorded_steps:
            self._describe_network()
        self._recorded_steps += bool(readings)

    def _forget_interrupted_step(self, kind: type[BaseException]) -> None:
        if self._session.has_seen_a_pass:
            reason = f"step {self._steps} was interrupted by {kind.__name__} and is left out"
            self._session.missing["", f"step {self._steps}"] = reason
        self._session.discard()

    def _describe_network(self) -> None:
        """Fill in the structure once, from the plan and the weights of the first step."""
        started: dict[str, list[str]] = {}
        for row in self._rows:
            if row["signal"] == Signal.WEIGHT:
                described = f"{row['tensor']}: {describe_initialisation(row)}"
                started.setdefault(row["layer"], []).append(described)
        for row in self.plan.structure:
            described = ", ".join(started.get(row["layer"], ()))
            self._structure_rows.append({**row, "run": self._run, "initialisation": described})
        metadata = self.metadata[self._run]
        metadata["remarks"] = list(self.plan.remarks)
        metadata |= describe_silence(silent_branches(self._model, self.plan))
        metadata["plan"] = self.plan.digest

    def _say_what_is_missing(self) -> None:
        with unwrapped(self._model):
            never_called = list(_never_called(self._model, self.plan))
        metadata = self.metadata[self._run]
        missing = dict(self._session.missing)
        if not self._recorded_steps:
            missing.setdefault(("", ""), "no forward pass of the model was seen")
        entries = [
            not_captured_entry(self._run, layer, signal, reason)
            for (layer, signal), reason in missing.items()
        ]
        entries += [
            not_captured_entry(self._run, layer, "", reason) for layer, reason in never_called
        ]
        metadata["not_captured"] = entries
        metadata["recorded_steps"] = self._recorded_steps
        reasons = {entry["layer"]: entry["reason"] for entry in entries}
        for row in self._structure_rows:
            row["not_captured"] = reasons.get(row["layer"])


def record(
    model: nn.Module,
    *,
    optimizer: torch.optim.Optimizer | None = None,
    every: int = 1,
    run: str | None = None,
    seed: int = 0,
    signals: Iterable[Signal | str] = tuple(Signal),
    include: Patterns | None = None,
    exclude: Patterns | None = None,
    extended: bool = False,
    channel_axis: Mapping[str, int] | None = None,
    blocks: Patterns | None = None,
    residual_branches: Patterns | None = None,
    stem: Patterns | None = None,
) -> Recorder:
    """Record the signals of a model while your own code runs it.

    Hooks are on the model only inside the `with` block and only during recorded steps. A tensor is
    read once, inside the hook, before anything can change it; the numbers stay on its device until
    the step ends. Forward passes between two steps are merged exactly, weighted by size.

    Args:
        model: any module with a Python forward; of a compiled model, what the user calls, before
            its first call (else everything compiled is compiled again, with a warning).
        optimizer: ends a step right before each of its own steps; without it call `.step()`.
        every: record one step in so many.
        run: name of the run; by default the model's class.
        seed: written to the table.
        signals: which signals to record, of `sppkit.Signal`.
        include, exclude: layers by name (globs, or regular expressions behind `re:`).
        extended: also record mean absolute values, kurtosis and quantiles (slower).
        channel_axis: axis of the channels by layer name, where the default is wrong.
        blocks, residual_branches, stem: layers by name, over what provenance finds.

    Returns:
        A recording to use in a `with` statement.

    Raises:
        ValueError: a pattern matches no layer, a signal is unknown, or `every` is no positive
            number.
        TypeError: `model` is no module, or one that was scripted, traced or exported.

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
        extended=extended,
    )
    refuse_without_forward(model)
    with unwrapped(model):
        options.check(original(model))
    return Recorder(
        model,
        options,
        run=run or type(original(model)).__name__,
        seed=seed,
        optimizer=optimizer,
        every=every,
    )


def _environment(model: nn.Module, options: Options) -> dict[str, Any]:
    """Describe with what a run is measured."""
    tensor = next((t for t in (*model.parameters(), *model.buffers())), None)
    return {
        "schema": SCHEMA_VERSION,
        "model": type(model).__name__,
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
        "world_size": 1,
        "remarks": [],
        "not_captured": [],
    }


def _never_called(model: nn.Module, plan: Plan) -> Iterable[tuple[str, str]]:
    called = {row["layer"] for row in plan.structure if row["calls"]}
    for name, module in model.named_modules():
        parameters = [p for p in module._parameters.values() if p is not None]
        if plan.is_made and parameters and name not in called and "parametrizations" not in name:
            yield (
                name,
                (
                    "the module was never called; its parameters may be used by another one, "
                    "as nn.MultiheadAttention does with out_proj"
                ),
            )
