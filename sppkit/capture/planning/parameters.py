"""Read parameters, what a layer makes of them, and their gradients, at the end of a step."""

from collections.abc import Callable, Iterator
from typing import NamedTuple, cast

import torch
from torch import nn
from torch.nn.parameter import is_lazy
from torch.nn.utils import parametrize

from sppkit.capture.calls.places import Place, Point
from sppkit.capture.tensors.channel_axis import axis_of_parameter, is_quantised
from sppkit.capture.tensors.sharding import is_distributed_tensor
from sppkit.signals import Signal


class ParameterReading(NamedTuple):
    """A parameter-like tensor, the axis of its output units, and the first place that shares it.

    In the tensor's stead stands the exception where it could not be computed.
    """

    point: Point
    tensor: torch.Tensor | Exception
    axis: int | None
    alias: Point | None = None


def parameter_readings(
    model: nn.Module, signals: frozenset[Signal], layer: Callable[[str], bool]
) -> Iterator[ParameterReading]:
    """Walk the tensors of every weight-like signal of the chosen layers.

    A parameter that two layers share is read once; the second place is an alias of the first.
    """
    first: dict[int, Place] = {}
    for name, module in model.named_modules():
        if not layer(name):
            continue
        for key, parameter in stored_parameters(module).items():
            place = Place(name, 0, "", key)
            shared = first.setdefault(id(parameter), place)
            yield from _of_parameter(module, place, parameter, shared, signals)
        if Signal.EFFECTIVE_WEIGHT in signals:
            yield from _of_effective_weights(name, module)


def stored_parameters(module: nn.Module) -> dict[str, torch.Tensor]:
    """Give a module's own parameters; those of a quantised layer are packed behind methods."""
    stored: dict[str, torch.Tensor] = {
        key: p for key, p in module._parameters.items() if p is not None
    }
    if is_quantised(module):
        methods = {key: getattr(module, key, None) for key in ("weight", "bias")}
        packed = {key: method() for key, method in methods.items() if callable(method)}
        stored |= {key: t for key, t in packed.items() if isinstance(t, torch.Tensor)}
    return stored


def _of_effective_weights(name: str, module: nn.Module) -> Iterator[ParameterReading]:
    try:
        weights: dict[str, torch.Tensor] | Exception = effective_weights(module)
    except Exception as error:  # the user's own code, which must not end the user's training
        weights = error
    if isinstance(weights, Exception):
        point = Point(Place(name, 0, "", "weight"), Signal.EFFECTIVE_WEIGHT)
        yield ParameterReading(point, weights, None)
        return
    for key, tensor in weights.items():
        point = Point(Place(name, 0, "", key), Signal.EFFECTIVE_WEIGHT)
        yield ParameterReading(point, tensor, axis_of_parameter(module, tensor.dim()))


def _of_parameter(
    module: nn.Module,
    place: Place,
    parameter: torch.Tensor,
    shared: Place,
    signals: frozenset[Signal],
) -> Iterator[ParameterReading]:
    # A lazy parameter has no shape yet, and is not read.
    axis = None if is_lazy(parameter) else axis_of_parameter(module, parameter.dim())
    tensors = {Signal.WEIGHT: parameter, Signal.WEIGHT_GRADIENT: parameter.grad}
    for signal, tensor in tensors.items():
        if signal in signals and tensor is not None:
            alias = None if shared == place else Point(shared, signal)
            yield ParameterReading(Point(place, signal), tensor, axis, alias)


def has_effective_weight(module: nn.Module) -> bool:
    """Say whether a layer uses other weights than the stored ones."""
    return parametrize.is_parametrized(module) or callable(
        getattr(module, "effective_weight", None)
    )


def is_sharded(module: nn.Module) -> bool:
    """Say whether this process holds only a part of a layer's parameters."""
    return any(is_distributed_tensor(parameter) for parameter in module.parameters())


@torch.no_grad()
def effective_weights(module: nn.Module) -> dict[str, torch.Tensor]:
    """Compute the weights as the layer uses them, where they differ from what is stored.

    Parametrizations are evaluated in eval mode: in train mode reading the weight of a spectral norm
    takes a step of its power iteration. The mode of the layer itself is as it was. Of sharded
    parameters nothing is computed: it would take all ranks, at the same time.
    """
    if is_sharded(module):
        return {}
    if parametrize.is_parametrized(module):
        parts = [*cast(nn.Module, module.parametrizations).modules()]
        modes = [part.training for part in parts]
        try:
            for part in parts:
                part.training = False
            return {
                key: getattr(module, key) for key in cast(nn.ModuleDict, module.parametrizations)
            }
        finally:
            for part, mode in zip(parts, modes, strict=True):
                part.training = mode
    compute = getattr(module, "effective_weight", None)
    return {"weight": compute()} if callable(compute) else {}
