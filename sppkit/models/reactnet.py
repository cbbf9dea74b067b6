"""ReActNets: networks of binary activations and weights, with batch normalisation and without.

Papers: "BNN - BN = ?": Training binary neural networks without batch normalization, Chen, Zhang,
Ouyang, Liu, Shen, Wang, 2021, arXiv 2104.08215; ReActNet, Liu, Shen, Savvides, Cheng, 2020, arXiv
2003.03488 (the networks with batch normalisation). Authors' code: VITA-Group/BNN_NoBN, models/,
whose files Qa_* binarise activations only (`binary="activations"`), Qaw_* weights as well.

The three norms are the authors': "bf" (batch-free: scaled weight standardisation, branches scaled
by alpha, inputs divided by their expected deviation), "bn", and "none" (batch normalisation taken
out and nothing put in its place).

Where ours differs: the small members, and `initial_weights="fan_in"`, are ours. The authors'
binary weights start positive, so that without standardisation all filters of a layer are equal:
they are meant to be loaded from a first stage of training (`sppkit.training.two_stages`).

A sign forgets the scale of its input. So beta acts through what is not a sign of it: the learned
thresholds, the window of the gradient, and the skip path of a transition.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from sppkit.models.layers.binary_activation import RPReLU, RSign
from sppkit.models.layers.binary_convolution import (
    BinaryConv2d,
    BinaryScaledStandardizedConv2d,
    InitialWeights,
)
from sppkit.models.layers.scaled_standardization import ScaledStandardizedConv2d
from sppkit.models.topology import PaddingMode, ResidualNetwork
from sppkit.theory import entering_variances

Norm = Literal["bf", "bn", "none"]
Binary = Literal["all", "activations"]

STAGES_18 = (4, 4, 4, 4)
CHANNELS_A = (2, 4, 4, 8, 8, 16, 16, 16, 16, 16, 16, 32, 32)
"""Channels that leave the blocks of ReActNet-A, in units of the stem's: MobileNet's."""


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
        for name, values in (("norm", Norm), ("binary", Binary)):
            if getattr(self, name) not in get_args(values):
                raise ValueError(
                    f"{name} is one of {', '.join(get_args(values))}; got {getattr(self, name)!r}"
                )

    @property
    def branch_scale(self) -> float:
        """Return what the branches are multiplied by."""
        return self.alpha if self.norm == "bf" else 1.0

    def full_precision(
        self, before: int, after: int, kernel_size: int, stride: int = 1
    ) -> nn.Module:
        """Build a convolution with real weights, without bias."""
        standardized = partial(ScaledStandardizedConv2d, eps=1e-5, eps_place="deviation")
        convolution = standardized if self.norm == "bf" else nn.Conv2d
        return convolution(
            before,
            after,
            kernel_size,
            stride,
            kernel_size // 2,
            bias=False,
            padding_mode=self.padding_mode,
        )

    def convolution(self, before: int, after: int, kernel_size: int, stride: int = 1) -> nn.Module:
        """Build a convolution with binary weights, or real ones where activations alone are."""
        if self.binary == "activations":
            return self.full_precision(before, after, kernel_size, stride)
        convolution = BinaryScaledStandardizedConv2d if self.norm == "bf" else BinaryConv2d
        return convolution(
            before,
            after,
            kernel_size,
            stride,
            kernel_size // 2,
            padding_mode=self.padding_mode,
            initial=self.initial_weights,
        )

    def normalized(self, channels: int, layers: list[tuple[str, nn.Module]]) -> nn.Sequential:
        """Put layers in a row, and batch normalisation behind them in "bn"."""
        norm = [("norm", nn.BatchNorm2d(channels))] if self.norm == "bn" else []
        return nn.Sequential(OrderedDict([*layers, *norm]))

    def branch(self, before: int, after: int, kernel_size: int, stride: int = 1) -> nn.Sequential:
        """Build sign, convolution and norm."""
        convolution = self.convolution(before, after, kernel_size, stride)
        return self.normalized(after, [("sign", RSign(before)), ("conv", convolution)])


class ReActLayer(nn.Module):
    """One binary convolution around which the signal is passed: y = g(skip + alpha f(x / beta)).

    f is RSign, a convolution, a norm in "bn"; g an RPReLU; the skip path is x, or a projection of x
    / beta.

    Args:
        branch: f.
        channels: of the output.
        beta: expected standard deviation of the input.
        alpha: what the branch is multiplied by.
        shortcut: the projection; None is the identity.
    """

    def __init__(
        self,
        branch: nn.Sequential,
        channels: int,
        *,
        beta: float,
        alpha: float,
        shortcut: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.beta, self.alpha = beta, alpha
        self.branch, self.shortcut = branch, shortcut
        self.activation = RPReLU(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return the layer's output, (N, C', H', W')."""
        scaled = x / self.beta
        skip = x if self.shortcut is None else self.shortcut(scaled)
        output: Tensor = self.activation(skip + self.alpha * self.branch(scaled))
        return output

    def extra_repr(self) -> str:
        """Show the constants in the printed model."""
        return f"alpha={self.alpha:.6g}, beta={self.beta:.6g}"


class DoublingReActLayer(nn.Module):
    """A layer that doubles the channels: two branches, each added to x, side by side.

        y = g(concat(x + alpha f_1(s), x + alpha f_2(s))),   s = sign(x / beta + bias)

    Args:
        sign: the sign in front of both branches.
        branches: f_1 and f_2, from C to C channels.
        channels: C.
        beta: expected standard deviation of the input.
        alpha: what the branches are multiplied by.
    """

    def __init__(
        self,
        sign: RSign,
        branches: Sequence[nn.Module],
        channels: int,
        *,
        beta: float,
        alpha: float,
    ) -> None:
        super().__init__()
        self.beta, self.alpha = beta, alpha
        self.sign = sign
        self.branches = nn.ModuleList(branches)
        self.activation = RPReLU(2 * channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return the layer's output, (N, 2 C, H, W)."""
        signs = self.sign(x / self.beta)
        halves = [x + self.alpha * branch(signs) for branch in self.branches]
        output: Tensor = self.activation(torch.cat(halves, dim=1))
        return output

    def extra_repr(self) -> str:
        """Show the constants in the printed model."""
        return f"alpha={self.alpha:.6g}, beta={self.beta:.6g}"


def _classifier(features: int, classes: int) -> nn.Sequential:
    return nn.Sequential(
        OrderedDict(
            pool=nn.AdaptiveAvgPool2d(1),
            flatten=nn.Flatten(),
            classifier=nn.Linear(features, classes),
        )
    )


# -- ReActNet-18


def _layer_18(before: int, after: int, stride: int, variance: float, style: Style) -> ReActLayer:
    shortcut = None
    if stride > 1 or before != after:
        projection = style.convolution(before, after, 1)
        shortcut = style.normalized(after, [("pool", nn.AvgPool2d(2)), ("conv", projection)])
    return ReActLayer(
        style.branch(before, after, 3, stride),
        after,
        beta=variance**0.5 if style.norm == "bf" else 1.0,
        alpha=style.branch_scale,
        shortcut=shortcut,
    )


def _stem_18(in_channels: int, width: int, style: Style, *, large: bool) -> nn.Sequential:
    convolution = style.full_precision(in_channels, width, *((7, 2) if large else (3, 1)))
    stem = style.normalized(width, [("conv", convolution)])
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
    stages, before = [], width
    for stage, depth in enumerate(depths):
        after, layers = width * 2**stage, []
        for place in range(depth):
            stride = 2 if stage and not place else 1
            layers.append(_layer_18(before, after, stride, float(next(variances)), style))
            before = after
        stages.append(nn.Sequential(*layers))
    stem = _stem_18(in_channels, width, style, large=large_stem)
    return ResidualNetwork(stem, nn.Sequential(*stages), _classifier(before, classes))


# -- ReActNet-A


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


def _spatial_layer(channels: int, stride: int, beta: float, style: Style) -> ReActLayer:
    return ReActLayer(
        style.branch(channels, channels, 3, stride),
        channels,
        beta=beta,
        alpha=style.branch_scale,
        shortcut=nn.AvgPool2d(2) if stride == 2 else None,
    )


def _pointwise_layer(
    before: int, after: int, beta: float, style: Style
) -> ReActLayer | DoublingReActLayer:
    alpha = style.branch_scale
    if before == after:
        return ReActLayer(style.branch(before, after, 1), after, beta=beta, alpha=alpha)
    branches = [
        style.normalized(before, [("conv", style.convolution(before, before, 1))]) for _ in range(2)
    ]
    return DoublingReActLayer(RSign(before), branches, before, beta=beta, alpha=alpha)


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
    before = width
    for factor, stride, pair in zip(channels, _strides(channels), variances, strict=True):
        betas = [variance**0.5 if style.norm == "bf" else 1.0 for variance in pair]
        spatial = _spatial_layer(before, stride, betas[0], style)
        pointwise = _pointwise_layer(before, factor * width, betas[1], style)
        stages[-1] += [spatial, pointwise]
        before = factor * width
        if stride == 2:
            stages.append([])
    stem = style.normalized(
        width, [("conv", style.full_precision(in_channels, width, 3, stem_stride))]
    )
    body = nn.Sequential(*(nn.Sequential(*layers) for layers in stages if layers))
    return ResidualNetwork(stem, body, _classifier(before, classes))


# -- by name


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
