"""`sppkit.probe`: measure a network at initialisation, over several seeds, and leave no trace.

One seed is: build the network, make a batch, run forward and backward once while recording. The
first seed is preceded by one traced forward on two samples, which makes the plan of all of them.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast

import torch
import torch.nn.functional as F  # noqa: N812  (torch's own convention)
from torch import nn

from sppkit.capture.gains import activated, describe_silence, silent_branches
from sppkit.capture.options import Options, make_signals
from sppkit.capture.places import tensors_in
from sppkit.capture.plan import Plan
from sppkit.capture.recorder import Recorder
from sppkit.capture.session import Session
from sppkit.capture.state import isolated_randomness, left_as_found, without_fused_attention
from sppkit.errors import ProbeError
from sppkit.inputs import ProbeBatch, make_batch
from sppkit.patterns import Patterns
from sppkit.recording import Recording
from sppkit.signals import Phase, Signal
from sppkit.user_code import describe_exception

Loss = Callable[[Any, torch.Tensor | None], torch.Tensor]
Model = nn.Module | Callable[[], nn.Module]
Sizes = tuple[tuple[int, ...], ...]
Input = str | torch.Tensor | tuple[Any, ...] | Mapping[str, Any] | Callable[[], Any]

DEFAULT_BATCH_SIZE = 16
MOST_VALUES = 2**28
"""Activation values that the default batch may make: about a gibibyte in float32."""

_AMP = {"off": None, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Conditions:
    """Under what a network is probed: everything that a plot of it has to state.

    Attributes:
        input: name of a source (see `sppkit.inputs.make_batch`), or a function without arguments
            that returns a `ProbeBatch`.
        input_size: one size per input, without the batch.
        input_dtype, vocabulary: of the input; "int" draws tokens of a vocabulary.
        batch_size: samples; None chooses 16, or fewer where the network is large.
        mode: "train" or "eval".
        loss: "unit-gradient", "cross-entropy" or a function of output and labels.
        device: where to run; None stays where the model is.
        amp: "off", "bf16" or "fp16".
        activate: set zero-initialised residual gains to one while measuring.
    """

    input: str | Callable[[], ProbeBatch] = "gaussian"
    input_size: Sizes = ()
    input_dtype: str = "float32"
    vocabulary: int | None = None
    batch_size: int | None = None
    mode: Literal["train", "eval"] = "train"
    loss: str | Loss = "unit-gradient"
    device: str | None = None
    amp: Literal["off", "bf16", "fp16"] = "off"
    activate: bool = False

    def batch(self, seed: int, samples: int) -> ProbeBatch:
        """Make the batch of a seed, on the CPU."""
        if callable(self.input):
            return self.input()
        return make_batch(
            self.input,
            input_size=self.input_size,
            batch_size=samples,
            generator=torch.Generator().manual_seed(seed),
            dtype=self.input_dtype,
            vocabulary=self.vocabulary,
        )


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
    signals: tuple[Signal | str, ...] = tuple(Signal),
    include: Patterns | None = None,
    exclude: Patterns | None = None,
    channel_axis: Mapping[str, int] | None = None,
    blocks: Patterns | None = None,
    residual_branches: Patterns | None = None,
    stem: Patterns | None = None,
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
        signals, include, exclude, channel_axis, blocks, residual_branches, stem: as in `record`.
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
        input=_source(input),
        input_size=_sizes(input_size),
        input_dtype=input_dtype,
        vocabulary=vocabulary,
        batch_size=batch_size,
        mode=mode,
        loss=loss,
        device=device,
        amp=amp,
        activate=activate,
    )
    _check(conditions, seeds)
    options = Options(
        signals=make_signals(signals),
        include=include,
        exclude=exclude,
        channel_axis=dict(channel_axis or {}),
        blocks=blocks,
        residual_branches=residual_branches,
        stem=stem,
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
        self._run = run or _default_name(model)
        self._plan: Plan | None = None
        self._batch_size = conditions.batch_size
        self._recorders: dict[int, Recorder] = {}
        self._silence: dict[str, list[str]] = {}
        self._description = ""
        self._shapes: list[list[int]] = []

    def measure(self, seed: int) -> None:
        """Probe one seed."""
        with isolated_randomness(seed), without_fused_attention():
            model = self._build()
            with left_as_found(model):
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
        rows = [row for recorder in self._recorders.values() for row in recorder._rows]
        return Recording(rows, first._structure_rows, {self._run: metadata})

    def _build(self) -> nn.Module:
        model = self._model if isinstance(self._model, nn.Module) else _built(self._model)
        return model.to(self._conditions.device) if self._conditions.device else model

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
            if Signal.GRADIENT in self._options.signals or (
                Signal.WEIGHT_GRADIENT in self._options.signals
            ):
                self._backward(model, output, batch, seed)
        self._recorders[seed] = recorder

    def _forward(self, model: nn.Module, batch: ProbeBatch) -> Any:
        device = _device_of(model)
        args, kwargs = _moved(batch.args, device), _moved(batch.kwargs, device)
        precision = _AMP[self._conditions.amp]
        try:
            with torch.autocast(device.type, precision, enabled=precision is not None):
                output = model(*args, **kwargs)
        except Exception as error:
            raise ProbeError(self._explain(model, batch, error)) from error
        if not any(True for _ in tensors_in(output)):
            raise ProbeError(
                f"{type(model).__name__} returned {type(output).__name__}, which holds no tensor. "
                "Its forward must return a tensor, or a tuple, list, dict or dataclass of tensors."
            )
        return output

    def _backward(self, model: nn.Module, output: Any, batch: ProbeBatch, seed: int) -> None:
        outputs = [t for _, t in tensors_in(output) if t.requires_grad]
        if not outputs:
            return  # the recorder says that no gradient was seen
        loss = self._conditions.loss
        try:
            if loss == "unit-gradient":
                torch.autograd.backward(outputs, [_cotangent(t, seed) for t in outputs])
            else:
                compute = cast(Loss, _cross_entropy if loss == "cross-entropy" else loss)
                labels = None if batch.labels is None else batch.labels.to(outputs[0].device)
                compute(output, labels).backward()
        except ProbeError:
            raise
        except Exception as error:
            raise ProbeError(
                f"the backward pass of {type(model).__name__} under the loss {_named(loss)} "
                f"failed: {_described(model, error)}. Try loss='unit-gradient', or record "
                "activations only."
            ) from error

    def _explain(self, model: nn.Module, batch: ProbeBatch, error: Exception) -> str:
        """Say what the model said, and what it was given."""
        tried = ", ".join(
            f"{tuple(t.shape)} {str(t.dtype).removeprefix('torch.')}"
            for _, t in tensors_in((batch.args, batch.kwargs))
        )
        return (
            f"the forward pass of {type(model).__name__} failed: "
            f"{_described(model, error)}. It was given {batch.description}, shape {tried}. "
            f"{_advice(error)}"
        )

    def _stated(self) -> dict[str, Any]:
        """List the conditions for the metadata."""
        conditions = self._conditions
        shares_weights = isinstance(self._model, nn.Module)
        return {
            "input": self._description,
            "input_shapes": self._shapes,
            "batch_size": self._shapes[0][0] if self._shapes and self._shapes[0] else None,
            "mode": conditions.mode,
            "loss": _named(conditions.loss),
            "amp": conditions.amp,
            "activated": conditions.activate,
            **self._silence,
            "seeds": list(self._recorders),
            "weights": "the same for all seeds" if shares_weights else "new for each seed",
        }


def _missing(recorder: Recorder, run: str) -> list[dict[str, str]]:
    entries: list[dict[str, str]] = recorder.metadata[run]["not_captured"]
    return entries


def _source(given: Any) -> str | Callable[[], ProbeBatch]:
    """Bring what Python callers hand over as input into the form of `Conditions`."""
    if isinstance(given, str):
        return given
    if isinstance(given, ProbeBatch):
        return lambda: given
    if callable(given) and not isinstance(given, torch.Tensor):
        return lambda: _as_batch(given())
    return lambda: _as_batch(given)


def _as_batch(given: Any) -> ProbeBatch:
    if isinstance(given, ProbeBatch):
        return given
    if isinstance(given, torch.Tensor):
        return ProbeBatch((given,), {}, None, "the given tensor")
    if isinstance(given, Mapping):
        return ProbeBatch((), dict(given), None, "the given arguments")
    if isinstance(given, tuple | list):
        return ProbeBatch(tuple(given), {}, None, "the given arguments")
    raise ProbeError(
        f"input is a {type(given).__name__}; expected the name of a source such as 'gaussian', a "
        "tensor, a tuple of positional arguments, a dict of keyword arguments, or a function "
        "that returns one of them."
    )


def _sizes(size: Any) -> Sizes:
    if size is None:
        return ()
    sizes = (size,) if all(isinstance(n, int) for n in size) else tuple(map(tuple, size))
    for each in sizes:
        if not all(isinstance(n, int) and n > 0 for n in each):
            raise ValueError(f"input_size={size!r} must hold positive whole numbers")
    return tuple(tuple(each) for each in sizes)


def _check(conditions: Conditions, seeds: int) -> None:
    if seeds < 1:
        raise ValueError(f"seeds={seeds} must be 1 or more")
    if conditions.batch_size is not None and conditions.batch_size < 1:
        raise ValueError(f"batch_size={conditions.batch_size} must be 1 or more")
    if conditions.mode not in ("train", "eval"):
        raise ValueError(f"mode={conditions.mode!r} must be 'train' or 'eval'")
    if conditions.amp not in _AMP:
        raise ValueError(f"amp={conditions.amp!r} must be one of {list(_AMP)}")
    if isinstance(conditions.loss, str) and conditions.loss not in _LOSSES:
        raise ValueError(f"loss={conditions.loss!r} must be one of {list(_LOSSES)} or a function")


_LOSSES = ("unit-gradient", "cross-entropy")


def _default_name(model: Model) -> str:
    if isinstance(model, nn.Module):
        return type(model).__name__
    name = getattr(model, "__name__", type(model).__name__)
    return "model" if name == "<lambda>" else name


def _built(factory: Callable[[], nn.Module]) -> nn.Module:
    model = factory()
    if not isinstance(model, nn.Module):
        raise ProbeError(
            f"{_default_name(factory)} returned {type(model).__name__}; expected a "
            "torch.nn.Module. Pass a module, or a function without arguments that builds one."
        )
    return model


def _default_batch_size(values_per_sample: int) -> int:
    """Halve the default until its activations fit; never below the two that BatchNorm needs."""
    samples = DEFAULT_BATCH_SIZE
    while samples > 2 and samples * values_per_sample > MOST_VALUES:
        samples //= 2
    return samples


def _samples(batch: ProbeBatch) -> int:
    sizes = [t.shape[0] for _, t in tensors_in((batch.args, batch.kwargs)) if t.dim()]
    return sizes[0] if sizes else 1


def _device_of(model: nn.Module) -> torch.device:
    tensor = next((t for t in (*model.parameters(), *model.buffers())), None)
    return torch.device("cpu") if tensor is None else tensor.device


def _moved(value: Any, device: torch.device) -> Any:
    if isinstance(value, torch.Tensor):
        return value.to(device, copy=True)  # a network that writes into its input spoils a copy
    if isinstance(value, dict):
        return {key: _moved(part, device) for key, part in value.items()}
    if type(value) in (tuple, list):
        return type(value)(_moved(part, device) for part in value)
    return value


def _cotangent(output: torch.Tensor, seed: int) -> torch.Tensor:
    """Draw the fixed cotangent of unit variance that takes the place of a loss's gradient."""
    generator = torch.Generator().manual_seed(seed)
    kind = torch.float64 if output.dtype == torch.float64 else torch.float32
    drawn = torch.randn(output.shape, generator=generator, dtype=kind)
    return drawn.to(output.device, output.dtype)


def _cross_entropy(output: Any, labels: torch.Tensor | None) -> torch.Tensor:
    """Apply the mean cross-entropy to the first output, with random labels where there are none."""
    logits = next(t for _, t in tensors_in(output) if t.requires_grad)
    if logits.dim() < 2:
        raise ProbeError(
            f"loss='cross-entropy' needs logits (N, classes), and the output has the shape "
            f"{tuple(logits.shape)}. Use loss='unit-gradient' or a function of your own."
        )
    if logits.dim() == 3:  # (N, tokens, classes)
        logits = logits.flatten(0, 1)
    shape = (logits.shape[0], *logits.shape[2:])
    if labels is None or labels.shape != shape or int(labels.max()) >= logits.shape[1]:
        drawn = torch.randint(logits.shape[1], shape, generator=torch.Generator().manual_seed(0))
        labels = drawn.to(logits.device)
    return F.cross_entropy(logits.float(), labels)


def _named(loss: str | Loss) -> str:
    return loss if isinstance(loss, str) else getattr(loss, "__name__", "custom")


def _described(model: nn.Module, error: Exception) -> str:
    """Describe an exception, with the line of the model's own file that led to it."""
    try:
        file = inspect.getsourcefile(type(model))
    except TypeError:  # a class without a file
        file = None
    return describe_exception(error, Path(file) if file else None)


def _advice(error: Exception) -> str:
    text = str(error)
    if "indices" in text and ("Long" in text or "Int" in text or "FloatTensor" in text):
        return (
            "A model of tokens needs integers: input_dtype='int' with vocabulary=SIZE "
            "(--input-dtype int --vocab SIZE)."
        )
    return (
        "Give the size of one sample with input_size=(...) (-s 3,64,64), or the arguments of the "
        "forward with input=function (--example-input module.py:function)."
    )
