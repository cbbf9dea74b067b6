"""Schemes by name, He, LeCun, Xavier, orthogonal, with the fans that a layer really has."""

import math
from collections.abc import Mapping
from typing import Literal, NamedTuple

import torch
from torch import nn

from sppkit.init.layers import fan_in, fan_out, set_weight, weight_of, weighted_layers
from sppkit.patterns import Patterns
from sppkit.theory import nonlinearity_moments

SchemeName = Literal["he", "lecun", "xavier", "glorot", "orthogonal"]
Distribution = Literal["normal", "uniform"]


class _Scheme(NamedTuple):
    nonlinearity: str
    """In front of the layers, where the caller names none."""
    counts_fan_out: bool = False
    is_orthogonal: bool = False


SCHEMES: Mapping[str, _Scheme] = {
    "he": _Scheme("relu"),
    "lecun": _Scheme("identity"),
    "xavier": _Scheme("identity", counts_fan_out=True),
    "glorot": _Scheme("identity", counts_fan_out=True),
    "orthogonal": _Scheme("identity", is_orthogonal=True),
}


@torch.no_grad()
def initialize_weights(
    model: nn.Module,
    scheme: SchemeName = "he",
    nonlinearity: str | Mapping[str, str] | None = None,
    *,
    distribution: Distribution = "normal",
    layers: Patterns | None = None,
    generator: torch.Generator | None = None,
) -> tuple[str, ...]:
    """Draw weights anew by a scheme, in place; biases become zero.

        he           Var[w] = gain² / fan_in                        nonlinearity: "relu"
        lecun        Var[w] = gain² / fan_in                        "identity"
        xavier       Var[w] = 2 gain² / (fan_in + fan_out)          "identity"; also "glorot"
        orthogonal   orthonormal rows or columns, E[w²] = gain² / fan_in      "identity"

        gain² = 1 / E[g(z)²],  z ~ N(0, 1)

    g is the nonlinearity in *front* of a layer: what it has made of a unit signal is made good for.
    For "relu" gain² is 2, He's; for "identity" and "selu" 1. The fans are those of one group, and
    of one stride (`fan_in`, `fan_out`): the fan-out of `torch.nn.init` knows no groups, which makes
    a depthwise layer of C channels smaller by 1/C, and its fan-in of a transposed convolution is
    the fan-out.

    Orthogonal weights are drawn for each group by itself, as a matrix of its first axis by all
    others. With at least as many inputs as outputs per group their rows are orthonormal, times
    gain: what `torch.nn.init.orthogonal_` draws. With fewer, the columns are, times sqrt(outputs /
    inputs): outputs keep the second moment, where torch keeps the norm of all of them together.

    Args:
        model: any module.
        scheme: "he", "lecun", "xavier" (or "glorot") or "orthogonal".
        nonlinearity: a name of `sppkit.theory.NONLINEARITIES`, or such names by layer; layers that
            the mapping lacks have "identity". `nonlinearities_in_front` makes the mapping. None is
            the scheme's own.
        distribution: "normal", or "uniform" on ±sqrt(3 Var[w]).
        layers: names or patterns; None takes all weighted layers.
        generator: of random numbers, on the CPU; None is torch's global one.

    Returns:
        The names of the layers.

    Raises:
        ValueError: an unknown scheme, distribution or nonlinearity, uniform orthogonal weights, or
            a pattern that matches no module. Nothing has been changed then.

    References:
        He: Delving deep into rectifiers, He, Zhang, Ren, Sun, 2015, arXiv 1502.01852, equation 10.
        LeCun: Efficient BackProp, LeCun, Bottou, Orr, Müller, 1998, equation 16. Xavier:
        Understanding the difficulty of training deep feedforward neural networks, Glorot, Bengio,
        2010, AISTATS, equations 12 and 16. Orthogonal: Exact solutions to the nonlinear dynamics of
        learning in deep linear neural networks, Saxe, McClelland, Ganguli, 2014, arXiv 1312.6120.
    """
    drawn_by = _find_scheme(scheme, distribution)
    chosen = weighted_layers(model, layers)
    gains = _gains(chosen, drawn_by.nonlinearity if nonlinearity is None else nonlinearity)
    for layer, module in chosen.items():
        weight = weight_of(module)
        if drawn_by.is_orthogonal:
            drawn = orthogonal_weight(weight.shape, getattr(module, "groups", 1), generator)
            deviation = gains[layer] * fan_in(module) ** -0.5
        else:
            drawn = _of_unit_variance(weight.shape, distribution, generator)
            fan = (fan_in(module) + fan_out(module)) / 2
            deviation = gains[layer] * (fan if drawn_by.counts_fan_out else fan_in(module)) ** -0.5
        set_weight(module, drawn.to(weight) * deviation)
    reset_biases(model, layers=tuple(chosen))
    return tuple(chosen)


@torch.no_grad()
def reset_biases(model: nn.Module, *, layers: Patterns | None = None) -> tuple[str, ...]:
    """Set the biases of weighted layers to zero, in place.

    A bias that is large and negative in front of a ReLU leaves its unit dead for every input.

    Args:
        model: any module.
        layers: names or patterns; None takes all weighted layers.

    Returns:
        The names of the layers that have a bias.

    Raises:
        ValueError: a pattern matches no module.
    """
    chosen = weighted_layers(model, layers)
    biases = {name: module._parameters.get("bias") for name, module in chosen.items()}
    for bias in biases.values():
        if bias is not None:
            bias.zero_()
    return tuple(name for name, bias in biases.items() if bias is not None)


def _find_scheme(scheme: str, distribution: str) -> _Scheme:
    if scheme not in SCHEMES:
        raise ValueError(f"scheme is one of {', '.join(SCHEMES)}; got {scheme!r}")
    if distribution not in ("normal", "uniform"):
        raise ValueError(f"distribution is 'normal' or 'uniform'; got {distribution!r}")
    if SCHEMES[scheme].is_orthogonal and distribution == "uniform":
        raise ValueError(
            "orthogonal weights have one distribution, uniform over all orthonormal matrices, "
            "which is drawn from normal numbers: leave distribution='uniform' out"
        )
    return SCHEMES[scheme]


def _gains(
    chosen: Mapping[str, nn.Module], nonlinearity: str | Mapping[str, str]
) -> dict[str, float]:
    names = {
        layer: nonlinearity
        if isinstance(nonlinearity, str)
        else nonlinearity.get(layer, "identity")
        for layer in chosen
    }
    known = {name: nonlinearity_moments(name).second_moment ** -0.5 for name in set(names.values())}
    return {layer: known[name] for layer, name in names.items()}


def _of_unit_variance(
    shape: torch.Size, distribution: str, generator: torch.Generator | None
) -> torch.Tensor:
    if distribution == "normal":
        return torch.randn(shape, generator=generator)
    return (2 * torch.rand(shape, generator=generator) - 1) * math.sqrt(3)


def orthogonal_weight(
    shape: torch.Size, groups: int, generator: torch.Generator | None = None
) -> torch.Tensor:
    """Draw one semi-orthogonal matrix per group, of mean square 1."""
    matrices = torch.empty(groups, shape[0] // groups, math.prod(shape[1:]))
    for matrix in matrices:
        nn.init.orthogonal_(matrix, generator=generator)
    return matrices.reshape(shape) * math.sqrt(max(matrices.shape[1:]))
