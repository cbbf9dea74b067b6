"""ReActNet-A: MobileNet's blocks with binary convolutions."""

from collections.abc import Sequence
from itertools import pairwise

from torch import nn

from sppkit.models.layers.binary_activation import RSign
from sppkit.models.layers.binary_convolution import InitialWeights
from sppkit.models.reactnet.layers import DoublingReActLayer, ReActLayer
from sppkit.models.reactnet.style import Binary, Norm, Style
from sppkit.models.topology import PaddingMode, ResidualNetwork, make_head

CHANNELS_A = (2, 4, 4, 8, 8, 16, 16, 16, 16, 16, 16, 32, 32)
"""Channels that leave the blocks of ReActNet-A, in units of the stem's: MobileNet's."""


def reactnet_a_variances(
    channels: Sequence[int] = CHANNELS_A, *, alpha: float = 0.2
) -> list[tuple[float, float]]:
    """Compute the variances that the two layers of each block of ReActNet-A expect, beta².

    Every layer adds alpha²; after a transition (a block of stride 2) the variance is 1 again.

    Args:
        channels: channels that leave each block; where they grow, and not at the first block, the
            block is a transition.
        alpha: scale of the branches.

    Returns:
        One pair per block: of its 3x3, and of its 1x1.

    References:
        Chen et al., 2021, arXiv 2104.08215; models/Qaw_reactnet_A_bf.py.

    Examples:
        >>> reactnet_a_variances((2, 4, 4))
        [(1.0, 1.04), (1.08, 1.12), (1.0, 1.04)]
    """
    pairs, layers = [], 0
    for stride in _strides(channels):
        pairs.append((1.0 + layers * alpha**2, 1.0 + (layers + 1) * alpha**2))
        layers = 0 if stride == 2 else layers + 2
    return pairs


def _strides(channels: Sequence[int]) -> list[int]:
    return [1, *(2 if after > before else 1 for before, after in pairwise(channels))]


def _spatial_layer(channels: int, stride: int, variance: float, style: Style) -> ReActLayer:
    return ReActLayer(
        style.branch(channels, channels, 3, stride),
        channels,
        beta=style.beta(variance),
        alpha=style.branch_scale,
        shortcut=nn.AvgPool2d(2) if stride == 2 else None,
    )


def _pointwise_layer(channels: int, variance: float, style: Style) -> ReActLayer:
    return ReActLayer(
        style.branch(channels, channels, 1),
        channels,
        beta=style.beta(variance),
        alpha=style.branch_scale,
    )


def _doubling_layer(channels: int, variance: float, style: Style) -> DoublingReActLayer:
    return DoublingReActLayer(
        RSign(channels),
        [
            style.normalized(channels, conv=style.convolution(channels, channels, 1))
            for _ in range(2)
        ],
        channels,
        beta=style.beta(variance),
        alpha=style.branch_scale,
    )


def binary_mobilenet(
    style: Style,
    *,
    classes: int,
    in_channels: int,
    width: int,
    stem_stride: int,
    channels: Sequence[int] = CHANNELS_A,
) -> ResidualNetwork:
    """Build a network of blocks of two `ReActLayer`s each: a 3x3 and a 1x1.

    Args:
        style: what layers are made of.
        classes: logits.
        in_channels: channels of the images.
        width: channels of the stem.
        stem_stride: stride of the stem's 3x3.
        channels: channels that leave each block, in units of `width`; see `reactnet_a_variances`.

    Returns:
        The network, initialised from torch's global generator; its stages end with a transition, as
        its betas do.
    """
    variances = reactnet_a_variances(channels, alpha=style.alpha)
    stages: list[list[nn.Module]] = [[]]
    entering = width
    for factor, stride, pair in zip(channels, _strides(channels), variances, strict=True):
        leaving = factor * width
        pointwise = _pointwise_layer if leaving == entering else _doubling_layer
        stages[-1] += [
            _spatial_layer(entering, stride, pair[0], style),
            pointwise(entering, pair[1], style),
        ]
        entering = leaving
        if stride == 2:
            stages.append([])
    stem = style.normalized(width, conv=style.full_precision(in_channels, width, 3, stem_stride))
    body = nn.Sequential(*(nn.Sequential(*layers) for layers in stages if layers))
    return ResidualNetwork(stem, body, make_head(nn.Linear(entering, classes)))


def reactnet_a(
    norm: Norm = "bf",
    *,
    binary: Binary = "all",
    initial_weights: InitialWeights = "positive",
    classes: int = 1000,
    in_channels: int = 3,
    width: int = 32,
    alpha: float = 0.2,
    channels: Sequence[int] = CHANNELS_A,
    stem_stride: int = 2,
    padding_mode: PaddingMode = "zeros",
) -> ResidualNetwork:
    """Build ReActNet-A: MobileNet's 13 blocks of a 3x3 and a 1x1 (see `binary_mobilenet`).

    29,332,648 parameters batch-free, 29,343,592 with batch normalisation, 29,321,704 with neither.

    Args:
        norm: "bf" (batch-free), "bn" or "none".
        binary: "all", or "activations" for real weights (the first of two stages of training).
        initial_weights: of binary convolutions: "positive" as the authors, or "fan_in".
        classes: logits.
        in_channels: channels of the images.
        width: channels of the stem.
        alpha: scale of the branches of "bf".
        channels: channels that leave each block, in units of `width`; a block whose channels grow
            halves the picture, but for the first.
        stem_stride: stride of the stem.
        padding_mode: of the convolutions.
    """
    style = Style(norm, binary, initial_weights, padding_mode, alpha)
    return binary_mobilenet(
        style,
        classes=classes,
        in_channels=in_channels,
        width=width,
        stem_stride=stem_stride,
        channels=channels,
    )
