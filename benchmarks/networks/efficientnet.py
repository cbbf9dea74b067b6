"""EfficientNet-B0, layers as in torchvision: in-place SiLU, squeeze-and-excitation.

Paper: EfficientNet: rethinking model scaling for convolutional neural networks, Tan, Le, 2019,
arXiv 1905.11946, table 1. Where ours differs: no stochastic depth, which would make steps unequal.
"""

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor, nn


class Stage(NamedTuple):
    """A row of the paper's table: mobile inverted bottlenecks of one width."""

    expansion: int
    kernel_size: int
    stride: int
    channels: int
    blocks: int


B0 = (
    Stage(1, 3, 1, 16, 1),
    Stage(6, 3, 2, 24, 2),
    Stage(6, 5, 2, 40, 2),
    Stage(6, 3, 2, 80, 3),
    Stage(6, 5, 1, 112, 3),
    Stage(6, 5, 2, 192, 4),
    Stage(6, 3, 1, 320, 1),
)


def _unit(
    in_channels: int,
    channels: int,
    kernel_size: int,
    stride: int = 1,
    *,
    groups: int = 1,
    in_place: bool,
) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(
            in_channels, channels, kernel_size, stride, kernel_size // 2, groups=groups, bias=False
        ),
        nn.BatchNorm2d(channels),
        nn.SiLU(inplace=in_place),
    )


class SqueezeExcitation(nn.Module):
    """A gate per channel, computed from the averages of all channels."""

    def __init__(self, channels: int, squeezed: int, *, in_place: bool) -> None:
        super().__init__()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Conv2d(channels, squeezed, 1)
        self.activation = nn.SiLU(inplace=in_place)
        self.fc2 = nn.Conv2d(squeezed, channels, 1)
        self.scale_activation = nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        """Return the gated input."""
        squeezed = self.activation(self.fc1(self.avgpool(x)))
        gated: Tensor = x * self.scale_activation(self.fc2(squeezed))
        return gated


class InvertedBottleneck(nn.Module):
    """Expansion, depthwise convolution, gate, projection; the identity where shapes allow."""

    def __init__(self, in_channels: int, stage: Stage, stride: int, *, in_place: bool) -> None:
        super().__init__()
        expanded = in_channels * stage.expansion
        layers: list[nn.Module] = []
        if expanded != in_channels:
            layers.append(_unit(in_channels, expanded, 1, in_place=in_place))
        layers += [
            _unit(
                expanded, expanded, stage.kernel_size, stride, groups=expanded, in_place=in_place
            ),
            SqueezeExcitation(expanded, max(1, in_channels // 4), in_place=in_place),
            nn.Conv2d(expanded, stage.channels, 1, bias=False),
            nn.BatchNorm2d(stage.channels),
        ]
        self.block = nn.Sequential(*layers)
        self.has_identity = stride == 1 and in_channels == stage.channels
        self.in_place = in_place

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output."""
        out: Tensor = self.block(x)
        if not self.has_identity:
            return out
        if not self.in_place:
            return out + x
        out += x
        return out


def efficientnet_b0(
    *, stages: Sequence[Stage] = B0, classes: int = 1000, in_place: bool = True
) -> nn.Module:
    """Build EfficientNet-B0; (N, 3, H, W) to (N, classes)."""
    channels = 32
    layers: list[nn.Module] = [_unit(3, channels, 3, 2, in_place=in_place)]
    for stage in stages:
        for index in range(stage.blocks):
            stride = stage.stride if index == 0 else 1
            layers.append(InvertedBottleneck(channels, stage, stride, in_place=in_place))
            channels = stage.channels
    features = 4 * channels
    model = nn.Sequential(
        *layers,
        _unit(channels, features, 1, in_place=in_place),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(0.2, inplace=in_place),
        nn.Linear(features, classes),
    )
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out")
    return model
