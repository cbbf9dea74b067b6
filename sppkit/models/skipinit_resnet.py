"""Residual networks that train without normalisation because their branches start at zero.

Paper: Batch normalization biases residual blocks towards the identity function in deep networks,
De, Smith, 2020, arXiv 2002.10444. Authors' code: deepmind-research/nfnets/skipinit_resnet.py.

A pre-activation ResNet without normalisation, convolutions with biases, a learned scalar, initially
0, at the end of each branch, and a classifier of zeros.

Where ours differs:

- weights start with He's variance, 2 / fan-in; the code has haiku's default, truncated 1 / fan-in;
- padding is symmetric; stochastic depth (0.1) and dropout (the paper's, before the classifier) are
  off by default;
- the members for small images (variants 20, 26-cifar, digits) are ours.

With the gains at 0 the variance is that of the stem through the transitions; nothing holds it once
they are not, beyond He's initialisation: each block adds what its branch has, so build with
`skip_gain=1.0` to see it double from block to block.
"""

from functools import partial

import torch
from torch import Tensor, nn

from sppkit.models.layers import StochasticDepth, make_nonlinearity, stochastic_depth_rates
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


def _convolution(padding_mode: PaddingMode, *, bias: bool) -> Convolution:
    he_normal = partial(nn.init.kaiming_normal_, nonlinearity="relu")
    return partial(make_convolution, initialize=he_normal, padding_mode=padding_mode, bias=bias)


class SkipInitBlock(nn.Module):
    """A pre-activation block with a learned scalar, y = x + skip_gain * f(g(x)).

    At a transition, x on the right is replaced by a strided 1x1 convolution of g(x).

    Args:
        shape: channels and stride.
        activation: g, a name of `sppkit.theory.NONLINEARITIES`.
        skip_gain: initial value of the scalar.
        drop_rate: probability of dropping a sample's branch in training.
        padding_mode: of the convolutions.
    """

    def __init__(
        self,
        shape: BlockShape,
        *,
        activation: str,
        skip_gain: float,
        drop_rate: float,
        padding_mode: PaddingMode,
    ) -> None:
        super().__init__()
        convolution = _convolution(padding_mode, bias=True)
        self.preactivation = make_nonlinearity(activation)
        self.shortcut = make_shortcut(shape, convolution)
        self.branch = make_branch(shape, convolution, lambda _: make_nonlinearity(activation))
        self.stochastic_depth = StochasticDepth(drop_rate) if drop_rate else None
        self.skip_gain = nn.Parameter(torch.tensor(float(skip_gain)))

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output, (N, out_channels, H / stride, W / stride)."""
        h = self.preactivation(x)
        skip = x if self.shortcut is None else self.shortcut(h)
        residual = self.branch(h)
        if self.stochastic_depth is not None:
            residual = self.stochastic_depth(residual)
        output: Tensor = skip + self.skip_gain * residual
        return output


def skipinit_resnet(
    variant: str | int = "50",
    *,
    classes: int = 1000,
    in_channels: int = 3,
    width: int = 64,
    padding_mode: PaddingMode = "zeros",
    stem_pool: bool = True,
    activation: str = "relu",
    skip_gain: float = 0.0,
    stochastic_depth: float = 0.0,
    dropout: float = 0.0,
    classifier_deviation: float = 0.0,
) -> ResidualNetwork:
    """Build a residual network with SkipInit.

    Args:
        variant: a name of `sppkit.models.topology.TOPOLOGIES`, such as 50, 20 or digits.
        classes: logits.
        in_channels: channels of the images.
        width: channels of the stem, and hidden channels of the first stage.
        padding_mode: of the convolutions.
        stem_pool: whether the large stem ends with max-pooling.
        activation: a name of `sppkit.theory.NONLINEARITIES`.
        skip_gain: initial value of the learned scalars at the branches' ends.
        stochastic_depth: drop rate, growing linearly from 0 at the first block towards this value.
        dropout: rate before the classifier.
        classifier_deviation: standard deviation of the classifier's weights at first; 0 as in the
            authors' code, with which no gradient reaches the blocks in the first step.

    Returns:
        The network, initialised from torch's global generator.

    Raises:
        ValueError: an unknown variant or activation.
    """
    topology = find_topology(variant)
    rates = stochastic_depth_rates(topology.depths, stochastic_depth)
    blocks = [
        SkipInitBlock(
            shape,
            activation=activation,
            skip_gain=skip_gain,
            drop_rate=rate,
            padding_mode=padding_mode,
        )
        for shape, rate in zip(topology.blocks(width), rates, strict=True)
    ]
    classifier = make_classifier(
        topology.out_channels(width), classes, deviation=classifier_deviation
    )
    return ResidualNetwork(
        make_stem(
            topology,
            _convolution(padding_mode, bias=False),
            in_channels=in_channels,
            width=width,
            pool=stem_pool,
        ),
        topology.stages(blocks),
        make_head(classifier, activation=make_nonlinearity(activation), dropout=dropout),
    )
