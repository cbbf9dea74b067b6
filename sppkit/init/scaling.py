"""Multiply weights by a factor: what mends a gain per layer that is off by a constant."""

import math

import torch
from torch import nn

from sppkit.init.layers import set_weight, weight_of, weighted_layers
from sppkit.patterns import Patterns


@torch.no_grad()
def scale_weights(
    model: nn.Module, factor: float, *, layers: Patterns | None = None
) -> tuple[str, ...]:
    """Multiply the weights of layers by a factor, in place.

        W <- f W,   so that   E[(W x)²] <- f² E[(W x)²]

    A network of L such layers with gain g² per layer (of the second moment) has g^(2L) in all;
    f = 1/g makes it one (He, Zhang, Ren, Sun, 2015, arXiv 1502.01852, equation 9). In front of a
    normalisation the factor changes the gradient of the weights only, by 1/f. Biases stay.

    Args:
        model: any module.
        factor: f, finite and not 0.
        layers: names or patterns; None takes all weighted layers.

    Returns:
        The names of the layers.

    Raises:
        ValueError: the factor is 0 or not finite, or a pattern matches no module.
    """
    if not math.isfinite(factor) or factor == 0:
        raise ValueError(f"factor={factor} must be finite and not 0")
    chosen = weighted_layers(model, layers)
    for module in chosen.values():
        set_weight(module, weight_of(module) * factor)
    return tuple(chosen)
