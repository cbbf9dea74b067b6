"""Run a user's model forward, and explain what it said when it failed."""

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sppkit.capture.calls.compiled_modules import original
from sppkit.capture.calls.places import tensors_in
from sppkit.errors import ProbeError, SppkitError
from sppkit.inputs import ProbeBatch
from sppkit.user_code import describe_exception

_OTHER_NUMBERS = re.compile("dtype|should be the same|expected scalar type")


def build_model(factory: Callable[[], nn.Module]) -> nn.Module:
    """Call a factory.

    Raises:
        ProbeError: it failed, or returned no module.
    """
    try:
        model = factory()
    except SppkitError:
        raise
    except Exception as error:
        raise ProbeError(
            f"building {default_name(factory)} failed: {describe_exception(error, None)}. Pass a "
            "module, or a function without arguments that builds one."
        ) from error
    if not isinstance(model, nn.Module):
        raise ProbeError(
            f"{default_name(factory)} returned {type(model).__name__}; expected a "
            "torch.nn.Module. Pass a module, or a function without arguments that builds one."
        )
    return model


def check_has_values(model: nn.Module) -> None:
    """Refuse a model without numbers in it.

    Raises:
        ProbeError: all its parameters are on the meta device.
    """
    parameters = list(model.parameters())
    if parameters and all(parameter.is_meta for parameter in parameters):
        raise ProbeError(
            f"{type(model).__name__} is on the meta device, where weights have no values. Build it "
            "on the CPU, or move it by .to_empty(device='cpu') and initialise it."
        )


def default_name(model: nn.Module | Callable[[], nn.Module]) -> str:
    """Name a run after the class of a module, or after the function that builds it."""
    if isinstance(model, nn.Module):
        return type(original(model)).__name__
    name = str(getattr(model, "__name__", type(model).__name__))
    return "model" if name == "<lambda>" else name


def run_forward(model: nn.Module, batch: ProbeBatch, precision: torch.dtype | None) -> Any:
    """Call a model on a batch, moved to where the model is.

    Raises:
        ProbeError: the forward failed, or returned no tensor.
    """
    device = device_of(model)
    args, kwargs = _moved(batch.args, device), _moved(batch.kwargs, device)
    try:
        with torch.autocast(device.type, precision, enabled=precision is not None):
            output = model(*args, **kwargs)
    except Exception as error:
        raise ProbeError(_explain(model, batch, error)) from error
    if not any(True for _ in tensors_in(output)):
        raise ProbeError(
            f"{type(model).__name__} returned {type(output).__name__}, which holds no tensor. "
            "Its forward must return a tensor, or a tuple, list, dict or dataclass of tensors."
        )
    return output


def describe_failure(model: nn.Module, error: Exception) -> str:
    """Describe an exception, with the line of the model's own file that led to it."""
    try:
        file = inspect.getsourcefile(type(model))
    except TypeError:  # a class without a file
        file = None
    is_torch = file is not None and Path(file).is_relative_to(Path(torch.__file__).parent)
    return describe_exception(error, Path(file) if file and not is_torch else None)


def device_of(model: nn.Module) -> torch.device:
    """Find where a model is, by its first tensor; the CPU if it has none."""
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


def _explain(model: nn.Module, batch: ProbeBatch, error: Exception) -> str:
    """Say what the model said, and what it was given."""
    tried = ", ".join(
        f"{tuple(t.shape)} {str(t.dtype).removeprefix('torch.')}"
        for _, t in tensors_in((batch.args, batch.kwargs))
    )
    return (
        f"the forward pass of {type(model).__name__} failed: {describe_failure(model, error)}. "
        f"It was given {batch.description}, shape {tried}. {_advice(model, error)}"
    )


def _advice(model: nn.Module, error: Exception) -> str:
    text = str(error)
    if "indices" in text and ("Long" in text or "Int" in text or "FloatTensor" in text):
        return (
            "A model of tokens needs integers: input_dtype='int' with vocabulary=SIZE "
            "(--input-dtype int --vocab SIZE)."
        )
    if _OTHER_NUMBERS.search(text) and (kind := _kind_of_weights(model)):
        return (
            f"Its weights are {kind}: draw such numbers with input_dtype='{kind}' "
            f"(--input-dtype {kind}), or build it in float32."
        )
    return (
        "Give the size of one sample with input_size=(...) (-s 3,64,64), or the arguments of the "
        "forward with input=function (--example-input module.py:function)."
    )


def _kind_of_weights(model: nn.Module) -> str:
    """Name the type of the weights where inputs of it can be drawn and it is not the default."""
    kinds = {str(p.dtype).removeprefix("torch.") for p in model.parameters()}
    return next(iter(kinds & {"float16", "bfloat16", "float64"}), "") if len(kinds) == 1 else ""
