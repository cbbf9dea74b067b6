"""NFNets: normalizer-free networks with grouped convolutions, for large images.

Paper: High-performance large-scale image recognition without normalization, Brock, De, Smith,
Simonyan, 2021, arXiv 2102.06171. Authors' code: deepmind-research/nfnets/nfnet.py.

Where ours differs:

- GELU is the exact one; the authors' is its approximation by tanh (`activation="gelu_tanh"`); gains
  are exact, not Monte-Carlo values;
- padding is symmetric, as torch has it; the authors' "SAME" pads strided layers at one side;
- linear layers of squeeze-and-excite start as N(0, 1 / fan-in), not truncated;
- stochastic depth and dropout are off by default; `sppkit.training.recipes` has the paper's;
- the variants "cifar" and "digits" are ours.

`convention="timm"` builds timm's nfnet_f* (its dm_nfnet_f* are "deepmind" with padding "SAME");
with `skip_gain=None` and timm's weights it has timm's outputs. The skip gain is initially 0, see
`sppkit.models.nf_resnet`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from torch import nn

from sppkit.models.choices import require_one_of
from sppkit.models.normalizer_free import (
    ConventionName,
    NormalizerFreeLayers,
    find_convention,
    normalizer_free_stages,
)
from sppkit.models.topology import ConvolutionShape, PaddingMode, ResidualNetwork

HEAD_WIDENING = 2


@dataclass(frozen=True)
class NFNetVariant:
    """One size of NFNet.

    Attributes:
        widths: channels that leave each stage.
        depths: blocks of each stage.
        stem: channels of the stem's convolutions; the last of them enter the first block.
        stem_strides: their strides.
        group_width: channels of a group of the 3x3 convolutions.
        dropout: the paper's rate before the classifier.
        training_side, test_side: of the paper's images, in pixels.
    """

    widths: tuple[int, ...]
    depths: tuple[int, ...]
    stem: tuple[int, ...]
    stem_strides: tuple[int, ...]
    group_width: int
    dropout: float
    training_side: int
    test_side: int

    def strides(self) -> list[int]:
        """Return the stride of each block: 2 where a stage but the first begins."""
        firsts = (2 if stage else 1 for stage in range(len(self.depths)))
        stages = ([s, *[1] * (n - 1)] for s, n in zip(firsts, self.depths, strict=True))
        return list(chain.from_iterable(stages))

    def out_channels(self) -> list[int]:
        """Return the channels that leave each block."""
        stages = ([w] * n for w, n in zip(self.widths, self.depths, strict=True))
        return list(chain.from_iterable(stages))


def _f(number: int, dropout: float, training_side: int, test_side: int) -> NFNetVariant:
    depths = tuple((number + 1) * depth for depth in (1, 2, 6, 3))
    return NFNetVariant(
        widths=(256, 512, 1536, 1536),
        depths=depths,
        stem=(16, 32, 64, 128),
        stem_strides=(2, 1, 1, 2),
        group_width=128,
        dropout=dropout,
        training_side=training_side,
        test_side=test_side,
    )


_F: dict[str, NFNetVariant] = {
    "f0": _f(0, 0.2, 192, 256),
    "f1": _f(1, 0.3, 224, 320),
    "f2": _f(2, 0.4, 256, 352),
    "f3": _f(3, 0.4, 320, 416),
    "f4": _f(4, 0.5, 384, 512),
    "f5": _f(5, 0.5, 416, 544),
    "f6": _f(6, 0.5, 448, 576),
    "f7": _f(7, 0.5, 480, 608),
}

VARIANTS: dict[str, NFNetVariant] = {
    **_F,
    **{
        f"{name}+": replace(variant, widths=(384, 768, 2048, 2048), stem=(16, 32, 64, 192))
        for name, variant in _F.items()
    },
    "cifar": NFNetVariant((32, 64, 96, 96), (1, 2, 3, 2), (16, 32), (1, 1), 16, 0.0, 32, 32),
    "digits": NFNetVariant((16, 32), (1, 2), (8, 16), (1, 1), 8, 0.0, 8, 8),
}


def nfnet(
    variant: str = "f0",
    *,
    classes: int = 1000,
    in_channels: int = 3,
    padding_mode: PaddingMode = "zeros",
    activation: str = "gelu",
    alpha: float = 0.2,
    skip_gain: float | None = 0.0,
    squeeze_excite: float = 0.5,
    stochastic_depth: float = 0.0,
    dropout: float = 0.0,
    convention: ConventionName = "deepmind",
) -> ResidualNetwork:
    """Build an NFNet.

    Blocks are 1x1, two grouped 3x3, 1x1, with half of their outer channels inside and
    squeeze-and-excite at the end; strided skip paths average 2x2 before their 1x1 convolution.

    Args:
        variant: f0 to f7; f0+ to f7+ (wider); cifar; digits.
        classes: logits.
        in_channels: channels of the images.
        padding_mode: of the convolutions; "circular" loses no variance at the border.
        activation: a name of `sppkit.theory.NONLINEARITIES`.
        alpha: scale of the residual branches.
        skip_gain: initial value of the learned scalars at the branches' ends; None: see
            `NormalizerFreeBlock`.
        squeeze_excite: hidden channels of squeeze-and-excite, as a share of the outer ones.
        stochastic_depth: drop rate, growing linearly from 0 at the first block towards this value;
            0.25 in the paper.
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
    stages = normalizer_free_stages(
        chosen.depths,
        _paths(chosen, layers, squeeze_excite),
        layers,
        alpha=alpha,
        skip_gain=skip_gain,
        stochastic_depth=stochastic_depth,
    )
    channels = chosen.widths[-1]
    return ResidualNetwork(
        nn.Sequential(layers.chain(_stem_shapes(chosen, in_channels))),
        stages,
        layers.wide_head(channels, HEAD_WIDENING * channels, classes, dropout=dropout),
    )


def _stem_shapes(variant: NFNetVariant, in_channels: int) -> list[ConvolutionShape]:
    inputs = (in_channels, *variant.stem[:-1])
    return [
        ConvolutionShape(channels, out_channels, 3, stride)
        for channels, out_channels, stride in zip(
            inputs, variant.stem, variant.stem_strides, strict=True
        )
    ]


def _paths(
    variant: NFNetVariant, layers: NormalizerFreeLayers, squeeze_excite: float
) -> Iterator[tuple[nn.Module | None, nn.Sequential]]:
    """Make skip path and branch of each block."""
    outs, strides = variant.out_channels(), variant.strides()
    ins = [variant.stem[-1], *outs[:-1]]
    for in_channels, out_channels, stride in zip(ins, outs, strides, strict=True):
        shapes = _branch_shapes(in_channels, out_channels, stride, variant.group_width)
        yield (
            layers.shortcut(in_channels, out_channels, stride, pooled=True),
            layers.branch(shapes, squeeze_excite=squeeze_excite, behind=len(shapes)),
        )


def _branch_shapes(
    in_channels: int, out_channels: int, stride: int, group_width: int
) -> Sequence[ConvolutionShape]:
    groups = out_channels // 2 // group_width
    hidden = groups * group_width
    return (
        ConvolutionShape(in_channels, hidden, 1, 1),
        ConvolutionShape(hidden, hidden, 3, stride, groups),
        ConvolutionShape(hidden, hidden, 3, 1, groups),
        ConvolutionShape(hidden, out_channels, 1, 1),
    )
