"""The layers of normaliser-free networks, in the convention of an implementation."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from sppkit.models.layers import (
    GainedNonlinearity,
    ScaledStandardizedConv2d,
    SqueezeExcite,
    make_nonlinearity,
)
from sppkit.models.named_layers import in_sequence
from sppkit.models.normalizer_free.convention import PUBLISHED_GAINS, Convention
from sppkit.models.topology import (
    ConvolutionShape,
    PaddingMode,
    make_classifier,
    make_head,
)
from sppkit.theory import nonlinearity_gain

CLASSIFIER_DEVIATION = 0.01


@dataclass(frozen=True)
class NormalizerFreeLayers:
    """Makes the layers of one network, all in the same convention.

    Attributes:
        convention: how the papers are realised.
        activation: a name of `sppkit.theory.NONLINEARITIES`.
        padding_mode: of the convolutions.
    """

    convention: Convention
    activation: str
    padding_mode: PaddingMode

    def gain(self) -> float:
        """Return the gain of the nonlinearity.

        Raises:
            ValueError: the convention wants a published gain, and this nonlinearity has none.
        """
        if not self.convention.published_gains:
            return nonlinearity_gain(self.activation)
        if self.activation not in PUBLISHED_GAINS:
            raise ValueError(
                f"there is no published gain of {self.activation!r}; there are those of "
                f"{', '.join(PUBLISHED_GAINS)}. The convention 'deepmind' computes gains."
            )
        return PUBLISHED_GAINS[self.activation]

    def nonlinearity(self) -> nn.Module:
        """Make a nonlinearity, with its gain where it belongs to the activation."""
        if self.convention.gamma_in_convolution:
            return make_nonlinearity(self.activation)
        return GainedNonlinearity(self.activation, gain=self.gain())

    def convolution(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int,
        groups: int = 1,
    ) -> ScaledStandardizedConv2d:
        """Make a convolution that keeps the size of the image, but for its stride."""
        return ScaledStandardizedConv2d(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding=kernel_size // 2,
            groups=groups,
            padding_mode=self.padding_mode,
            eps=self.convention.eps,
            eps_place=self.convention.eps_place,
            gamma=self.gain() if self.convention.gamma_in_convolution else 1.0,
        )

    def chain(self, shapes: Sequence[ConvolutionShape]) -> "OrderedDict[str, nn.Module]":
        """Make convolutions with nonlinearities between them: conv1, activation2, conv2, ..."""
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        for number, shape in enumerate(shapes, start=1):
            if number > 1:
                layers[f"activation{number}"] = self.nonlinearity()
            layers[f"conv{number}"] = self.convolution(*shape)
        return layers

    def shortcut(
        self, in_channels: int, out_channels: int, stride: int, *, pooled: bool
    ) -> nn.Module | None:
        """Make the skip path of a block; None where it is the identity.

        A strided one is a strided 1x1 convolution, or averages 2x2 and convolves with stride 1.
        """
        if stride == 1 and in_channels == out_channels:
            return None
        if stride == 1 or not pooled:
            return self.convolution(in_channels, out_channels, 1, stride)
        return in_sequence(
            pool=nn.AvgPool2d(stride, stride, ceil_mode=True, count_include_pad=False),
            conv=self.convolution(in_channels, out_channels, 1, 1),
        )

    def branch(
        self, shapes: Sequence[ConvolutionShape], *, squeeze_excite: float, behind: int
    ) -> nn.Sequential:
        """Make a residual branch: `chain`, and squeeze-and-excite behind one of its convolutions.

        Args:
            shapes: of the convolutions.
            squeeze_excite: its hidden channels, as a share of those at its place; 0 is none.
            behind: number of the convolution in front of it, from 1.
        """
        layers = list(self.chain(shapes).items())
        if squeeze_excite:
            gate = self.squeeze_excite(shapes[behind - 1].out_channels, squeeze_excite)
            layers.insert(2 * behind - 1, ("squeeze_excite", gate))
        return nn.Sequential(OrderedDict(layers))

    def wide_head(
        self, channels: int, features: int, classes: int, *, dropout: float
    ) -> nn.Sequential:
        """Make a head that starts with a 1x1 convolution to more channels, the features."""
        return make_head(
            make_classifier(features, classes, deviation=CLASSIFIER_DEVIATION),
            convolution=self.convolution(channels, features, 1, 1),
            activation=self.nonlinearity(),
            dropout=dropout,
        )

    def squeeze_excite(self, channels: int, ratio: float) -> SqueezeExcite:
        """Make squeeze-and-excite with its gain of 2."""
        hidden = self.convention.round(channels * ratio, largest_loss=1.0)
        return SqueezeExcite(channels, max(1, hidden))
