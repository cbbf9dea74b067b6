"""Measure a network seed by seed: build, trace once, then record each of the passes of a seed."""

import copy
import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from sppkit.capture.calls.compiled_modules import original, run_eagerly
from sppkit.capture.calls.depth import inside_probe
from sppkit.capture.calls.places import tensors_in
from sppkit.capture.gains import activated, describe_silence, silent_branches
from sppkit.capture.planning.options import Options
from sppkit.capture.planning.plan import Plan
from sppkit.capture.recorder import Recorder
from sppkit.capture.steps.session import Session
from sppkit.capture.steps.state import isolated_randomness, left_as_found, without_fused_attention
from sppkit.capture.tracing.graph import Graph
from sppkit.errors import ProbeError
from sppkit.inputs import ProbeBatch
from sppkit.probing.conditions import PRECISIONS, Conditions
from sppkit.probing.execution import (
    build_model,
    check_has_values,
    default_name,
    describe_failure,
    device_of,
    run_forward,
)
from sppkit.probing.fingerprint import fingerprint
from sppkit.probing.losses import Loss, loss_name, run_backward
from sppkit.recording import Recording
from sppkit.signals import Signal
from sppkit.table import concatenate

Model = nn.Module | Callable[[], nn.Module]

DEFAULT_BATCH_SIZE = 16
MOST_VALUES = 2**28
"""Activation values that the default batch may make: about a gibibyte in float32."""

IDENTICAL_WEIGHTS = (
    "the function that builds the model gave the same weights for every seed (it seeds torch "
    "itself, loads weights, or draws nothing): the seeds vary the input only"
)


@dataclass(frozen=True)
class Traced:
    """What the one traced forward pass of a measurement says of the network.

    Attributes:
        plan: where to record.
        graph: which tensor came from which.
        multiplications: of one sample in the layers that have a fan-in, about.
    """

    plan: Plan
    graph: Graph
    multiplications: int


@dataclass(frozen=True)
class Pass:
    """One recorded forward and backward pass of a seed.

    Attributes:
        options: what to record, and the phase it is written under.
        loss: gives the loss for a seed, once the network has been traced.
        advice: the next step, where the backward pass fails.
    """

    options: Options
    loss: Callable[[int, Traced], str | Loss]
    advice: str = "Try loss='unit-gradient', or record activations only."


Circumstances = Callable[[nn.Module, int, Traced], AbstractContextManager[None]]
"""What holds while a model is measured under a seed: changes that are undone afterwards."""


class Measurement:
    """The state of a probe between seeds: the plan, the batch size, and what was recorded.

    Args:
        model: a module, or a function that builds one.
        conditions: under what it is measured.
        passes: of every seed, in this order; all with the same input, weights and dropout masks.
        run: name of the run; None takes the model's.
        most_multiplications: that the default batch may cost in a forward pass.
        circumstances: what else holds while the passes run.
    """

    def __init__(
        self,
        model: Model,
        conditions: Conditions,
        passes: Sequence[Pass],
        run: str | None = None,
        *,
        most_multiplications: float = math.inf,
        circumstances: Circumstances = lambda *_: nullcontext(),
    ) -> None:
        self.run = run or default_name(model)
        self.fingerprints: dict[int, int | None] = {}
        self._model = model
        self._conditions = conditions
        self._passes = passes
        self._most_multiplications = most_multiplications
        self._circumstances = circumstances
        self._traced: Traced | None = None
        self._batch_size = conditions.batch_size
        self._recorders: dict[int, list[Recorder]] = {}
        self._silence: dict[str, list[str]] = {}
        self._description = ""
        self._shapes: list[list[int]] = []

    def measure(self, seed: int) -> None:
        """Run the passes of one seed.

        Raises:
            ProbeError: the model cannot be built or run; the measurement is as before.
        """
        with inside_probe(), isolated_randomness(seed), without_fused_attention():
            model = self._build()
            with run_eagerly(model), left_as_found(model := original(model)):
                model.train(self._conditions.mode == "train")
                traced = self._trace(model, seed)
                silent = silent_branches(model, traced.plan)
                self._silence = describe_silence(silent)
                with (
                    activated(model, silent if self._conditions.activate else []),
                    self._circumstances(model, seed, traced),
                ):
                    recorders = [self._record(model, seed, each, traced) for each in self._passes]
                found = fingerprint(model)  # lazy parameters have come into being by now
        self._recorders[seed], self.fingerprints[seed] = recorders, found

    def recording(self) -> Recording:
        """Join the seeds measured so far."""
        recorders = [recorder for each in self._recorders.values() for recorder in each]
        first = recorders[0]
        metadata = first.metadata[self.run] | self._stated()
        missing = [entry for r in recorders for entry in _missing(r, self.run)]
        metadata["not_captured"] = list({tuple(e.items()): e for e in missing}.values())
        signals = {str(signal) for each in self._passes for signal in each.options.signals}
        metadata["signals"] = sorted(signals)
        if self._ignores_the_seed():
            metadata["remarks"] = [*metadata["remarks"], IDENTICAL_WEIGHTS]
        table = concatenate([recorder.table() for recorder in recorders])
        return Recording.from_frames(table, first.structure(), {self.run: metadata})

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds measured so far."""
        return tuple(self._recorders)

    @property
    def has_one_initialisation(self) -> bool:
        """Whether all seeds share their weights: an instance, or a function that ignores seeds."""
        is_instance = isinstance(self._model, nn.Module) and not _is_lazy(self._model)
        return is_instance or self._ignores_the_seed()

    def _ignores_the_seed(self) -> bool:
        several = len(self.fingerprints) > 1 and not isinstance(self._model, nn.Module)
        return several and len(found := set(self.fingerprints.values())) == 1 and found != {None}

    def _build(self) -> nn.Module:
        device = self._conditions.device
        if not isinstance(self._model, nn.Module):
            model = build_model(self._model)
            check_has_values(model)
            return model.to(device) if device else model
        check_has_values(self._model)
        is_there = device is None or torch.device(device) == device_of(self._model)
        if is_there and not _is_lazy(self._model):
            return self._model
        return copy.deepcopy(self._model).to(device)  # the user's own stays as and where it is

    def _trace(self, model: nn.Module, seed: int) -> Traced:
        """Make the plan from one forward pass on two samples, and choose the batch size."""
        if self._traced:
            _check_same_modules(self._traced.plan, model, seed)
            return self._traced
        options = self._passes[0].options
        options.check(model)
        session = Session(model, replace(options, signals=frozenset()))
        batch = self._conditions.batch(seed, min(2, self._batch_size or 2))
        try:
            session.attach()
            self._forward(model, batch)
        finally:
            session.detach()
        _, graph, plan = session.traced()
        samples = max(_samples(batch), 1)
        traced = Traced(plan, graph, _multiplications(plan, graph) // samples)
        if self._batch_size is None:
            self._batch_size = _default_batch_size(
                plan.values // samples, traced.multiplications, self._most_multiplications
            )
        self._traced = traced
        return traced

    def _record(self, model: nn.Module, seed: int, each: Pass, traced: Traced) -> Recorder:
        torch.manual_seed(seed)
        for parameter in model.parameters():
            parameter.grad = None  # of the pass before
        batch = self._conditions.batch(seed, self._batch_size or DEFAULT_BATCH_SIZE)
        self._description = batch.description
        self._shapes = [list(t.shape) for _, t in tensors_in((batch.args, batch.kwargs))]
        recorder = Recorder(model, each.options, run=self.run, seed=seed, plan=traced.plan)
        with recorder:
            output = self._forward(model, batch)
            if each.options.signals & {Signal.GRADIENT, Signal.WEIGHT_GRADIENT}:
                self._backward(model, output, batch, seed, each)
        return recorder

    def _forward(self, model: nn.Module, batch: ProbeBatch) -> Any:
        return run_forward(model, batch, PRECISIONS[self._conditions.amp])

    def _backward(
        self, model: nn.Module, output: Any, batch: ProbeBatch, seed: int, each: Pass
    ) -> None:
        assert self._traced is not None
        loss = each.loss(seed, self._traced)
        try:
            run_backward(loss, output, batch.labels, seed)
        except ProbeError:
            raise
        except Exception as error:
            raise ProbeError(
                f"the backward pass of {type(model).__name__} under the loss {loss_name(loss)} "
                f"failed: {describe_failure(model, error)}. {each.advice}"
            ) from error

    def _stated(self) -> dict[str, Any]:
        """List the conditions for the metadata."""
        conditions = self._conditions
        return {
            "input": self._description,
            "input_shapes": self._shapes,
            "batch_size": self._shapes[0][0] if self._shapes and self._shapes[0] else None,
            "mode": conditions.mode,
            "loss": loss_name(conditions.loss),
            "amp": conditions.amp,
            "activated": conditions.activate,
            **self._silence,
            "seeds": list(self._recorders),
            "weights": (
                "the same for all seeds" if self.has_one_initialisation else "new for each seed"
            ),
        }


def _check_same_modules(plan: Plan, model: nn.Module, seed: int) -> None:
    planned = {row["layer"] for row in plan.structure if not row["operation"]}
    present = {name for name, _ in model.named_modules()}
    if planned != present:
        other = sorted(planned ^ present)
        raise ProbeError(
            f"for seed {seed} the function builds another network than for the first seed: "
            f"{len(other)} modules are in one of them only, such as {other[0]!r}. Seeds are "
            "compared layer by layer; fix what is drawn of the architecture itself."
        )


def _is_lazy(model: nn.Module) -> bool:
    """Say whether a model gets weights at its first call only."""
    return any(is_lazy(tensor) for tensor in (*model.parameters(), *model.buffers()))


def _missing(recorder: Recorder, run: str) -> list[dict[str, str]]:
    entries: list[dict[str, str]] = recorder.metadata[run]["not_captured"]
    return entries


def _multiplications(plan: Plan, graph: Graph) -> int:
    """Add up fan-in x output values of every call of a weighted layer, of the traced batch."""
    fans = {row["layer"]: row.get("fan_in") or 0 for row in plan.structure if not row["operation"]}
    places = ((p, node.shape) for node in graph.nodes for p in node.emitted if not p.operation)
    return sum(fans.get(place.layer, 0) * math.prod(shape) for place, shape in places)


def _default_batch_size(
    values_per_sample: int, multiplications: int = 0, most_multiplications: float = math.inf
) -> int:
    """Halve the default until its activations fit and it is quick enough.

    It is never below the two that BatchNorm needs, nor below four for the sake of speed.
    """
    samples = DEFAULT_BATCH_SIZE
    while samples > 2 and samples * values_per_sample > MOST_VALUES:
        samples //= 2
    while samples > 4 and samples * multiplications > most_multiplications:
        samples //= 2
    return samples


def _samples(batch: ProbeBatch) -> int:
    sizes = [t.shape[0] for _, t in tensors_in((batch.args, batch.kwargs)) if t.dim()]
    return sizes[0] if sizes else 1
