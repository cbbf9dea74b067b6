"""Under what a network is probed, and what Python callers may hand over for it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch

from sppkit.errors import ProbeError
from sppkit.inputs import NamedSizes, ProbeBatch, Tokens, make_batch, size_of
from sppkit.probing.losses import LOSSES, Loss, random_stream

Sizes = tuple[tuple[int, ...], ...]
Input = str | torch.Tensor | tuple[Any, ...] | Mapping[str, Any] | Callable[[], Any]

PRECISIONS = {"off": None, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Conditions:
    """Under what a network is probed: everything that a plot of it has to state.

    Attributes:
        input: name of a source (see `sppkit.inputs.make_batch`), or a function without arguments
            that returns a `ProbeBatch`.
        input_size: one size per input, without the batch; by name for keyword arguments.
        input_dtype, vocabulary: of the input; "int" draws tokens of a vocabulary.
        batch_size: samples; None chooses 16, or fewer where the network is large.
        mode: "train" or "eval".
        loss: "unit-gradient", "cross-entropy" or a function of output and labels.
        device: where to run; None stays where the model is.
        amp: "off", "bf16" or "fp16".
        activate: set zero-initialised residual gains to one while measuring.
    """

    input: str | Callable[[], ProbeBatch] = "gaussian"
    input_size: Sizes | NamedSizes = ()
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
            generator=random_stream(seed, "input"),
            dtype=self.input_dtype,
            vocabulary=self.vocabulary,
        )


def as_source(given: Any) -> str | Callable[[], ProbeBatch]:
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


def as_sizes(size: Any) -> Sizes | NamedSizes:
    """Bring one size or several into the form of `Conditions`."""
    if size is None:
        return ()
    if isinstance(size, Mapping):
        return {name: _as_named(name, one) for name, one in size.items()}
    if isinstance(size, int):
        size = (size,)
    sizes = (size,) if all(isinstance(n, int) for n in size) else tuple(map(tuple, size))
    for each in sizes:
        if not all(isinstance(n, int) and n > 0 for n in each):
            raise ValueError(f"input_size={size!r} must hold positive whole numbers")
    return tuple(tuple(each) for each in sizes)


def _as_named(name: str, one: Any) -> tuple[int, ...] | Tokens:
    size = (one,) if isinstance(one, int) else size_of(one)
    if not all(isinstance(n, int) and n > 0 for n in size):
        raise ValueError(f"input_size={{{name!r}: {one!r}}} must hold positive whole numbers")
    return one if isinstance(one, Tokens) else size


def check(conditions: Conditions, seeds: int, seed: int) -> None:
    """Refuse values out of their range.

    Raises:
        ValueError: one is.
    """
    if seed < 0:
        raise ValueError(f"seed={seed} must be 0 or more")
    if seeds < 1:
        raise ValueError(f"seeds={seeds} must be 1 or more")
    if conditions.batch_size is not None and conditions.batch_size < 1:
        raise ValueError(f"batch_size={conditions.batch_size} must be 1 or more")
    if conditions.device is not None:
        _check_device(conditions.device)
    if conditions.mode not in ("train", "eval"):
        raise ValueError(f"mode={conditions.mode!r} must be 'train' or 'eval'")
    if conditions.amp not in PRECISIONS:
        raise ValueError(f"amp={conditions.amp!r} must be one of {list(PRECISIONS)}")
    if isinstance(conditions.loss, str) and conditions.loss not in LOSSES:
        raise ValueError(f"loss={conditions.loss!r} must be one of {list(LOSSES)} or a function")


def _check_device(device: str) -> None:
    """Try a device before the user's model is moved to it."""
    try:
        torch.empty(0, device=device)
    except Exception as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"device={device!r} cannot be used here: {reason}") from error
