"""`sppkit.probe`: measure a network at initialisation, over several seeds, and leave no trace.

One seed is: build the network, make a batch, run forward and backward once while recording. The
first seed is preceded by one traced forward on two samples, which makes the plan of all of them.
`conditions` says under what, `execution` runs the user's code, `losses` starts the backward pass.
"""

import copy
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from sppkit.capture.compiled import original, run_eagerly
from sppkit.capture.depth import inside_probe
from sppkit.capture.gains import activated, describe_silence, silent_branches
from sppkit.capture.masks import MaskFunction
from sppkit.capture.options import Options, make_signals
from sppkit.capture.places import tensors_in
from sppkit.capture.plan import Plan
from sppkit.capture.recorder import Recorder
from sppkit.capture.session import Session
from sppkit.capture.state import isolated_randomness, left_as_found, without_fused_attention
from sppkit.errors import ProbeError
from sppkit.inputs import ProbeBatch
from sppkit.patterns import Patterns
from sppkit.probing.conditions import (
    PRECISIONS,
    Conditions,
    Input,
    Sizes,
    as_sizes,
    as_source,
    check,
)
from sppkit.probing.execution import (
    build_model,
    default_name,
    describe_failure,
    device_of,
    run_forward,
)
from sppkit.probing.losses import Loss, loss_name, run_backward
from sppkit.recording import Recording
from sppkit.signals import DEFAULT_SIGNALS, Phase, Signal
from sppkit.table import concatenate

Model = nn.Module | Callable[[], nn.Module]

DEFAULT_BATCH_SIZE = 16
MOST_VALUES = 2**28
"""Activation values that the default batch may make: about a gibibyte in float32."""


def probe(
    model: Model,
    *,
    input_size: tuple[int, ...] | Sizes | None = None,
    input: Input = "gaussian",
    batch_size: int | None = None,
    input_dtype: str = "float32",
    vocabulary: int | None = None,
    seeds: int = 5,
    seed: int = 0,
    mode: Literal["train", "eval"] = "train",
    loss: str | Loss = "unit-gradient",
    device: str | None = None,
    amp: Literal["off", "bf16", "fp16"] = "off",
    activate: bool = False,
    signals: tuple[Signal | str, ...] = DEFAULT_SIGNALS,
    include: Patterns | None = None,
    exclude: Patterns | None = None,
    channel_axis: Mapping[str, int] | None = None,
    blocks: Patterns | None = None,
    residual_branches: Patterns | None = None,
    stem: Patterns | None = None,
    mask: MaskFunction | None = None,
    run: str | None = None,
    on_seed: Callable[[int], None] | None = None,
) -> Recording:
    """Measure a network at initialisation: one forward and backward pass per seed.

    The backward pass of the loss "unit-gradient" starts from a fixed random cotangent of unit
    variance at every output, so that gradient curves do not depend on a loss. A model that is
    handed over as an instance is left exactly as it was found; its weights are then the same for
    all seeds, which vary the input only. A factory gets new weights with every seed.

    Args:
        model: a module, or a function (or class) without arguments that builds one.
        input_size: size of the input without the batch, such as (3, 64, 64); several for several
            inputs. Not needed where `input` has a size of its own.
        input: "gaussian", "uniform", "pink" (1/f noise), "digits" (real images), a file, a tensor,
            a tuple of positional or a dict of keyword arguments, or a function returning one.
        batch_size: samples; by default 16, or fewer for large networks.
        input_dtype, vocabulary: "int" with a vocabulary draws tokens.
        seeds, seed: number of seeds, and the first one.
        mode: "train" (batch statistics in BatchNorm; buffers are restored) or "eval".
        loss: "unit-gradient", "cross-entropy" (labels are random where the input has none), or a
            function of the model's output and the labels.
        device, amp: where and in which precision to run.
        activate: set zero-initialised residual gains to one while measuring.
        signals, include, exclude, channel_axis, blocks, residual_branches, stem, mask: as in
            `record`.
        run: name of the run; by default the model's class or the factory's name.
        on_seed: is called with each seed when it is done, for a progress bar.

    Returns:
        The recording, with the extended statistics, in the phase "probe".

    Raises:
        ProbeError: the model cannot be built or run on this input, or returns no tensor.
        ValueError: an argument is out of its range, or a pattern matches no layer.

    Example:
        >>> import torch, sppkit
        >>> recording = sppkit.probe(lambda: torch.nn.Linear(64, 64), input_size=(64,), seeds=2)
        >>> variances = recording.table().query("signal == 'activation'")["variance"]
        >>> bool(variances.between(0.25, 0.45).all())  # a third: Linear draws U(-1/8, 1/8)
        True
    """
    conditions = Conditions(
        input=as_source(input),
        input_size=as_sizes(input_size),
        input_dtype=input_dtype,
        vocabulary=vocabulary,
        batch_size=batch_size,
        mode=mode,
        loss=loss,
        device=device,
        amp=amp,
        activate=activate,
    )
    check(conditions, seeds, seed)
    options = Options(
        signals=make_signals(signals),
        include=include,
        exclude=exclude,
        channel_axis=dict(channel_axis or {}),
        blocks=blocks,
        residual_branches=residual_branches,
        stem=stem,
        mask=mask,
        extended=True,
        phase=Phase.PROBE,
    )
    probing = _Probe(model, conditions, options, run)
    for each in range(seed, seed + seeds):
        probing.measure(each)
        if on_seed:
            on_seed(each)
    return probing.recording()


class _Probe:
    """The state of a probe between seeds: the plan, the batch size, and what was recorded."""

    def __init__(
        self,
        model: Model,
        conditions: Conditions,
        options: Options,
        run: str | None,
    ) -> None:
        self._model = model
        self._conditions = conditions
        self._options = options
        self._run = run or default_name(model)
        self._plan: Plan | None = None
        self._batch_size = conditions.batch_size
        self._recorders: dict[int, Recorder] = {}
        self._silence: dict[str, list[str]] = {}
        self._description = ""
        self._shapes: list[list[int]] = []

    def measure(self, seed: int) -> None:
        """Probe one seed."""
        with inside_probe(), isolated_randomness(seed), without_fused_attention():
            model = self._build()
            with run_eagerly(model), left_as_found(model := original(model)):
                model.train(self._conditions.mode == "train")
                if self._plan is None:
                    self._options.check(model)
                    self._plan = self._trace(model, seed)
                silent = silent_branches(model, self._plan)
                self._silence = describe_silence(silent)
                torch.manual_seed(seed)
                with activated(model, silent if self._conditions.activate else []):
                    self._record(model, seed)

    def recording(self) -> Recording:
        """Join the seeds."""
        first = next(iter(self._recorders.values()))
        metadata = first.metadata[self._run] | self._stated()
        missing = [entry for r in self._recorders.values() for entry in _missing(r, self._run)]
        metadata["not_captured"] = list({tuple(e.items()): e for e in missing}.values())
        table = concatenate([recorder.table() for recorder in self._recorders.values()])
        return Recording.from_frames(table, first.structure(), {self._run: metadata})

    def _build(self) -> nn.Module:
        device = self._conditions.device
        if not isinstance(self._model, nn.Module):
            model = build_model(self._model)
            return model.to(device) if device else model
        is_there = device is None or torch.device(device) == device_of(self._model)
        if is_there and not _is_lazy(self._model):
            return self._model
        return copy.deepcopy(self._model).to(device)  # the user's own stays as and where it is

    def _trace(self, model: nn.Module, seed: int) -> Plan:
        """Make the plan from one forward pass on two samples, and choose the batch size."""
        session = Session(model, replace(self._options, signals=frozenset()))
        batch = self._conditions.batch(seed, min(2, self._batch_size or 2))
        try:
            session.attach()
            self._forward(model, batch)
        finally:
            session.detach()
        if self._batch_size is None:
            per_sample = session.plan.values // max(_samples(batch), 1)
            self._batch_size = _default_batch_size(per_sample)
        return session.plan

    def _record(self, model: nn.Module, seed: int) -> None:
        batch = self._conditions.batch(seed, self._batch_size or DEFAULT_BATCH_SIZE)
        self._description = batch.description
        self._shapes = [list(t.shape) for _, t in tensors_in((batch.args, batch.kwargs))]
        recorder = Recorder(model, self._options, run=self._run, seed=seed, plan=self._plan)
        with recorder:
            output = self._forward(model, batch)
            if self._options.signals & {Signal.GRADIENT, Signal.WEIGHT_GRADIENT}:
                self._backward(model, output, batch, seed)
        self._recorders[seed] = recorder

    def _forward(self, model: nn.Module, batch: ProbeBatch) -> Any:
        return run_forward(model, batch, PRECISIONS[self._conditions.amp])

    def _backward(self, model: nn.Module, output: Any, batch: ProbeBatch, seed: int) -> None:
        loss = self._conditions.loss
        try:
            run_backward(loss, output, batch.labels, seed)
        except ProbeError:
            raise
        except Exception as error:
            raise ProbeError(
                f"the backward pass of {type(model).__name__} under the loss {loss_name(loss)} "
                f"failed: {describe_failure(model, error)}. Try loss='unit-gradient', or record "
                "activations only."
            ) from error

    def _stated(self) -> dict[str, Any]:
        """List the conditions for the metadata."""
        conditions = self._conditions
        shares_weights = isinstance(self._model, nn.Module) and not _is_lazy(self._model)
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
            "weights": "the same for all seeds" if shares_weights else "new for each seed",
        }


def _is_lazy(model: nn.Module) -> bool:
    """Say whether a model gets weights at its first call only."""
    return any(is_lazy(tensor) for tensor in (*model.parameters(), *model.buffers()))


def _missing(recorder: Recorder, run: str) -> list[dict[str, str]]:
    entries: list[dict[str, str]] = recorder.metadata[run]["not_captured"]
    return entries


def _default_batch_size(values_per_sample: int) -> int:
    """Halve the default until its activations fit; never below the two that BatchNorm needs."""
    samples = DEFAULT_BATCH_SIZE
    while samples > 2 and samples * values_per_sample > MOST_VALUES:
        samples //= 2
    return samples


def _samples(batch: ProbeBatch) -> int:
    sizes = [t.shape[0] for _, t in tensors_in((batch.args, batch.kwargs)) if t.dim()]
    return sizes[0] if sizes else 1
