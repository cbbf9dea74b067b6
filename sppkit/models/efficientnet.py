"""EfficientNet-B0 with batch normalisation, without, and with eleven things put in its place.

Papers: EfficientNet: Rethinking model scaling for convolutional neural networks, Tan, Le, 2019,
arXiv 1905.11946 ("bn"); Designing Normalizer-Free EfficientNets, Dewyse, 2025, JKU Linz (others,
for CIFAR-100). Author's code of the latter: PDewyse/MT_Normalizer_free_Neural_Nets, models/: files
efficientnet (bn, none), snefficientnet (sn), snefficientnet1 (sn_mp), dympsnefficientnet1
(sn_mp_learned), unefficientnet (un), dytefficientnet, dytsnefficientnet, wsefficientnet,
wssnefficientnet, wssnefficientnet1 (ws_se_sn). Parts: Self-Normalizing Neural Networks, Klambauer
et al., 2017, arXiv 1706.02515; Weight standardization, Qiao et al., 2019, arXiv 1903.10520;
Transformers without normalization, Zhu et al., 2025, arXiv 2503.10622.

Where ours differs:

- SiLU is one module; theirs is built of a sigmoid, which is what their plots then show;
- the gain of SiLU is computed (1.67653 where the code has 1 / 0.596469);
- stochastic depth, which the thesis' code has and does not apply, is left out;
- blocks without a skip path have no learned weight of a merge ("sn_mp_learned"): the author's have
  one that nothing uses, 7 parameters more than ours;
- "un_repaired" and "sws" are ours, and so is the small member.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from sppkit.models.layers.dynamic_tanh import DynamicTanh
from sppkit.models.layers.magnitude_preserving import (
    MagnitudePreservingSum,
    magnitude_preserving_product,
)
from sppkit.models.layers.nonlinearities import GainedNonlinearity, make_nonlinearity
from sppkit.models.layers.scaled_standardization import ScaledStandardizedConv2d
from sppkit.models.layers.weight_standardization import WeightStandardizedConv2d
from sppkit.models.topology import PaddingMode, ResidualNetwork
from sppkit.theory import entering_variances, nonlinearity_moments

Norm = Literal["batch", "dynamic_tanh"]
ConvolutionKind = Literal[
    "plain", "standardized", "scaled_standardized", "scaled_standardized_unbiased"
]
ActivationGain = Literal["none", "second moment", "deviation"]
Initialization = Literal["fan_out", "fan_in"]
Merge = Literal["sum", "magnitude_preserving", "learned_magnitude_preserving", "scaled"]


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


@dataclass(frozen=True)
class Parts:
    """What an EfficientNet is made of, and how it begins.

    Attributes:
        norm: behind every convolution outside squeeze-and-excite: batch normalisation, dynamic
            tanh, or None.
        slope: initial slope of dynamic tanh.
        convolution: "plain"; "standardized" (weight standardisation, no division by the root of the
            fan-in); "scaled_standardized" (DeepMind's); or the same with the variance of N - 1,
            which takes 1/9 of a depthwise 3x3's.
        squeeze_convolution: the same inside squeeze-and-excite; None: as outside.
        initialization: "fan_out", N(0, 2 / (k² filters)), which does not count groups and so makes
            depthwise weights smaller by the root of the channels; or "fan_in", N(0, 1 / fan-in).
        classifier_by_fan_in: whether the classifier is N(0, 1 / fan-in) too, or N(0, 0.01²).
        activation: a name of `sppkit.theory.NONLINEARITIES`.
        activation_gain: "none"; "second moment", 1 / sqrt(E[g²]); "deviation", 1 / sqrt(Var[g]).
        squeeze_gain: what the gate of squeeze-and-excite, 1/2 at first, is multiplied by.
        magnitude_preserving_gate: whether the gate is applied by `magnitude_preserving_product`.
        merge: how branch and skip path meet. "scaled" is the normalizer-free x + alpha f(g(x) /
            beta), with the activation in front of the block.
        alpha: scale of the branch of "scaled".
        scale_transitions: whether blocks without a skip path are multiplied by alpha as well.
        reset: the betas of "scaled", see `sppkit.theory.entering_variances`.
    """

    norm: Norm | None = None
    slope: float = 0.5
    convolution: ConvolutionKind = "plain"
    squeeze_convolution: ConvolutionKind | None = None
    initialization: Initialization = "fan_out"
    classifier_by_fan_in: bool = False
    activation: str = "silu"
    activation_gain: ActivationGain = "none"
    squeeze_gain: float = 1.0
    magnitude_preserving_gate: bool = False
    merge: Merge = "sum"
    alpha: float = 0.2
    scale_transitions: bool = False
    reset: Literal["deepmind", "uncredited", "never"] = "never"


_SELU = Parts(activation="selu", initialization="fan_in")
_MAGNITUDE = replace(_SELU, magnitude_preserving_gate=True, merge="magnitude_preserving")
_UN = Parts(
    activation_gain="second moment",
    squeeze_convolution="scaled_standardized_unbiased",
    squeeze_gain=2.0,
    merge="scaled",
    scale_transitions=True,
)

VARIANTS: dict[str, Parts] = {
    "bn": Parts(norm="batch"),
    "none": Parts(),
    "sn": replace(_SELU, classifier_by_fan_in=True),
    "sn_mp": _MAGNITUDE,
    "sn_mp_learned": replace(_MAGNITUDE, merge="learned_magnitude_preserving"),
    "un": _UN,
    "un_repaired": replace(
        _UN,
        convolution="scaled_standardized",
        scale_transitions=False,
        activation_gain="deviation",
    ),
    "dyt": Parts(norm="dynamic_tanh"),
    "dyt_sn": replace(_SELU, norm="dynamic_tanh", slope=1.0),
    "ws": Parts(convolution="standardized"),
    "ws_sn": Parts(convolution="standardized", activation="selu"),
    "ws_se_sn": replace(_SELU, squeeze_convolution="standardized", classifier_by_fan_in=True),
    "sws": Parts(
        convolution="scaled_standardized",
        activation_gain="deviation",
        squeeze_gain=2.0,
        merge="scaled",
        reset="uncredited",
    ),
}
"""The variants by name: published ones, their repairs, and ours."""


# -- parts


def _activation(parts: Parts) -> nn.Module:
    moments = nonlinearity_moments(parts.activation)
    gain = {
        "none": 1.0,
        "second moment": moments.second_moment**-0.5,
        "deviation": moments.variance**-0.5,
    }[parts.activation_gain]
    if parts.activation_gain == "none":
        return make_nonlinearity(parts.activation)
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


def _convolution(
    parts: Parts,
    before: int,
    after: int,
    kernel_size: int = 1,
    stride: int = 1,
    groups: int = 1,
    *,
    padding_mode: PaddingMode,
) -> nn.Conv2d:
    convolution = _CONVOLUTIONS[parts.convolution](
        before,
        after,
        kernel_size,
        stride,
        kernel_size // 2,
        groups=groups,
        bias=False,
        padding_mode=padding_mode,
    )
    return _initialize(convolution, parts.initialization)


def _norm(parts: Parts, channels: int) -> Iterator[tuple[str, nn.Module]]:
    if parts.norm == "batch":
        yield "norm", nn.BatchNorm2d(channels)
    elif parts.norm == "dynamic_tanh":
        yield "norm", DynamicTanh(channels, slope=parts.slope)


def _layer(
    parts: Parts,
    before: int,
    after: int,
    kernel_size: int = 1,
    stride: int = 1,
    groups: int = 1,
    *,
    padding_mode: PaddingMode,
    activated: bool = True,
) -> nn.Sequential:
    convolution = _convolution(
        parts, before, after, kernel_size, stride, groups, padding_mode=padding_mode
    )
    layers: list[tuple[str, nn.Module]] = [("conv", convolution), *_norm(parts, after)]
    if activated:
        layers.append(("activation", _activation(parts)))
    return nn.Sequential(OrderedDict(layers))


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
        self.activation = _activation(parts)
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


class BlockPlace(NamedTuple):
    """Sizes of one block, and the variance that it expects to enter."""

    before: int
    after: int
    expansion: int
    stride: int
    kernel_size: int
    variance: float


class InvertedBottleneck(nn.Module):
    """Expand, convolve each channel, gate, project; with a skip path where the sizes agree.

    Merges: x + f(x); or magnitude-preserving; or x + alpha f(g(x) / beta), "scaled".

    Args:
        place: sizes, and the variance that enters.
        parts: what it is made of.
        padding_mode: of the convolutions.
    """

    def __init__(self, place: BlockPlace, parts: Parts, *, padding_mode: PaddingMode) -> None:
        super().__init__()
        self.skips = place.stride == 1 and place.before == place.after
        self.branch = _branch(place, parts, padding_mode)
        self.merge: MagnitudePreservingSum | None = None
        if self.skips and "magnitude" in parts.merge:
            self.merge = MagnitudePreservingSum(learned=parts.merge.startswith("learned"))
        scaled = parts.merge == "scaled"
        self.preactivation = _activation(parts) if scaled else None
        self.beta = place.variance**0.5 if scaled else 1.0
        scales_here = scaled and (self.skips or parts.scale_transitions)
        self.alpha = parts.alpha if scales_here else 1.0

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output, (N, C', H', W')."""
        h = x if self.preactivation is None else self.preactivation(x) / self.beta
        residual: Tensor = self.branch(h)
        if self.alpha != 1.0:
            residual = self.alpha * residual
        if not self.skips:
            return residual
        return x + residual if self.merge is None else self.merge(x, residual)

    def extra_repr(self) -> str:
        """Show the constants in the printed model."""
        return f"alpha={self.alpha:.6g}, beta={self.beta:.6g}"


def _branch(place: BlockPlace, parts: Parts, padding_mode: PaddingMode) -> nn.Sequential:
    layer = partial(_layer, parts, padding_mode=padding_mode)
    inner = place.before * place.expansion
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    if place.expansion > 1:
        layers["expand"] = layer(place.before, inner)
    layers["depthwise"] = layer(inner, inner, place.kernel_size, place.stride, inner)
    squeezed = max(1, place.before // 4)
    layers["squeeze_excite"] = ConvolutionalSqueezeExcite(inner, squeezed, parts)
    layers["project"] = layer(inner, place.after, activated=False)
    return nn.Sequential(layers)


# -- networks


def _places(stages: Sequence[Stage], stem: int, parts: Parts) -> Iterator[list[BlockPlace]]:
    depths = [stage.repeats for stage in stages]
    variances = iter(entering_variances(depths, alpha=parts.alpha, reset=parts.reset))
    before = stem
    for stage in stages:
        places = []
        for repeat in range(stage.repeats):
            stride = 1 if repeat else stage.stride
            places.append(
                BlockPlace(
                    before,
                    stage.channels,
                    stage.expansion,
                    stride,
                    stage.kernel_size,
                    float(next(variances)),
                )
            )
            before = stage.channels
        yield places


def _head(
    before: int,
    features: int,
    classes: int,
    dropout: float,
    parts: Parts,
    padding_mode: PaddingMode,
) -> nn.Sequential:
    classifier = nn.Linear(features, classes)
    deviation = features**-0.5 if parts.classifier_by_fan_in else 0.01
    nn.init.normal_(classifier.weight, std=deviation)
    nn.init.zeros_(classifier.bias)
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    layers["features"] = _layer(parts, before, features, padding_mode=padding_mode)
    layers["pool"] = nn.AdaptiveAvgPool2d(1)
    layers["flatten"] = nn.Flatten()
    layers["dropout"] = nn.Dropout(dropout)
    layers["classifier"] = classifier
    return nn.Sequential(layers)


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
        _layer(parts, in_channels, stem, 3, stem_stride, padding_mode=padding_mode),
        nn.Sequential(*blocks),
        _head(stages[-1].channels, features, classes, dropout, parts, padding_mode),
    )


def find_parts(variant: str, **changes: object) -> Parts:
    """Return a variant's parts, changed where a value is not None.

    Raises:
        ValueError: no such variant; the message lists all.
    """
    if variant not in VARIANTS:
        raise ValueError(f"variant is one of {', '.join(VARIANTS)}; got {variant!r}")
    given = {name: value for name, value in changes.items() if value is not None}
    return replace(VARIANTS[variant], **given)  # type: ignore[arg-type]


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
