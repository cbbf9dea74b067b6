"""NF-RegNets: normalizer-free networks in the shape of EfficientNets, with grouped convolutions.

Paper: Characterizing signal propagation to close the performance gap in unnormalized ResNets,
Brock, De, Smith, 2021, arXiv 2101.08692, section 6. Authors' code:
deepmind-research/nfnets/nf_regnet.py.

Where ours differs:

- the classifier starts as N(0, 0.01²); the authors' 0 lets no gradient reach the blocks in the
  first step;
- gains are exact, not Monte-Carlo values; padding is symmetric, the authors' "SAME" pads strided
  layers at one side; stochastic depth (0.1) and dropout are off by default;
- the variants "cifar" and "digits" are ours.

`convention="timm"` builds timm's nf_regnet_b*, whose channels are rounded to multiples of 8; with
`skip_gain=None` it has timm's parameters. The skip gain is initially 0, see
`sppkit.models.nf_resnet`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from sppkit.models.choices import require_one_of
from sppkit.models.normalizer_free import (
    ConventionName,
    NormalizerFreeLayers,
    find_convention,
    normalizer_free_stages,
)
from sppkit.models.topology import ConvolutionShape, PaddingMode, ResidualNetwork

EXPANSION = 2.25
GROUP_WIDTH = 8


@dataclass(frozen=True)
class NFRegNetVariant:
    """One size of NF-RegNet.

    Attributes:
        widths: channels that leave each stage, before `width_factor` is applied.
        depths: blocks of each stage.
        dropout: the paper's rate before the classifier.
        training_side, test_side: of the paper's images, in pixels.
        width_factor: what the widths are multiplied by.
        large_images: whether the stem and the first stage have stride 2; the other stages have.
    """

    widths: tuple[int, ...]
    depths: tuple[int, ...]
    dropout: float
    training_side: int
    test_side: int
    width_factor: float = 0.75
    large_images: bool = True


VARIANTS: dict[str, NFRegNetVariant] = {
    "b0": NFRegNetVariant((48, 104, 208, 440), (1, 3, 6, 6), 0.2, 192, 224),
    "b1": NFRegNetVariant((48, 104, 208, 440), (2, 4, 7, 7), 0.2, 224, 256),
    "b2": NFRegNetVariant((56, 112, 232, 488), (2, 4, 8, 8), 0.3, 240, 272),
    "b3": NFRegNetVariant((56, 128, 248, 528), (2, 5, 9, 9), 0.3, 288, 320),
    "b4": NFRegNetVariant((64, 144, 288, 616), (2, 6, 11, 11), 0.4, 320, 384),
    "b5": NFRegNetVariant((80, 168, 336, 704), (3, 7, 14, 14), 0.4, 384, 456),
    "cifar": NFRegNetVariant((24, 40, 80), (1, 2, 3), 0.0, 32, 32, 1.0, large_images=False),
    "digits": NFRegNetVariant((16, 32), (1, 2), 0.0, 8, 8, 1.0, large_images=False),
}


def nf_regnet(
    variant: str = "b0",
    *,
    classes: int = 1000,
    in_channels: int = 3,
    padding_mode: PaddingMode = "zeros",
    activation: str = "silu",
    alpha: float = 0.2,
    skip_gain: float | None = 0.0,
    squeeze_excite: float = 0.5,
    stochastic_depth: float = 0.0,
    dropout: float = 0.0,
    convention: ConventionName = "deepmind",
) -> ResidualNetwork:
    """Build an NF-RegNet.

    Blocks are 1x1, grouped 3x3, squeeze-and-excite, 1x1, with 2.25 times as many channels inside as
    enter (1 in the first block); each stage begins with stride 2, its skip path with the average
    over 2x2 and a 1x1 convolution.

    Args:
        variant: b0 to b5; cifar; digits.
        classes: logits.
        in_channels: channels of the images.
        padding_mode: of the convolutions; "circular" loses no variance at the border.
        activation: a name of `sppkit.theory.NONLINEARITIES`.
        alpha: scale of the residual branches.
        skip_gain: initial value of the learned scalars at the branches' ends; None: see
            `NormalizerFreeBlock`.
        squeeze_excite: hidden channels of squeeze-and-excite, as a share of the inner ones.
        stochastic_depth: drop rate, growing linearly from 0 at the first block towards this value;
            0.1 in the paper.
        dropout: rate before the classifier; the paper's is `VARIANTS[variant].dropout`.
        convention: "deepmind" or "timm".

    Returns:
        The network, initialised from torch's global generator.

    Raises:
        ValueError: an unknown variant, activation or convention.
    """
    require_one_of("variant", variant, VARIANTS)
    chosen = VARIANTS[variant]
    layers = NormalizerFreeLayers(find_convention(convention), activation, padding_mode)
    widths = [layers.convention.round(width * chosen.width_factor) for width in chosen.widths]
    stages = normalizer_free_stages(
        chosen.depths,
        _paths(chosen, widths, layers, squeeze_excite),
        layers,
        alpha=alpha,
        skip_gain=skip_gain,
        stochastic_depth=stochastic_depth,
    )
    stem = ConvolutionShape(in_channels, widths[0], 3, 2 if chosen.large_images else 1)
    features = _head_channels(chosen, widths, layers)
    return ResidualNetwork(
        nn.Sequential(layers.chain([stem])),
        stages,
        layers.wide_head(widths[-1], features, classes, dropout=dropout),
    )


def _head_channels(
    variant: NFRegNetVariant, widths: list[int], layers: NormalizerFreeLayers
) -> int:
    """Give the last convolution 1280 channels per 440 of the last stage; timm rounds those too."""
    if layers.convention.channel_divisor == 1:
        return 1280 * widths[-1] // 440
    return layers.convention.round(variant.width_factor * (1280 * variant.widths[-1] // 440))


def _paths(
    variant: NFRegNetVariant, widths: list[int], layers: NormalizerFreeLayers, squeeze_excite: float
) -> Iterator[tuple[nn.Module | None, nn.Sequential]]:
    """Make skip path and branch of each block."""
    places = [(stage, n == 0) for stage, depth in enumerate(variant.depths) for n in range(depth)]
    channels = widths[0]
    for index, (stage, first) in enumerate(places):
        out_channels = widths[stage]
        stride = 2 if first and (stage > 0 or variant.large_images) else 1
        shapes = _branch_shapes(
            channels, out_channels, stride, expansion=EXPANSION if index else 1.0, layers=layers
        )
        yield (
            layers.shortcut(channels, out_channels, stride, pooled=True),
            layers.branch(shapes, squeeze_excite=squeeze_excite, behind=2),
        )
        channels = out_channels


def _branch_shapes(
    in_channels: int,
    out_channels: int,
    stride: int,
    *,
    expansion: float,
    layers: NormalizerFreeLayers,
) -> list[ConvolutionShape]:
    groups = layers.convention.round(in_channels * expansion) // GROUP_WIDTH
    hidden = groups * GROUP_WIDTH
    return [
        ConvolutionShape(in_channels, hidden, 1, 1),
        ConvolutionShape(hidden, hidden, 3, stride, groups),
        ConvolutionShape(hidden, out_channels, 1, 1),
    ]
