"""The layers of an EfficientNet, made of the parts of a variant."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from sppkit.models.efficientnet.parts import ConvolutionKind, Initialization, Parts
from sppkit.models.layers.dynamic_tanh import DynamicTanh
from sppkit.models.layers.magnitude_preserving import magnitude_preserving_product
from sppkit.models.layers.nonlinearities import GainedNonlinearity, make_nonlinearity
from sppkit.models.layers.scaled_standardization import ScaledStandardizedConv2d
from sppkit.models.layers.weight_standardization import WeightStandardizedConv2d
from sppkit.models.named_layers import in_sequence
from sppkit.models.topology import ConvolutionShape, PaddingMode
from sppkit.theory import nonlinearity_moments


def make_activation(parts: Parts) -> nn.Module:
    """Make the activation, with its gain if it has one."""
    if parts.activation_gain == "none":
        return make_nonlinearity(parts.activation)
    moments = nonlinearity_moments(parts.activation)
    power = {"second moment": moments.second_moment, "deviation": moments.variance}
    gain = power[parts.activation_gain] ** -0.5
    return GainedNonlinearity(parts.activation, gain=gain)


_CONVOLUTIONS: dict[ConvolutionKind, Callable[..., nn.Conv2d]] = {
    "plain": nn.Conv2d,
    "standardized": partial(WeightStandardizedConv2d, unbiased=True),
    "scaled_standardized": ScaledStandardizedConv2d,
    "scaled_standardized_unbiased": partial(ScaledStandardizedConv2d, unbiased=True),
}


@torch.no_grad()
def _initialize(convolution: nn.Conv2d, initialization: Initialization) -> nn.Conv2d:
    height, width = convolution.kernel_size
    variance = {
        "fan_out": 2.0 / (height * width * convolution.out_channels),
        "fan_in": 1.0 / convolution.weight[0].numel(),
    }[initialization]
    nn.init.normal_(convolution.weight, std=variance**0.5)
    if convolution.bias is not None:
        nn.init.zeros_(convolution.bias)
    return convolution


def _convolution(parts: Parts, shape: ConvolutionShape, padding_mode: PaddingMode) -> nn.Conv2d:
    convolution = _CONVOLUTIONS[parts.convolution](
        **shape._asdict(),
        padding=shape.kernel_size // 2,
        bias=False,
        padding_mode=padding_mode,
    )
    return _initialize(convolution, parts.initialization)


def _norm(parts: Parts, channels: int) -> nn.Module | None:
    if parts.norm == "batch":
        return nn.BatchNorm2d(channels)
    if parts.norm == "dynamic_tanh":
        return DynamicTanh(channels, slope=parts.slope)
    return None


def make_layer(
    parts: Parts,
    shape: ConvolutionShape,
    *,
    padding_mode: PaddingMode,
    activated: bool = True,
) -> nn.Sequential:
    """Make a convolution, its normalisation if there is one, and an activation if asked for."""
    return in_sequence(
        conv=_convolution(parts, shape, padding_mode),
        norm=_norm(parts, shape.out_channels),
        activation=make_activation(parts) if activated else None,
    )


class ConvolutionalSqueezeExcite(nn.Module):
    """Scale channels by a gate that sees their means; the gate is a half at first.

        s = sigmoid(expand(g(reduce(mean(x)))));   y = gain x s

    Args:
        channels: of the input.
        squeezed: of the gate's hidden layer.
        parts: names its convolutions, activation, gain and kind of product.
    """

    def __init__(self, channels: int, squeezed: int, parts: Parts) -> None:
        super().__init__()
        make = _CONVOLUTIONS[parts.squeeze_convolution or parts.convolution]
        self.gain = parts.squeeze_gain
        self.magnitude_preserving = parts.magnitude_preserving_gate
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.reduce = _initialize(make(channels, squeezed, 1), parts.initialization)
        self.activation = make_activation(parts)
        self.expand = _initialize(make(squeezed, channels, 1), parts.initialization)
        self.gate = nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        """Return the gated signal, of the shape of x, (N, C, H, W)."""
        gate = self.gate(self.expand(self.activation(self.reduce(self.pool(x)))))
        if self.magnitude_preserving:
            return self.gain * magnitude_preserving_product(x, gate)
        scaled: Tensor = self.gain * (x * gate)
        return scaled

    def extra_repr(self) -> str:
        """Show the gain and the kind of product in the printed model."""
        return f"gain={self.gain:g}, magnitude_preserving={self.magnitude_preserving}"
