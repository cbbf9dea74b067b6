"""ReActNet-18: a residual network of one binary 3x3 convolution per skip path."""

from collections.abc import Sequence

from torch import nn

from sppkit.models.layers.binary_convolution import InitialWeights
from sppkit.models.reactnet.layers import ReActLayer
from sppkit.models.reactnet.style import Binary, Norm, Style
from sppkit.models.topology import PaddingMode, ResidualNetwork, make_head
from sppkit.theory import entering_variances

STAGES_18 = (4, 4, 4, 4)


def _layer(
    in_channels: int, out_channels: int, stride: int, variance: float, style: Style
) -> ReActLayer:
    shortcut = None
    if stride > 1 or in_channels != out_channels:
        projection = style.convolution(in_channels, out_channels, 1)
        shortcut = style.normalized(out_channels, pool=nn.AvgPool2d(2), conv=projection)
    return ReActLayer(
        style.branch(in_channels, out_channels, 3, stride),
        out_channels,
        beta=style.beta(variance),
        alpha=style.branch_scale,
        shortcut=shortcut,
    )


def _stem(in_channels: int, width: int, style: Style, *, large: bool) -> nn.Sequential:
    kernel_size, stride = (7, 2) if large else (3, 1)
    convolution = style.full_precision(in_channels, width, kernel_size, stride)
    stem = style.normalized(width, conv=convolution)
    if large:
        stem.add_module("pool", nn.MaxPool2d(3, stride=2, padding=1))
    return stem


def binary_resnet(
    depths: Sequence[int],
    style: Style,
    *,
    classes: int,
    in_channels: int,
    width: int,
    large_stem: bool,
) -> ResidualNetwork:
    """Build a residual network of `ReActLayer`s of one 3x3 convolution each.

    Betas follow `sppkit.theory.entering_variances(depths, reset="uncredited")`.

    Args:
        depths: layers per stage; each stage but the first halves the picture and doubles channels.
        style: what layers are made of.
        classes: logits.
        in_channels: channels of the images.
        width: channels of the stem and of the first stage.
        large_stem: 7x7 of stride 2 and max-pooling, or 3x3 of stride 1.

    Returns:
        The network, initialised from torch's global generator.
    """
    variances = iter(entering_variances(depths, alpha=style.alpha, reset="uncredited"))
    stages, channels = [], width
    for stage, depth in enumerate(depths):
        out_channels, layers = width * 2**stage, []
        for place in range(depth):
            stride = 2 if stage and not place else 1
            layers.append(_layer(channels, out_channels, stride, float(next(variances)), style))
            channels = out_channels
        stages.append(nn.Sequential(*layers))
    stem = _stem(in_channels, width, style, large=large_stem)
    return ResidualNetwork(stem, nn.Sequential(*stages), make_head(nn.Linear(channels, classes)))


def reactnet18(
    norm: Norm = "bf",
    *,
    binary: Binary = "all",
    initial_weights: InitialWeights = "positive",
    classes: int = 1000,
    in_channels: int = 3,
    width: int = 64,
    alpha: float = 0.2,
    large_stem: bool = True,
    padding_mode: PaddingMode = "zeros",
) -> ResidualNetwork:
    """Build ReActNet-18: stages of 4, 4, 4, 4 binary convolutions (see `binary_resnet`).

    11,699,624 parameters batch-free, 11,704,424 with batch normalisation.

    Args:
        norm: "bf" (batch-free), "bn" or "none".
        binary: "all", or "activations" for real weights (the first of two stages of training).
        initial_weights: of binary convolutions: "positive" as the authors, or "fan_in".
        classes: logits.
        in_channels: channels of the images.
        width: channels of the stem and of the first stage.
        alpha: scale of the branches of "bf".
        large_stem: for ImageNet (the authors' runs on CIFAR have it too, by an oversight).
        padding_mode: of the convolutions.
    """
    style = Style(norm, binary, initial_weights, padding_mode, alpha)
    return binary_resnet(
        STAGES_18,
        style,
        classes=classes,
        in_channels=in_channels,
        width=width,
        large_stem=large_stem,
    )
