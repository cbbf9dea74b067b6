"""What the architectures are made of: nonlinearities, normalisations, initialisation."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812  (torch's own convention)
from torch import Tensor, nn


class Square(nn.Module):
    """The squared ReLU, max(x, 0)²."""

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x).square()


class Sine(nn.Module):
    """sin(x)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.sin()


class Gaussian(nn.Module):
    """exp(-x²/2)."""

    def forward(self, x: Tensor) -> Tensor:
        return (-x.square() / 2).exp()


class Sign(nn.Module):
    """sign(x), whose gradient is zero everywhere."""

    def forward(self, x: Tensor) -> Tensor:
        return x.sign()


class Scale(nn.Module):
    """Multiplication by a constant or, if it is learned, by a scalar that begins there."""

    def __init__(self, factor: float, learned: bool = False) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(float(factor))) if learned else factor

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor


class Detach(nn.Module):
    """The identity, which stops the gradient."""

    def forward(self, x: Tensor) -> Tensor:
        return x.detach()


class MeanOverBatch(nn.Module):
    """The mean over the samples instead of the positions: every sample gets the same."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(0, keepdim=True).expand_as(x)


class GlobalPool(nn.Module):
    """The mean over all positions, (N, C, H, W) to (N, C)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3))


ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky": lambda: nn.LeakyReLU(0.1),
    "elu": nn.ELU,
    "selu": nn.SELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "mish": nn.Mish,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "hardtanh": nn.Hardtanh,
    "hardsigmoid": nn.Hardsigmoid,
    "softsign": nn.Softsign,
    "softplus": nn.Softplus,
    "identity": nn.Identity,
    "square": Square,
    "sine": Sine,
    "gaussian": Gaussian,
    "sign": Sign,
}

# Second moment kept (rectifiers), or slope one at zero (odd functions)
GAINS = {
    "relu": math.sqrt(2),
    "leaky": math.sqrt(2 / 1.01),
    "gelu": 1.53,
    "silu": 1.68,
    "mish": 1.48,
    "elu": 1.24,
    "sigmoid": 4.0,
    "hardsigmoid": 6.0,
}


def activation(name: str) -> nn.Module:
    """Make a nonlinearity."""
    return ACTIVATIONS[name]()


def normalisation(name: str, channels: int, spatial: bool = True) -> nn.Module:
    """Make a normalisation of feature maps (N, C, H, W), or of features (..., C)."""
    if name == "batch":
        return nn.BatchNorm2d(channels) if spatial else nn.BatchNorm1d(channels)
    if name in ("layer", "rms") and not spatial:
        return nn.LayerNorm(channels) if name == "layer" else nn.RMSNorm(channels)
    groups = {"layer": 1, "group": max(channels // 8, 1)}
    if name in groups:
        return nn.GroupNorm(groups[name], channels)
    return {"instance": nn.InstanceNorm2d(channels), "none": nn.Identity()}[name]


def initialise(
    model: nn.Module, nonlinearity: str, gain: float | None, distribution: str = "normal"
) -> None:
    """Draw all weights with the gain that suits a nonlinearity, times `gain`; biases are zero.

    The deviation of a weight is then GAINS[nonlinearity] * gain / sqrt(fan-in). Without a gain
    (None) torch's own initialisation stays.
    """
    if gain is None:
        return
    for layer in model.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            draw(layer.weight, GAINS.get(nonlinearity, 1.0) * gain, distribution)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def draw(weight: Tensor, gain: float, distribution: str = "normal") -> None:
    """Draw a weight of deviation gain / sqrt(fan-in)."""
    deviation = gain / math.sqrt(weight[0].numel())
    if distribution == "orthogonal":
        nn.init.orthogonal_(weight, gain)
    elif distribution == "uniform":
        nn.init.uniform_(weight, -deviation * math.sqrt(3), deviation * math.sqrt(3))
    else:
        nn.init.normal_(weight, 0.0, deviation)


class StandardisedConv(nn.Conv2d):
    """Scaled weight standardisation: each unit has mean 0 and variance 1/fan-in, times a gain.

    Brock, De, Smith 2021, arXiv 2101.08692, equation 3 and section 4.
    """

    def forward(self, x: Tensor) -> Tensor:
        flat = self.weight.flatten(1)
        centred = flat - flat.mean(1, keepdim=True)
        weight = centred / (centred.square().sum(1, keepdim=True) + 1e-8).sqrt()
        return F.conv2d(
            x, weight.view_as(self.weight), self.bias, self.stride, self.padding, groups=self.groups
        )
