"""Residual networks with batch normalisation, in the three orders that papers draw.

Papers: Deep residual learning for image recognition, He, Zhang, Ren, Sun, 2015, arXiv 1512.03385
(order "post"); Identity mappings in deep residual networks, the same, 2016, arXiv 1603.05027
("bn-relu"); Characterizing signal propagation to close the performance gap in unnormalized ResNets,
Brock, De, Smith, 2021, arXiv 2101.08692 (both pre-activation orders). Authors' code:
deepmind-research/nfnets/resnet.py for the pre-activation networks, torchvision for "post".

The default is "bn-relu", the order of the baselines that the last paper trains; "relu-bn" is the
order whose signal propagation its normalizer-free networks imitate.

Where ours differs:

- every stage starts with a convolution on the skip path, also the first of the 3x3 networks (as in
  DeepMind's code; He's ResNet-20 has identities and zero-padded channels), so that the variance is
  set back at the same blocks in all families;
- weights are scaled by fan-in in the pre-activation networks, for which the ladders of
  `sppkit.theory` are exact: variance 1 / fan-in after a normalisation, 2 / fan-in after a ReLU.
  "post" has torchvision's 2 / fan-out;
- classifiers are N(0, 0.01²), as Goyal et al. (2017, arXiv 1706.02677, section 5.1) train ResNets.
  DeepMind's code has 0, with which no gradient reaches the blocks in the first step;
- padding is symmetric, as torch has it.
"""

from collections.abc import Callable
from functools import partial
from typing import Literal

from torch import Tensor, nn

from sppkit.models.choices import require_one_of
from sppkit.models.named_layers import in_sequence
from sppkit.models.topology import (
    BlockShape,
    Convolution,
    PaddingMode,
    ResidualNetwork,
    find_topology,
    make_branch,
    make_classifier,
    make_convolution,
    make_head,
    make_shortcut,
    make_stem,
)

Order = Literal["bn-relu", "relu-bn", "post"]

CLASSIFIER_DEVIATION = 0.01

_INITIALIZE: dict[str, Callable[[Tensor], Tensor]] = {
    "bn-relu": partial(nn.init.kaiming_normal_, nonlinearity="relu"),
    "relu-bn": partial(nn.init.kaiming_normal_, nonlinearity="linear"),
    "post": partial(nn.init.kaiming_normal_, mode="fan_out", nonlinearity="relu"),
}


def _convolution(order: Order, padding_mode: PaddingMode) -> Convolution:
    return partial(make_convolution, initialize=_INITIALIZE[order], padding_mode=padding_mode)


def _activation(channels: int, order: Order) -> nn.Sequential:
    """Build ReLU and normalisation in the order asked for ("post" normalises first)."""
    norm, relu = nn.BatchNorm2d(channels), nn.ReLU()
    if order == "relu-bn":
        return in_sequence(relu=relu, norm=norm)
    return in_sequence(norm=norm, relu=relu)


class PreactivationBlock(nn.Module):
    """A block whose nonlinearity and normalisation precede the convolutions, y = x + f(h(x)).

    At a transition, x on the right is replaced by a strided 1x1 convolution of h.

    Args:
        shape: channels and stride.
        order: "bn-relu" or "relu-bn".
        padding_mode: of the convolutions.
    """

    def __init__(self, shape: BlockShape, *, order: Order, padding_mode: PaddingMode) -> None:
        super().__init__()
        convolution = _convolution(order, padding_mode)
        self.preactivation = _activation(shape.in_channels, order)
        self.shortcut = make_shortcut(shape, convolution)
        self.branch = make_branch(shape, convolution, partial(_activation, order=order))

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output, (N, out_channels, H / stride, W / stride)."""
        h = self.preactivation(x)
        skip = x if self.shortcut is None else self.shortcut(h)
        output: Tensor = skip + self.branch(h)
        return output


class PostactivationBlock(nn.Module):
    """A block whose nonlinearity follows the merge, y = relu(x + f(x)).

    The branch ends with a normalisation; at a transition the skip path is a strided 1x1 convolution
    of x and a normalisation.

    Args:
        shape: channels and stride.
        padding_mode: of the convolutions.
    """

    def __init__(self, shape: BlockShape, *, padding_mode: PaddingMode) -> None:
        super().__init__()
        convolution = _convolution("post", padding_mode)
        self.branch = make_branch(shape, convolution, partial(_activation, order="post"))
        self.branch.add_module("norm", nn.BatchNorm2d(shape.out_channels))
        projection = make_shortcut(shape, convolution)
        self.shortcut = (
            None
            if projection is None
            else in_sequence(conv=projection, norm=nn.BatchNorm2d(shape.out_channels))
        )
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output, (N, out_channels, H / stride, W / stride)."""
        skip = x if self.shortcut is None else self.shortcut(x)
        output: Tensor = self.relu(skip + self.branch(x))
        return output


def bn_resnet(
    variant: str | int = "50",
    *,
    order: Order = "bn-relu",
    classes: int = 1000,
    in_channels: int = 3,
    width: int = 64,
    padding_mode: PaddingMode = "zeros",
    stem_pool: bool = True,
) -> ResidualNetwork:
    """Build a residual network with batch normalisation.

    Args:
        variant: a name of `sppkit.models.topology.TOPOLOGIES`: 26, 50, 101, 152, 200, 288 and 600
            have bottleneck blocks and the stem for large images, 20 and 26-cifar are for images of
            32x32, digits for 8x8.
        order: "bn-relu" or "relu-bn" before each convolution, or "post": conv, norm, relu, with the
            last relu after the merge.
        classes: logits.
        in_channels: channels of the images.
        width: channels of the stem, and hidden channels of the first stage.
        padding_mode: of the convolutions; "circular" loses no variance at the border.
        stem_pool: whether the large stem ends with max-pooling, as in the papers.

    Returns:
        The network, initialised from torch's global generator.

    Raises:
        ValueError: an unknown variant or order.
    """
    require_one_of("order", order, _INITIALIZE)
    topology = find_topology(variant)
    post = order == "post"
    out_channels = topology.out_channels(width)
    stem = make_stem(
        topology,
        _convolution(order, padding_mode),
        in_channels=in_channels,
        width=width,
        pool=stem_pool,
        activation=_activation(width, order) if post else None,
    )
    block = PostactivationBlock if post else partial(PreactivationBlock, order=order)
    blocks = [block(shape, padding_mode=padding_mode) for shape in topology.blocks(width)]
    classifier = make_classifier(out_channels, classes, deviation=CLASSIFIER_DEVIATION)
    head = make_head(classifier, activation=None if post else _activation(out_channels, order))
    return ResidualNetwork(stem, topology.stages(blocks), head)
