"""Residual networks that train without normalisation because of how their weights are scaled.

Paper: Fixup initialization: residual learning without normalization, Zhang, Dauphin, Ma, 2019,
arXiv 1901.09321. Authors' code: hongyi-zhang/Fixup, imagenet/models/fixup_resnet_imagenet.py.

A post-activation ResNet (stride in the 3x3) whose branches, of m convolutions in L blocks, start

- with He's variance 2 / fan-out times L^(-1 / (m - 1)) in all convolutions but the last: standard
  deviations times L^(-1/4) in bottlenecks (m = 3) and L^(-1/2) in pairs of 3x3 (m = 2);
- with 0 in the last convolution; so does the classifier;
- with a scalar bias, 0, before each convolution, nonlinearity and the classifier, and a scalar
  multiplier, 1, at the branch's end. No other biases.

Where ours differs:

- the stem starts with He's variance by fan-out; the authors' has torch's default;
- transitions of the small networks (variants 20, 26-cifar, digits) have a 1x1 convolution, the
  authors' CIFAR networks average and pad channels with zeros;
- `bias_on_identity=True` adds the first bias to identity skip paths too, as in the port
  deepmind-research/nfnets/fixup_resnet.py.

Scalars are to be trained at a tenth of the rate: `sppkit.training.recipes` has the recipe.
"""

from collections import OrderedDict
from functools import partial

import torch
from torch import Tensor, nn

from sppkit.models.named_layers import in_sequence
from sppkit.models.topology import (
    BlockShape,
    Convolution,
    PaddingMode,
    ResidualNetwork,
    find_topology,
    make_classifier,
    make_convolution,
    make_shortcut,
    make_stem,
)


def branch_scale(blocks: int, convolutions: int) -> float:
    """Compute the factor of He's standard deviation in branches, L^(-1 / (2 m - 2)).

    Args:
        blocks: L, residual branches of the network.
        convolutions: m, of each branch, 2 or more.

    References:
        Fixup initialization, Zhang, Dauphin, Ma, 2019, arXiv 1901.09321, section 3, rule 2.

    Examples:
        >>> branch_scale(16, 3), round(branch_scale(8, 2), 6)
        (0.5, 0.353553)
    """
    if convolutions < 2:
        raise ValueError(f"Fixup scales branches of 2 convolutions or more; got {convolutions}")
    return float(blocks ** (-1.0 / (2 * convolutions - 2)))


class ScalarBias(nn.Module):
    """Add one learned number to all values, initially 0."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """Return x + bias, of the shape of x."""
        return x + self.bias


class ScalarScale(nn.Module):
    """Multiply all values by one learned number, initially 1."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        """Return scale * x, of the shape of x."""
        return self.scale * x


def _convolution(padding_mode: PaddingMode, *, scale: float = 1.0) -> Convolution:
    """Make convolutions with standard deviation scale * sqrt(2 / fan-out)."""

    def initialize(weight: Tensor) -> Tensor:
        fan_out = weight[:, 0].numel()
        return nn.init.normal_(weight, std=scale * (2 / fan_out) ** 0.5)

    return partial(make_convolution, initialize=initialize, padding_mode=padding_mode)


class FixupBlock(nn.Module):
    """A post-activation block, y = relu(x + f(x + bias)); f ends with a scale and a bias.

    At a transition, x on the right is replaced by a strided 1x1 convolution of x + bias.

    Args:
        shape: channels and stride.
        blocks: L, residual branches of the whole network.
        padding_mode: of the convolutions.
        bias_on_identity: whether an identity skip path has the first bias too.
    """

    def __init__(
        self,
        shape: BlockShape,
        *,
        blocks: int,
        padding_mode: PaddingMode,
        bias_on_identity: bool,
    ) -> None:
        super().__init__()
        self.bias_on_identity = bias_on_identity
        self.first_bias = ScalarBias()
        self.branch = _branch(shape, blocks=blocks, padding_mode=padding_mode)
        self.shortcut = make_shortcut(shape, _convolution(padding_mode))
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output, (N, out_channels, H / stride, W / stride)."""
        h = self.first_bias(x)
        output: Tensor = self.relu(self._skip(x, h) + self.branch(h))
        return output

    def _skip(self, x: Tensor, biased: Tensor) -> Tensor:
        if self.shortcut is None:
            return biased if self.bias_on_identity else x
        projected: Tensor = self.shortcut(biased)
        return projected


def _branch(shape: BlockShape, *, blocks: int, padding_mode: PaddingMode) -> nn.Sequential:
    """Make conv1, bias, relu, bias, conv2, ..., scale, bias; the last convolution is zero."""
    shapes = shape.convolutions()
    scale = branch_scale(blocks, len(shapes))
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for number, (in_channels, out_channels, kernel_size, stride, _) in enumerate(shapes, start=1):
        if number > 1:
            layers[f"bias{number}a"] = ScalarBias()
            layers[f"relu{number}"] = nn.ReLU()
            layers[f"bias{number}b"] = ScalarBias()
        make = _convolution(padding_mode, scale=scale if number < len(shapes) else 0.0)
        layers[f"conv{number}"] = make(
            in_channels, out_channels, kernel_size=kernel_size, stride=stride
        )
    layers["scale"] = ScalarScale()
    layers["bias"] = ScalarBias()
    return nn.Sequential(layers)


def fixup_resnet(
    variant: str | int = "50",
    *,
    classes: int = 1000,
    in_channels: int = 3,
    width: int = 64,
    padding_mode: PaddingMode = "zeros",
    stem_pool: bool = True,
    bias_on_identity: bool = False,
    classifier_deviation: float = 0.0,
) -> ResidualNetwork:
    """Build a residual network with Fixup; of variant 50 it has 25,504,026 parameters.

    Args:
        variant: a name of `sppkit.models.topology.TOPOLOGIES`, such as 50, 20 or digits.
        classes: logits.
        in_channels: channels of the images.
        width: channels of the stem, and hidden channels of the first stage.
        padding_mode: of the convolutions.
        stem_pool: whether the large stem ends with max-pooling.
        bias_on_identity: whether identity skip paths have a block's first bias too.
        classifier_deviation: standard deviation of the classifier's weights at first; 0 in the
            paper, with which no gradient reaches the blocks in the first step.

    Returns:
        The network, initialised from torch's global generator.

    Raises:
        ValueError: an unknown variant.
    """
    topology = find_topology(variant)
    shapes = topology.blocks(width)
    blocks = [
        FixupBlock(
            shape,
            blocks=len(shapes),
            padding_mode=padding_mode,
            bias_on_identity=bias_on_identity,
        )
        for shape in shapes
    ]
    stem = make_stem(
        topology,
        _convolution(padding_mode),
        in_channels=in_channels,
        width=width,
        pool=stem_pool,
        activation=in_sequence(bias=ScalarBias(), relu=nn.ReLU()),
    )
    classifier = make_classifier(
        topology.out_channels(width), classes, deviation=classifier_deviation
    )
    head = in_sequence(
        pool=nn.AdaptiveAvgPool2d(1),
        flatten=nn.Flatten(),
        bias=ScalarBias(),
        classifier=classifier,
    )
    return ResidualNetwork(stem, topology.stages(blocks), head)
