"""Residual gains that start at zero: SkipInit, ReZero, Fixup, LayerScale, zero-gamma BatchNorm.

Such a network begins as its skip paths alone. Its signal propagation plot at initialisation is flat
and says nothing about the branches, so it has to be said, and can be shown with the gains at one.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from sppkit.capture.planning.plan import Plan
from sppkit.capture.tensors.sharding import local_values
from sppkit.signals import Tap

NEARLY_ZERO = 1e-3
"""LayerScale starts at 1e-4 to 1e-6 (Touvron et al., 2021, Going deeper with transformers)."""


@dataclass(frozen=True)
class SilentBranch:
    """A residual branch that contributes (nearly) nothing at this moment.

    Attributes:
        parameter: qualified name of the parameter at fault.
        is_gain: whether it is a scalar or one value per channel, so that one can stand for it;
            a weight matrix of zeros has no such value.
    """

    parameter: str
    is_gain: bool


def silent_branches(model: nn.Module, plan: Plan) -> list[SilentBranch]:
    """Find the gains behind, and the parameters at, the residual branch ends that are zero.

    Reads values on the host: for once per recording, not for a hook.
    """
    parameters = dict(model.named_parameters(remove_duplicate=False))
    candidates: dict[str, bool] = {}
    for place, info in plan.taps.items():
        if info.tap is not Tap.RESIDUAL_BRANCH:
            continue
        for gain in info.end.gains if info.end else ():
            if gain in parameters:
                candidates[gain] = True
        if not place.operation:
            candidates |= _own_scales(model.get_submodule(place.layer), place.layer)
    return [
        SilentBranch(name, is_gain)
        for name, is_gain in candidates.items()
        if not is_lazy(parameters[name]) and _largest_magnitude(parameters[name]) <= NEARLY_ZERO
    ]


def _largest_magnitude(parameter: nn.Parameter) -> float:
    """Read a parameter; of a sharded one the values of this process, without asking others."""
    values = local_values(parameter.detach())
    return float(values.abs().max()) if values.numel() else math.inf


def describe_silence(branches: list[SilentBranch]) -> dict[str, list[str]]:
    """List the silent gains, and the weights that are silent and cannot be set to one."""
    return {
        "silent_residual_gains": [b.parameter for b in branches if b.is_gain],
        "silent_residual_weights": [b.parameter for b in branches if not b.is_gain],
    }


def _own_scales(module: nn.Module, layer: str) -> dict[str, bool]:
    """Name a module's own parameters that scale its output, and whether each is a gain."""
    return {
        f"{layer}.{key}".lstrip("."): parameter.numel() in (1, parameter.shape[0])
        for key, parameter in module._parameters.items()
        if parameter is not None
        and not is_lazy(parameter)
        and parameter.numel()
        and "bias" not in key
        and parameter.dim()
    }


@contextmanager
def activated(model: nn.Module, branches: list[SilentBranch]) -> Iterator[None]:
    """Set silent gains to one, and back to their very bits afterwards."""
    parameters = dict(model.named_parameters(remove_duplicate=False))
    chosen = [parameters[branch.parameter] for branch in branches if branch.is_gain]
    saved = [parameter.detach().clone() for parameter in chosen]
    try:
        with torch.no_grad():
            for parameter in chosen:
                parameter.fill_(1.0)
        yield
    finally:
        with torch.no_grad():
            for parameter, value in zip(chosen, saved, strict=True):
                parameter.copy_(value)
