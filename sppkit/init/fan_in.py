"""He's and LeCun's initialisation with the fan-in that a grouped or transposed layer really has."""

from collections.abc import Mapping

import torch
from torch import nn

from sppkit.init.layers import fan_in, set_weight, weight_of, weighted_layers
from sppkit.patterns import Patterns
from sppkit.theory import nonlinearity_moments


@torch.no_grad()
def initialize_by_fan_in(
    model: nn.Module,
    nonlinearity: str | Mapping[str, str] = "relu",
    *,
    layers: Patterns | None = None,
    generator: torch.Generator | None = None,
) -> tuple[str, ...]:
    """Draw weights anew so that layers keep the second moment of a signal; biases become zero.

        W ~ N(0, gain² / fan_in),   gain² = 1 / E[g(z)²],  z ~ N(0, 1)

    g is the nonlinearity in *front* of a layer: what it has made of a unit signal is made good for.
    "relu" gives He's gain² = 2 (He, Zhang, Ren, Sun, 2015, arXiv 1502.01852, equation 10),
    "identity" and "selu" LeCun's 1 (LeCun et al., 1998, Efficient BackProp, equation 16). The
    fan-in is that of one group (`sppkit.init.fan_in`): the fan-out of `torch.nn.init` does not know
    groups, which makes a depthwise layer of C channels smaller by 1/C.

    Args:
        model: any module.
        nonlinearity: a name of `sppkit.theory.NONLINEARITIES`, or such names by layer; layers that
            the mapping lacks have "identity".
        layers: names or patterns; None takes all weighted layers.
        generator: of random numbers, on the CPU; None is torch's global one.

    Returns:
        The names of the layers.

    Raises:
        ValueError: an unknown nonlinearity, or a pattern matches no module.
    """
    chosen = weighted_layers(model, layers)
    names = {
        layer: nonlinearity
        if isinstance(nonlinearity, str)
        else nonlinearity.get(layer, "identity")
        for layer in chosen
    }
    gains = {name: nonlinearity_moments(name).second_moment ** -0.5 for name in set(names.values())}
    for layer, module in chosen.items():
        weight = weight_of(module)
        drawn = torch.randn(weight.shape, generator=generator).to(weight)
        set_weight(module, drawn * gains[names[layer]] * fan_in(module) ** -0.5)
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
