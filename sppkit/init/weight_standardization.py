"""Scaled weight standardisation of the layers of a network that was built without it."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvTransposeNd
from torch.nn.utils import parametrize

from sppkit.init.layers import weight_of, weighted_layers
from sppkit.patterns import Patterns


class ScaledWeightStandardization(nn.Module):
    """A parametrization that gives each output unit weights of mean 0 and norm |gain|.

        W'[o] = gain (W[o] - mean[o]) / sqrt(max(N var[o], eps)),   N = fan-in

    with mean and (biased) variance over the N weights of a unit: of a weight (out, in, ...) all
    axes but the first. Under inputs of unit variance outputs have variance gain², whatever common
    mean the inputs have.

    Args:
        gain: that of the nonlinearity in front, `sppkit.theory.nonlinearity_gain`; 1 for none.
        eps: floor under N var.

    References:
        Characterizing signal propagation to close the performance gap in unnormalized ResNets,
        Brock, De, Smith, 2021, arXiv 2101.08692, equations 2 and 3; the floor is that of the
        authors' code, deepmind-research/nfnets/base.py.
    """

    def __init__(self, gain: float = 1.0, *, eps: float = 1e-4) -> None:
        super().__init__()
        self.gain, self.eps = gain, eps

    def forward(self, weight: Tensor) -> Tensor:
        """Standardise a weight, (out, in, ...)."""
        axes = tuple(range(1, weight.dim()))
        variance, mean = torch.var_mean(weight, dim=axes, keepdim=True, correction=0)
        floor = (weight[0].numel() * variance).clamp(min=self.eps)
        return self.gain * (weight - mean) / floor.sqrt()

    def extra_repr(self) -> str:
        """Show the gain in the printed model."""
        return f"gain={self.gain:.6g}"


def standardize_weights(
    model: nn.Module,
    gain: float | Mapping[str, float] = 1.0,
    *,
    layers: Patterns | None = None,
    eps: float = 1e-4,
) -> tuple[str, ...]:
    """Put scaled weight standardisation on layers, in place, as a parametrization of their weight.

    Left out are layers whose standardised weight would be zero (one weight per output unit, as in a
    depthwise 1x1 convolution), transposed convolutions, whose output units share their axis with
    the groups, and layers whose weight is parametrized already. `torch.nn.utils.parametrize`
    takes it off again.

    Args:
        model: any module.
        gain: of all layers, or by layer; layers that the mapping lacks have 1.
        layers: names or patterns; None takes all weighted layers.
        eps: see `ScaledWeightStandardization`.

    Returns:
        The names of the layers that now have it.

    Raises:
        ValueError: a pattern matches no module.
    """
    chosen = {
        name: module
        for name, module in weighted_layers(model, layers).items()
        if _can_be_standardized(module)
    }
    for name, module in chosen.items():
        own = gain.get(name, 1.0) if isinstance(gain, Mapping) else gain
        parametrize.register_parametrization(
            module, "weight", ScaledWeightStandardization(own, eps=eps)
        )
    return tuple(chosen)


def _can_be_standardized(module: nn.Module) -> bool:
    if parametrize.is_parametrized(module, "weight") or isinstance(module, _ConvTransposeNd):
        return False
    has_own = callable(getattr(module, "effective_weight", None))
    return not has_own and weight_of(module)[0].numel() > 1
