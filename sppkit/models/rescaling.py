"""What RescaleNet and EUNNet share: residual blocks whose two paths are scaled by their place.

Papers: Shao, Hu, Wang, Xue, Raj, Is normalization indispensable for training deep neural networks?,
2020, NeurIPS (RescaleNet); Nguyen, Choi, Yang, EUNNet, IEEE Access, 2023, document 10041931.
Authors' code: hukkai/rescaling, models/rescale.py; beandkay/EUNNet, models/eunnet.py.

Where ours differs: the ReLU after the merge is a module and nothing is in place.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from sppkit.models.choices import require_one_of
from sppkit.models.named_layers import in_sequence
from sppkit.models.topology import BlockShape, ConvolutionShape, Topology, make_head

STAGES_WITH_DROPOUT = (2, 3)
"""Stages, counted from 0, whose blocks drop channels after each convolution."""


class ResidualScales(NamedTuple):
    """What a block multiplies its two paths by."""

    skip: float
    branch: float


def rescaled_ladder(blocks: int) -> list[ResidualScales]:
    """Compute the scales of the L blocks of a network.

        block k = 0 .. L - 1, b = L - 1 + k:   skip sqrt(b / (b + 1)),   branch L^(-1/2)

    In the paper y = sqrt(b / (b + 1)) x + sqrt(1 / (b + 1)) f(x), which keeps the variance. The
    authors' code puts L^(-1/2) in the place of (b + 1)^(-1/2), and RescaleNet makes the rest good
    in its weights; EUNNet does not. The skip scales multiply to sqrt((L - 1) / (2 L - 1)).

    Args:
        blocks: L, 2 or more.

    Raises:
        ValueError: fewer than two blocks (the first skip path would be 0).

    References:
        Shao et al., 2020, NeurIPS, equation 6 with c = L.

    Examples:
        >>> [round(number, 6) for number in rescaled_ladder(16)[0]]
        [0.968246, 0.25]
    """
    if blocks < 2:
        raise ValueError(f"the ladder needs two blocks or more; got {blocks}")
    places = range(blocks - 1, 2 * blocks - 1)
    return [ResidualScales((b / (b + 1)) ** 0.5, blocks**-0.5) for b in places]


@dataclass(frozen=True)
class Grouping:
    """Groups of the 3x3, and how wide one is in the first stage (32x4d: 32 and 4).

    Attributes:
        groups: of the 3x3 convolution of every bottleneck.
        group_width: channels of a group in the first stage at the published width of 64; None
            leaves the hidden channels as they are.
    """

    groups: int = 1
    group_width: int | None = None

    def widen(self, shape: BlockShape) -> BlockShape:
        """Return the shape with the hidden channels that the groups ask for."""
        if self.group_width is None:
            return shape
        hidden = shape.hidden_channels * self.group_width * self.groups // 64
        return replace(shape, hidden_channels=hidden)


@dataclass(frozen=True)
class Variant:
    """Blocks per stage, and groups, of a published size."""

    depths: tuple[int, ...]
    grouping: Grouping = Grouping()

    def topology(self, *, large_stem: bool) -> Topology:
        """Return the topology, of bottleneck blocks."""
        return Topology(self.depths, bottleneck=True, large_stem=large_stem)


VARIANTS: dict[str, Variant] = {
    "26": Variant((2, 2, 2, 2)),
    "50": Variant((3, 4, 6, 3)),
    "101": Variant((3, 4, 23, 3)),
    "200": Variant((3, 24, 36, 3)),
    "x50_32x4d": Variant((3, 4, 6, 3), Grouping(32, 4)),
    "x101_32x8d": Variant((3, 4, 23, 3), Grouping(32, 8)),
}
"""The sizes that both papers name, and 26, which neither does."""


def find_variant(name: str) -> Variant:
    """Return a size by its name.

    Raises:
        ValueError: no such size; the message lists all.
    """
    require_one_of("variant", name, VARIANTS)
    return VARIANTS[name]


class NamedLayers(Protocol):
    """A family's way to make a convolution and the layers that belong to it."""

    def __call__(self, shape: ConvolutionShape) -> list[tuple[str, nn.Module]]:
        """Build them, by name, with padding (kernel_size - 1) / 2."""


class RescaledBlock(nn.Module):
    """A post-activation bottleneck, y = relu(skip_scale D(x) + branch_scale (scale f(x))).

    f is a 1x1, a ReLU, a strided 3x3, a ReLU and a 1x1; D the identity, or average pooling and a
    1x1 where the shape changes; `scale` one learned number, initially 1.

    Args:
        shape: channels and stride.
        scales: of the two paths.
        groups: of the 3x3.
        dropout: rate of dropping channels after each convolution of the branch.
        branch_layers: makes the convolutions of f.
        shortcut_layers: makes that of D.
    """

    def __init__(
        self,
        shape: BlockShape,
        *,
        scales: ResidualScales,
        groups: int,
        dropout: float,
        branch_layers: NamedLayers,
        shortcut_layers: NamedLayers,
    ) -> None:
        super().__init__()
        self.scales = scales
        self.branch = _make_branch(shape, groups, dropout, branch_layers)
        self.shortcut = _make_shortcut(shape, shortcut_layers) if shape.transition else None
        self.scale = nn.Parameter(torch.ones(1))
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output, (N, out_channels, H / stride, W / stride)."""
        skip = x if self.shortcut is None else self.shortcut(x)
        residual = self.scales.branch * (self.scale * self.branch(x))
        output: Tensor = self.relu(self.scales.skip * skip + residual)
        return output

    def extra_repr(self) -> str:
        """Show the constants in the printed model."""
        return f"skip={self.scales.skip:.6g}, branch={self.scales.branch:.6g}"


def _make_branch(
    shape: BlockShape, groups: int, dropout: float, make_layers: NamedLayers
) -> nn.Sequential:
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for number, convolution in enumerate(shape.convolutions(), start=1):
        if number > 1:
            layers[f"activation{number}"] = nn.ReLU()
        if convolution.kernel_size == 3:
            convolution = convolution._replace(groups=groups)
        for name, layer in make_layers(convolution):
            layers[f"{name}{number}"] = layer
        if dropout:
            layers[f"dropout{number}"] = nn.Dropout2d(dropout)
    return nn.Sequential(layers)


def _make_shortcut(shape: BlockShape, make_layers: NamedLayers) -> nn.Sequential:
    layers = make_layers(ConvolutionShape(shape.in_channels, shape.out_channels, 1, 1))
    return in_sequence(
        pool=nn.AvgPool2d(shape.stride) if shape.stride > 1 else None, **dict(layers)
    )


def rescaled_stages(
    topology: Topology,
    grouping: Grouping,
    *,
    width: int,
    convolution_dropout: float,
    branch_layers: Callable[[int, float], NamedLayers],
    shortcut_layers: NamedLayers,
) -> nn.Sequential:
    """Build stages of rescaled blocks.

    Args:
        topology: stages, of bottleneck blocks.
        grouping: of the 3x3 convolutions.
        width: channels of the stem, and hidden channels of the first stage.
        convolution_dropout: rate of dropping channels in `STAGES_WITH_DROPOUT`.
        branch_layers: from a block's index and dropout rate to what makes its branch's layers.
        shortcut_layers: makes those of the skip paths.
    """
    shapes = topology.blocks(width)
    rates = _dropout_rates(topology, convolution_dropout)
    ladder = rescaled_ladder(len(shapes))
    return topology.stages(
        RescaledBlock(
            grouping.widen(shape),
            scales=scales,
            groups=grouping.groups,
            dropout=rate,
            branch_layers=branch_layers(index, rate),
            shortcut_layers=shortcut_layers,
        )
        for index, (shape, scales, rate) in enumerate(zip(shapes, ladder, rates, strict=True))
    )


def _dropout_rates(topology: Topology, rate: float) -> list[float]:
    """Give each block its rate, in order of execution."""
    return [
        rate if stage in STAGES_WITH_DROPOUT else 0.0
        for stage, depth in enumerate(topology.depths)
        for _ in range(depth)
    ]


def make_rescaled_stem(
    topology: Topology, make_layers: NamedLayers, *, in_channels: int, width: int
) -> nn.Sequential:
    """Build the stem: a convolution with its layers, a ReLU, max-pooling where it is large."""
    kernel_size, stride = (7, 2) if topology.large_stem else (3, 1)
    layers = make_layers(ConvolutionShape(in_channels, width, kernel_size, stride))
    return in_sequence(
        **dict(layers),
        relu=nn.ReLU(),
        pool=nn.MaxPool2d(3, stride=2, padding=1) if topology.large_stem else None,
    )


def make_rescaled_head(features: int, classes: int, dropout: float) -> nn.Sequential:
    """Build average pooling, dropout and a classifier with weights N(0, 1 / fan-in)."""
    classifier = nn.Linear(features, classes)
    nn.init.kaiming_normal_(classifier.weight, nonlinearity="linear")
    return make_head(classifier, dropout=dropout)
