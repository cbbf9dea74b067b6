"""RescaleNets: residual networks whose weights, paths and biases make a normalisation unnecessary.

Paper: Is normalization indispensable for training deep neural networks?, Shao, Hu, Wang, Xue, Raj,
2020, NeurIPS. Authors' code: hukkai/rescaling, models/rescale.py.

Where ours differs: see `sppkit.models.layers.DataDependentBias2d` (evaluating a new network does
not change it); the ReLU after the merge is a module and nothing is in place. The size
26 is ours.
"""

from functools import partial

from torch import Tensor, nn

from sppkit.models.layers.data_dependent_bias import DataDependentBias2d
from sppkit.models.named_layers import in_sequence
from sppkit.models.rescaling import (
    NamedLayers,
    find_variant,
    make_rescaled_head,
    make_rescaled_stem,
    rescaled_stages,
)
from sppkit.models.topology import (
    ConvolutionShape,
    PaddingMode,
    ResidualNetwork,
    make_convolution,
)


def weight_multiplier(index: int, blocks: int, *, dropout: float = 0.0) -> float:
    """Compute what He's deviation is multiplied by in the three convolutions of a branch.

        block k of L, b = L - 1 + k:   (L / (b + 1))^(1/6) sqrt(1 - dropout)

    Three such factors give the branch sqrt(L / (b + 1)), which with the scale L^(-1/2) of the
    authors' code is the paper's (b + 1)^(-1/2).

    Args:
        index: k, from 0.
        blocks: L.
        dropout: rate of dropping channels after each convolution.
    """
    return float((blocks / (blocks + index)) ** (1 / 6) * (1.0 - dropout) ** 0.5)


def _convolution(shape: ConvolutionShape, *, gain: float, padding_mode: PaddingMode) -> nn.Conv2d:
    """Make a convolution with standard deviation gain / sqrt(fan-in)."""

    def initialize(weight: Tensor) -> Tensor:
        return nn.init.normal_(weight, std=gain * weight[0].numel() ** -0.5)

    return make_convolution(**shape._asdict(), initialize=initialize, padding_mode=padding_mode)


def _layers(
    shape: ConvolutionShape, *, gain: float, padding_mode: PaddingMode
) -> list[tuple[str, nn.Module]]:
    convolution = _convolution(shape, gain=gain, padding_mode=padding_mode)
    return [("bias", DataDependentBias2d(shape.in_channels)), ("conv", convolution)]


def _stem_layers(
    shape: ConvolutionShape, *, padding_mode: PaddingMode
) -> list[tuple[str, nn.Module]]:
    convolution = _convolution(shape, gain=2**0.5, padding_mode=padding_mode)
    return [("conv", convolution), ("bias", DataDependentBias2d(shape.out_channels))]


def _head(features: int, classes: int, dropout: float) -> nn.Sequential:
    head = make_rescaled_head(features, classes, dropout)
    return in_sequence(bias=DataDependentBias2d(features), **dict(head.named_children()))


def rescalenet(
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
    """Build a RescaleNet: post-activation bottlenecks, each convolution behind a bias of its own.

    y = relu(sqrt(b / (b + 1)) D(x) + L^(-1/2) scale f(x)); see
    `sppkit.models.rescaling.rescaled_ladder` and `weight_multiplier`. The size 50 has 25,528,568
    parameters with 1000 classes.

    Args:
        variant: a size; a name of `sppkit.models.rescaling.VARIANTS`.
        classes: logits.
        in_channels: channels of the images.
        width: channels of the stem, and hidden channels of the first stage.
        large_stem: 7x7 of stride 2 and max-pooling, or 3x3 of stride 1.
        padding_mode: of the convolutions.
        convolution_dropout: rate of dropping channels after the convolutions of the last two
            stages; it lowers their first weights too.
        classifier_dropout: rate in front of the classifier.

    Returns:
        The network, initialised from torch's global generator.

    Raises:
        ValueError: no such size.
    """
    found = find_variant(variant)
    topology = found.topology(large_stem=large_stem)
    layers = partial(_layers, padding_mode=padding_mode)

    def branch_layers(index: int, dropout: float) -> NamedLayers:
        multiplier = weight_multiplier(index, sum(topology.depths), dropout=dropout)
        return partial(layers, gain=2**0.5 * multiplier)

    stem_layers = partial(_stem_layers, padding_mode=padding_mode)
    stem = make_rescaled_stem(topology, stem_layers, in_channels=in_channels, width=width)
    head = _head(topology.out_channels(width), classes, classifier_dropout)
    stages = rescaled_stages(
        topology,
        found.grouping,
        width=width,
        convolution_dropout=convolution_dropout,
        branch_layers=branch_layers,
        shortcut_layers=partial(layers, gain=1.0),
    )
    return ResidualNetwork(stem, stages, head)
