"""EUNNets: residual networks whose convolutions standardise their whole input.

Paper: EUNNet: Efficient un-normalized convolution layer for stable training of deep residual
networks without batch normalization layer, Nguyen, Choi, Yang, IEEE Access, 2023, document
10041931. Authors' code: beandkay/EUNNet, models/eunnet.py.

Where ours differs: the ReLU after the merge is a module and nothing is in place; the fraction of
non-zero activations, which the authors print at every block, is left to the recorder
(`zero_fraction`). The size 26 is ours.
"""

from functools import partial

from torch import nn

from sppkit.models.layers.eun_convolution import EUNConv2d
from sppkit.models.rescaling import (
    find_variant,
    make_rescaled_head,
    make_rescaled_stem,
    rescaled_stages,
)
from sppkit.models.topology import ConvolutionShape, PaddingMode, ResidualNetwork


def _layers(shape: ConvolutionShape, *, padding_mode: PaddingMode) -> list[tuple[str, nn.Module]]:
    convolution = EUNConv2d(
        shape.in_channels,
        shape.out_channels,
        shape.kernel_size,
        shape.stride,
        shape.kernel_size // 2,
        groups=shape.groups,
        padding_mode=padding_mode,
    )
    return [("conv", convolution)]


def eunnet(
    variant: str = "50",
    *,
    classes: int = 1000,
    in_channels: int = 3,
    width: int = 64,
    large_stem: bool = True,
    padding_mode: PaddingMode = "zeros",
    convolution_dropout: float = 0.0,
    classifier_dropout: float = 0.0,
) -> ResidualNetwork:
    """Build an EUNNet: post-activation bottlenecks of `EUNConv2d`, with scaled paths.

    y = relu(sqrt(b / (b + 1)) D(x) + L^(-1/2) scale f(x)); see
    `sppkit.models.rescaling.rescaled_ladder`. Parameters with 1000 classes:

        50: 25,530,488    101: 44,496,521    200: 64,585,898
        x50_32x4d: 24,994,808    x101_32x8d: 88,689,929

    Args:
        variant: a size; a name of `sppkit.models.rescaling.VARIANTS`.
        classes: logits.
        in_channels: channels of the images.
        width: channels of the stem, and hidden channels of the first stage.
        large_stem: 7x7 of stride 2 and max-pooling, or 3x3 of stride 1.
        padding_mode: of the convolutions.
        convolution_dropout: rate of dropping channels after the convolutions of the last two
            stages (on ImageNet 0.03, or 0 with mixup).
        classifier_dropout: rate in front of the classifier (0.3, or 0).

    Returns:
        The network, initialised from torch's global generator.

    Raises:
        ValueError: no such size.
    """
    found = find_variant(variant)
    topology = found.topology(large_stem=large_stem)
    layers = partial(_layers, padding_mode=padding_mode)
    stem = make_rescaled_stem(topology, layers, in_channels=in_channels, width=width)
    head = make_rescaled_head(topology.out_channels(width), classes, classifier_dropout)
    stages = rescaled_stages(
        topology,
        found.grouping,
        width=width,
        convolution_dropout=convolution_dropout,
        branch_layers=lambda index, dropout: layers,
        shortcut_layers=layers,
    )
    return ResidualNetwork(stem, stages, head)
