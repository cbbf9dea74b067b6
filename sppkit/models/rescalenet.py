"""RescaleNets: residual networks whose weights, paths and biases make a normalisation unnecessary.

Paper: Is normalization indispensable for training deep neural networks?, Shao, Hu, Wang, Xue, Raj,
2020, NeurIPS. Authors' code: hukkai/rescaling, models/rescale.py.

Where ours differs: see `sppkit.models.layers.DataDependentBias2d` (evaluating a new network does
not change it); the ReLU after the merge is a module and nothing is in place. The size
26 is ours.
"""

from functools import partial

from torch import nn

from sppkit.models.layers.data_dependent_bias import DataDependentBias2d
from sppkit.models.rescaling import (
    Dropouts,
    RescaledBlock,
    ResidualScales,
    find_variant,
    make_rescaled_head,
    make_rescaled_stem,
    rescaled_resnet,
)
from sppkit.models.topology import BlockShape, PaddingMode, ResidualNetwork, Topology


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


def _convolution(
    before: int,
    after: int,
    *,
    kernel_size: int,
    stride: int,
    groups: int,
    gain: float,
    padding_mode: PaddingMode,
) -> nn.Conv2d:
    convolution = nn.Conv2d(
        before,
        after,
        kernel_size,
        stride,
        kernel_size // 2,
        groups=groups,
        bias=False,
        padding_mode=padding_mode,
    )
    fan_in = convolution.weight[0].numel()
    nn.init.normal_(convolution.weight, std=gain * fan_in**-0.5)
    return convolution


def _layers(
    before: int,
    after: int,
    *,
    kernel_size: int,
    stride: int,
    groups: int,
    gain: float,
    padding_mode: PaddingMode,
) -> list[tuple[str, nn.Module]]:
    convolution = _convolution(
        before,
        after,
        kernel_size=kernel_size,
        stride=stride,
        groups=groups,
        gain=gain,
        padding_mode=padding_mode,
    )
    return [("bias", DataDependentBias2d(before)), ("conv", convolution)]


def _stem(
    topology: Topology, in_channels: int, width: int, padding_mode: PaddingMode
) -> nn.Sequential:
    size, stride = (7, 2) if topology.large_stem else (3, 1)
    convolution = _convolution(
        in_channels,
        width,
        kernel_size=size,
        stride=stride,
        groups=1,
        gain=2**0.5,
        padding_mode=padding_mode,
    )
    return make_rescaled_stem(
        topology, [("conv", convolution), ("bias", DataDependentBias2d(width))]
    )


def _head(features: int, classes: int, dropout: float) -> nn.Sequential:
    head = nn.Sequential()
    head.add_module("bias", DataDependentBias2d(features))
    for name, layer in make_rescaled_head(features, classes, dropout).named_children():
        head.add_module(name, layer)
    return head


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

    def make_block(
        shape: BlockShape, scales: ResidualScales, index: int, dropout: float
    ) -> RescaledBlock:
        multiplier = weight_multiplier(index, sum(topology.depths), dropout=dropout)
        return RescaledBlock(
            shape,
            scales=scales,
            groups=found.grouping.groups,
            dropout=dropout,
            branch_layers=partial(layers, gain=2**0.5 * multiplier),
            shortcut_layers=partial(layers, gain=1.0),
        )

    return rescaled_resnet(
        topology,
        make_block,
        _stem(topology, in_channels, width, padding_mode),
        _head(topology.out_channels(width), classes, classifier_dropout),
        width=width,
        grouping=found.grouping,
        dropouts=Dropouts(convolution_dropout, classifier_dropout),
    )
