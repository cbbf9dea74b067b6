"""The shape that residual networks of all families share: stages, widths, strides, stem and head.

A family says what a convolution, an activation and a block are; everything that must be equal for
two families to be compared is here, once.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal, NamedTuple, Protocol

from torch import Tensor, nn

from sppkit.models.named_layers import in_sequence

PaddingMode = Literal["zeros", "circular"]


class Convolution(Protocol):
    """A family's way to make a convolution."""

    def __call__(
        self, in_channels: int, out_channels: int, *, kernel_size: int, stride: int
    ) -> nn.Module:
        """Build one, initialised, with padding (kernel_size - 1) / 2."""


class ConvolutionShape(NamedTuple):
    """One convolution of a residual branch."""

    in_channels: int
    out_channels: int
    kernel_size: int
    stride: int
    groups: int = 1


@dataclass(frozen=True)
class BlockShape:
    """Channels and stride of one block; a transition has a convolution on its skip path."""

    in_channels: int
    hidden_channels: int
    out_channels: int
    stride: int
    transition: bool
    bottleneck: bool

    def convolutions(self) -> list[ConvolutionShape]:
        """Return the branch's convolutions; a bottleneck's stride is in the 3x3 (ResNet v1.5)."""
        hidden, out = self.hidden_channels, self.out_channels
        if self.bottleneck:
            return [
                ConvolutionShape(self.in_channels, hidden, 1, 1),
                ConvolutionShape(hidden, hidden, 3, self.stride),
                ConvolutionShape(hidden, out, 1, 1),
            ]
        return [
            ConvolutionShape(self.in_channels, out, 3, self.stride),
            ConvolutionShape(out, out, 3, 1),
        ]


@dataclass(frozen=True)
class Topology:
    """Stages, kind of block, and stem of a residual network.

    Stage s has hidden width `width` * 2^s; it starts with a transition, of stride 2 but for the
    first. A bottleneck block has 4 times as many channels outside as inside.
    """

    depths: tuple[int, ...]
    bottleneck: bool
    large_stem: bool
    """True: 7x7 of stride 2, then 3x3 max-pooling of stride 2 (ImageNet). False: 3x3 (CIFAR)."""

    def blocks(self, width: int) -> list[BlockShape]:
        """Return the shapes of all blocks, in order of execution."""
        shapes, channels = [], width
        for stage, depth in enumerate(self.depths):
            hidden = width * 2**stage
            out = self._outside(hidden)
            for place in range(depth):
                first = place == 0
                stride = 2 if first and stage > 0 else 1
                shapes.append(BlockShape(channels, hidden, out, stride, first, self.bottleneck))
                channels = out
        return shapes

    def out_channels(self, width: int) -> int:
        """Return the channels that leave the last stage."""
        return self._outside(width * 2 ** (len(self.depths) - 1))

    def stages(self, blocks: Iterable[nn.Module]) -> nn.Sequential:
        """Group blocks, given in order of execution, into stages."""
        return group_stages(blocks, self.depths)

    def _outside(self, hidden: int) -> int:
        return 4 * hidden if self.bottleneck else hidden


RESNET20 = Topology(depths=(3, 3, 3), bottleneck=False, large_stem=False)
RESNET26 = Topology(depths=(2, 2, 2, 2), bottleneck=True, large_stem=True)
RESNET26_CIFAR = Topology(depths=(2, 2, 2, 2), bottleneck=True, large_stem=False)
RESNET50 = Topology(depths=(3, 4, 6, 3), bottleneck=True, large_stem=True)

TOPOLOGIES: dict[str, Topology] = {
    "digits": Topology(depths=(2, 2), bottleneck=False, large_stem=False),
    "20": RESNET20,
    "26-cifar": RESNET26_CIFAR,
    "26": RESNET26,
    "50": RESNET50,
    "101": Topology(depths=(3, 4, 23, 3), bottleneck=True, large_stem=True),
    "152": Topology(depths=(3, 8, 36, 3), bottleneck=True, large_stem=True),
    "200": Topology(depths=(3, 24, 36, 3), bottleneck=True, large_stem=True),
    "288": Topology(depths=(24, 24, 24, 24), bottleneck=True, large_stem=True),
    "600": Topology(depths=(50, 50, 50, 50), bottleneck=True, large_stem=True),
}
"""What residual networks of all families are called by: their weighted layers, more or less.

"288" and "600" are deepmind-research/nfnets/resnet.py's; "digits" is ours, for 8x8 pictures.
"""


def group_stages(blocks: Iterable[nn.Module], depths: Sequence[int]) -> nn.Sequential:
    """Group blocks, given in order of execution, into stages of so many blocks."""
    remaining = iter(blocks)
    return nn.Sequential(*(nn.Sequential(*islice(remaining, depth)) for depth in depths))


def find_topology(variant: str | int) -> Topology:
    """Return the topology of that name.

    Raises:
        ValueError: no such variant; the message lists all.
    """
    if str(variant) not in TOPOLOGIES:
        raise ValueError(f"variant is one of {', '.join(TOPOLOGIES)}; got {variant!r}")
    return TOPOLOGIES[str(variant)]


class ResidualNetwork(nn.Module):
    """A stem, stages of blocks, and a head.

    Args:
        stem: from images (N, C, H, W) to the signal that enters the first block.
        stages: a sequence of stages, each a sequence of blocks.
        head: from the last block's output to logits (N, classes).
    """

    def __init__(self, stem: nn.Module, stages: nn.Sequential, head: nn.Module) -> None:
        super().__init__()
        self.stem = stem
        self.stages = stages
        self.head = head

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits, (N, classes), of images, (N, C, H, W)."""
        logits: Tensor = self.head(self.stages(self.stem(x)))
        return logits


def make_convolution(
    in_channels: int,
    out_channels: int,
    *,
    kernel_size: int,
    stride: int,
    initialize: Callable[[Tensor], Tensor],
    padding_mode: PaddingMode = "zeros",
    groups: int = 1,
    bias: bool = False,
) -> nn.Conv2d:
    """Build a convolution that keeps the size of the image, but for its stride.

    Args:
        in_channels: channels of the input.
        out_channels: filters.
        kernel_size: size of the kernel, odd and square.
        stride: stride.
        initialize: draws the weight, in place.
        padding_mode: of the convolution.
        groups: groups of channels.
        bias: whether to add a bias, initially 0.
    """
    convolution = nn.Conv2d(
        in_channels,
        out_channels,
        kernel_size,
        stride,
        padding=kernel_size // 2,
        groups=groups,
        bias=bias,
        padding_mode=padding_mode,
    )
    initialize(convolution.weight)
    if convolution.bias is not None:
        nn.init.zeros_(convolution.bias)
    return convolution


def make_stem(
    topology: Topology,
    convolution: Convolution,
    *,
    in_channels: int,
    width: int,
    pool: bool,
    activation: nn.Module | None = None,
) -> nn.Sequential:
    """Build the stem: a convolution, an activation if one is given, max-pooling if asked for.

    Max-pooling belongs to the large stem only. It shifts mean and variance of the signal and makes
    it skewed, while the ladders of `sppkit.theory` start from a unit gaussian: with it, the first
    blocks of "bn-relu" lie 5 to 8 % above their ladder, without it within 1 %.
    """
    kernel_size, stride = (7, 2) if topology.large_stem else (3, 1)
    return in_sequence(
        conv=convolution(in_channels, width, kernel_size=kernel_size, stride=stride),
        activation=activation,
        pool=nn.MaxPool2d(3, stride=2, padding=1) if topology.large_stem and pool else None,
    )


def make_branch(
    shape: BlockShape, convolution: Convolution, activation: Callable[[int], nn.Module]
) -> nn.Sequential:
    """Build a residual branch that starts and ends with a convolution.

    Args:
        shape: the block's shape.
        convolution: builds a convolution.
        activation: builds what stands between two convolutions, from its number of channels.
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for number, (in_channels, out_channels, kernel_size, stride, _) in enumerate(
        shape.convolutions(), start=1
    ):
        if number > 1:
            layers[f"activation{number}"] = activation(in_channels)
        layers[f"conv{number}"] = convolution(
            in_channels, out_channels, kernel_size=kernel_size, stride=stride
        )
    return nn.Sequential(layers)


def make_shortcut(shape: BlockShape, convolution: Convolution) -> nn.Module | None:
    """Build the 1x1 convolution of a transition's skip path; None elsewhere (identity)."""
    if not shape.transition:
        return None
    return convolution(shape.in_channels, shape.out_channels, kernel_size=1, stride=shape.stride)


def make_head(
    classifier: nn.Linear,
    *,
    convolution: nn.Module | None = None,
    activation: nn.Module | None = None,
    dropout: float = 0.0,
) -> nn.Sequential:
    """Build the head: a convolution and an activation if given, average pooling, the classifier.

    A dropout rate above 0 puts dropout before the classifier.
    """
    return in_sequence(
        conv=convolution,
        activation=activation,
        pool=nn.AdaptiveAvgPool2d(1),
        flatten=nn.Flatten(),
        dropout=nn.Dropout(dropout) if dropout else None,
        classifier=classifier,
    )


def make_classifier(in_features: int, classes: int, *, deviation: float) -> nn.Linear:
    """Build a classifier with weights N(0, deviation²) and biases 0."""
    classifier = nn.Linear(in_features, classes)
    nn.init.normal_(classifier.weight, std=deviation)
    nn.init.zeros_(classifier.bias)
    return classifier
