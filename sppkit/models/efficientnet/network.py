"""EfficientNets from a table of stages: B0, and a small one."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from torch import nn

from sppkit.models.efficientnet.inverted_bottleneck import BlockPlace, InvertedBottleneck
from sppkit.models.efficientnet.layers import make_layer
from sppkit.models.efficientnet.parts import (
    ActivationGain,
    ConvolutionKind,
    Initialization,
    Parts,
    find_parts,
)
from sppkit.models.named_layers import in_sequence
from sppkit.models.topology import (
    ConvolutionShape,
    PaddingMode,
    ResidualNetwork,
    make_classifier,
)
from sppkit.theory import entering_variances


class Stage(NamedTuple):
    """One row of the paper's table."""

    expansion: int
    channels: int
    repeats: int
    stride: int
    kernel_size: int


STAGES_B0 = (
    Stage(1, 16, 1, 1, 3),
    Stage(6, 24, 2, 2, 3),
    Stage(6, 40, 2, 2, 5),
    Stage(6, 80, 3, 2, 3),
    Stage(6, 112, 3, 1, 5),
    Stage(6, 192, 4, 2, 5),
    Stage(6, 320, 1, 1, 3),
)

STAGES_SMALL = (
    Stage(1, 8, 1, 1, 3),
    Stage(4, 12, 2, 2, 3),
    Stage(4, 20, 2, 2, 5),
    Stage(4, 32, 2, 2, 3),
)


def _places(stages: Sequence[Stage], stem: int, parts: Parts) -> Iterator[list[BlockPlace]]:
    """Give the places of each stage's blocks."""
    depths = [stage.repeats for stage in stages]
    variances = iter(entering_variances(depths, alpha=parts.alpha, reset=parts.reset))
    channels = stem
    for stage in stages:
        places = []
        for repeat in range(stage.repeats):
            places.append(
                BlockPlace(
                    channels,
                    stage.channels,
                    stage.expansion,
                    1 if repeat else stage.stride,
                    stage.kernel_size,
                    float(next(variances)),
                )
            )
            channels = stage.channels
        yield places


def _head(
    in_channels: int,
    features: int,
    classes: int,
    dropout: float,
    parts: Parts,
    padding_mode: PaddingMode,
) -> nn.Sequential:
    deviation = features**-0.5 if parts.classifier_by_fan_in else 0.01
    classifier = make_classifier(features, classes, deviation=deviation)
    shape = ConvolutionShape(in_channels, features, 1, 1)
    return in_sequence(
        features=make_layer(parts, shape, padding_mode=padding_mode),
        pool=nn.AdaptiveAvgPool2d(1),
        flatten=nn.Flatten(),
        dropout=nn.Dropout(dropout),
        classifier=classifier,
    )


def efficientnet(
    stages: Sequence[Stage],
    parts: Parts,
    *,
    stem: int,
    stem_stride: int,
    features: int,
    classes: int,
    in_channels: int,
    dropout: float,
    padding_mode: PaddingMode,
) -> ResidualNetwork:
    """Build a network of inverted bottlenecks from a table of stages.

    Args:
        stages: the table.
        parts: what the layers are made of.
        stem: channels of the first convolution.
        stem_stride: its stride.
        features: channels of the last convolution.
        classes: logits.
        in_channels: channels of the images.
        dropout: rate in front of the classifier.
        padding_mode: of the convolutions.

    Returns:
        The network, initialised from torch's global generator.
    """
    blocks = [
        nn.Sequential(
            *(InvertedBottleneck(place, parts, padding_mode=padding_mode) for place in places)
        )
        for places in _places(stages, stem, parts)
    ]
    return ResidualNetwork(
        make_layer(
            parts, ConvolutionShape(in_channels, stem, 3, stem_stride), padding_mode=padding_mode
        ),
        nn.Sequential(*blocks),
        _head(stages[-1].channels, features, classes, dropout, parts, padding_mode),
    )


def efficientnet_b0(
    variant: str = "bn",
    *,
    initialization: Initialization | None = None,
    activation: str | None = None,
    activation_gain: ActivationGain | None = None,
    convolution: ConvolutionKind | None = None,
    squeeze_gain: float | None = None,
    scale_transitions: bool | None = None,
    slope: float | None = None,
    classes: int = 1000,
    in_channels: int = 3,
    dropout: float = 0.2,
    stem_stride: int = 2,
    padding_mode: PaddingMode = "zeros",
) -> ResidualNetwork:
    """Build EfficientNet-B0: 16 inverted bottlenecks in 7 stages.

    5,288,548 parameters with batch normalisation; with 100 classes 4,135,648, and 4,093,632
    without. Without normalisation and with its usual initialisation the network is dead: of a
    picture of 32 x 32 the average channel variance 1e-28 is left.

    Args:
        variant: a name of `VARIANTS`.
        initialization: None, here and below: the variant's; see `Parts`.
        activation: a name of `sppkit.theory.NONLINEARITIES`.
        activation_gain: "none", "second moment" or "deviation".
        convolution: "plain", "standardized" or "scaled_standardized"; see `Parts`.
        squeeze_gain: what the gates are multiplied by.
        scale_transitions: whether blocks without a skip path are multiplied by alpha.
        slope: initial slope of dynamic tanh.
        classes: logits.
        in_channels: channels of the images.
        dropout: rate in front of the classifier.
        stem_stride: stride of the first convolution; small pictures shrink to 1 x 1 by it.
        padding_mode: of the convolutions.

    Raises:
        ValueError: no such variant.
    """
    parts = find_parts(
        variant,
        initialization=initialization,
        activation=activation,
        activation_gain=activation_gain,
        convolution=convolution,
        squeeze_gain=squeeze_gain,
        scale_transitions=scale_transitions,
        slope=slope,
    )
    return efficientnet(
        STAGES_B0,
        parts,
        stem=32,
        stem_stride=stem_stride,
        features=1280,
        classes=classes,
        in_channels=in_channels,
        dropout=dropout,
        padding_mode=padding_mode,
    )


def efficientnet_small(
    variant: str = "bn",
    *,
    classes: int = 10,
    in_channels: int = 3,
    dropout: float = 0.0,
    stem_stride: int = 1,
    padding_mode: PaddingMode = "zeros",
) -> ResidualNetwork:
    """Build a small one for pictures of 16 or 32: 7 inverted bottlenecks in 4 stages.

    Args:
        variant: a name of `VARIANTS`.
        classes: logits.
        in_channels: channels of the images.
        dropout: rate in front of the classifier.
        stem_stride: stride of the first convolution.
        padding_mode: of the convolutions.

    Raises:
        ValueError: no such variant.
    """
    return efficientnet(
        STAGES_SMALL,
        find_parts(variant),
        stem=16,
        stem_stride=stem_stride,
        features=128,
        classes=classes,
        in_channels=in_channels,
        dropout=dropout,
        padding_mode=padding_mode,
    )
