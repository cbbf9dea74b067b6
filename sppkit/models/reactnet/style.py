"""What the layers of a ReActNet are made of."""

from dataclasses import dataclass
from functools import partial
from typing import Literal, get_args

from torch import nn

from sppkit.models.choices import require_one_of
from sppkit.models.layers.binary_activation import RSign
from sppkit.models.layers.binary_convolution import (
    BinaryConv2d,
    BinaryScaledStandardizedConv2d,
    InitialWeights,
)
from sppkit.models.layers.scaled_standardization import ScaledStandardizedConv2d
from sppkit.models.named_layers import in_sequence
from sppkit.models.topology import PaddingMode

Norm = Literal["bf", "bn", "none"]
Binary = Literal["all", "activations"]


@dataclass(frozen=True)
class Style:
    """What a ReActNet's layers are made of.

    Attributes:
        norm: "bf", "bn" or "none".
        binary: "all", or "activations" only.
        initial_weights: of the binary ones; see `BinaryConv2d`.
        padding_mode: of the convolutions.
        alpha: what branches are multiplied by in "bf"; 1 in the others.
    """

    norm: Norm
    binary: Binary
    initial_weights: InitialWeights = "positive"
    padding_mode: PaddingMode = "zeros"
    alpha: float = 0.2

    def __post_init__(self) -> None:
        require_one_of("norm", self.norm, get_args(Norm))
        require_one_of("binary", self.binary, get_args(Binary))

    @property
    def branch_scale(self) -> float:
        """Return what the branches are multiplied by."""
        return self.alpha if self.norm == "bf" else 1.0

    def beta(self, variance: float) -> float:
        """Return what inputs of a layer that expects this variance are divided by."""
        return variance**0.5 if self.norm == "bf" else 1.0

    def full_precision(
        self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1
    ) -> nn.Module:
        """Build a convolution with real weights, without bias."""
        standardized = partial(ScaledStandardizedConv2d, eps=1e-5, eps_place="deviation")
        convolution = standardized if self.norm == "bf" else nn.Conv2d
        return convolution(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            kernel_size // 2,
            bias=False,
            padding_mode=self.padding_mode,
        )

    def convolution(
        self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1
    ) -> nn.Module:
        """Build a convolution with binary weights, or real ones where activations alone are."""
        if self.binary == "activations":
            return self.full_precision(in_channels, out_channels, kernel_size, stride)
        convolution = BinaryScaledStandardizedConv2d if self.norm == "bf" else BinaryConv2d
        return convolution(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            kernel_size // 2,
            padding_mode=self.padding_mode,
            initial=self.initial_weights,
        )

    def normalized(self, channels: int, **layers: nn.Module) -> nn.Sequential:
        """Put named layers in a row, and batch normalisation behind them in "bn"."""
        return in_sequence(**layers, norm=nn.BatchNorm2d(channels) if self.norm == "bn" else None)

    def branch(
        self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1
    ) -> nn.Sequential:
        """Build sign, convolution and norm."""
        return self.normalized(
            out_channels,
            sign=RSign(in_channels),
            conv=self.convolution(in_channels, out_channels, kernel_size, stride),
        )
