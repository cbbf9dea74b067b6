"""Normalizer-free residual networks, without any layer that looks at the batch.

Paper: Characterizing signal propagation to close the performance gap in unnormalized ResNets,
Brock, De, Smith, 2021, arXiv 2101.08692. Authors' code: deepmind-research/nfnets/nf_resnet.py.

Where ours differs:

- gains of nonlinearities are exact; the authors' are Monte-Carlo values (relu 1.71396 for 1.71286);
- padding is symmetric, as torch has it; the authors' "SAME" pads strided layers at one side;
- stochastic depth and dropout are off by default (0.1 and 0.25 there; there is no dropout here);
- the CIFAR members (`nf_resnet20`, `nf_resnet26_cifar`) are ours.

As in the authors' code, and unlike the paper's formula x + alpha f(x / beta), the division follows
the nonlinearity, g(x) / beta: the same for ReLU, not for GELU or SiLU. The skip gain is initially 0
(SkipInit: Batch normalization biases residual blocks towards the identity function in deep
networks, De, Smith, 2020, arXiv 2002.10444), so a signal propagation plot at initialisation shows
nothing of the branches; build with `skip_gain=1.0` to see them.
"""

from functools import partial

import torch
from torch import Tensor, nn

from sppkit.models.layers import GainedNonlinearity, ScaledStandardizedConv2d, StochasticDepth
from sppkit.models.topology import (
    RESNET20,
    RESNET26,
    RESNET26_CIFAR,
    RESNET50,
    BlockShape,
    PaddingMode,
    ResidualNetwork,
    Topology,
    make_branch,
    make_classifier,
    make_head,
    make_shortcut,
    make_stem,
)
from sppkit.theory import normalizer_free_ladder

CLASSIFIER_DEVIATION = 0.01


def _convolution(
    in_channels: int,
    out_channels: int,
    *,
    kernel_size: int,
    stride: int,
    padding_mode: PaddingMode,
) -> nn.Module:
    return ScaledStandardizedConv2d(
        in_channels,
        out_channels,
        kernel_size,
        stride,
        padding=kernel_size // 2,
        padding_mode=padding_mode,
    )


class NormalizerFreeBlock(nn.Module):
    """A pre-activation block that knows the variance of what enters it.

        h = gamma g(x) / beta;   y = x + alpha * skip_gain * f(h)

    At a transition, x on the right is replaced by a strided 1x1 convolution of h, whose variance
    is 1 again.

    Args:
        shape: channels and stride.
        beta: expected standard deviation of the input.
        alpha: scale of the residual branch.
        activation: a name of `sppkit.theory.NONLINEARITIES`.
        skip_gain: initial value of the learned scalar at the branch's end.
        stochastic_depth: probability of dropping a sample's branch in training.
        padding_mode: of the convolutions.
    """

    def __init__(
        self,
        shape: BlockShape,
        *,
        beta: float,
        alpha: float,
        activation: str,
        skip_gain: float,
        stochastic_depth: float,
        padding_mode: PaddingMode,
    ) -> None:
        super().__init__()
        convolution = partial(_convolution, padding_mode=padding_mode)
        self.alpha = alpha
        self.beta = beta
        self.preactivation = GainedNonlinearity(activation)
        self.shortcut = make_shortcut(shape, convolution)
        self.branch = make_branch(shape, convolution, lambda _: GainedNonlinearity(activation))
        self.stochastic_depth = StochasticDepth(stochastic_depth) if stochastic_depth else None
        self.skip_gain = nn.Parameter(torch.tensor(float(skip_gain)))

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output, (N, out_channels, H / stride, W / stride)."""
        h = self.preactivation(x) / self.beta
        skip = x if self.shortcut is None else self.shortcut(h)
        residual = self.branch(h)
        if self.stochastic_depth is not None:
            residual = self.stochastic_depth(residual)
        output: Tensor = skip + self.alpha * (self.skip_gain * residual)
        return output

    def extra_repr(self) -> str:
        """Show the constants in the printed model."""
        return f"alpha={self.alpha:.6g}, beta={self.beta:.6g}"


def normalizer_free_resnet(
    topology: Topology,
    *,
    classes: int,
    in_channels: int,
    width: int,
    padding_mode: PaddingMode,
    stem_pool: bool,
    activation: str,
    alpha: float,
    skip_gain: float,
    stochastic_depth: float,
) -> ResidualNetwork:
    """Build a normalizer-free residual network of any topology.

    Args:
        topology: stages, kind of block, stem.
        classes: logits.
        in_channels: channels of the images.
        width: channels of the stem, and hidden channels of the first stage.
        padding_mode: of the convolutions; "circular" loses no variance at the border.
        stem_pool: whether the large stem ends with max-pooling, as in the paper; without it the
            first block sees the unit variance that the ladder starts from.
        activation: a name of `sppkit.theory.NONLINEARITIES`.
        alpha: scale of the residual branches.
        skip_gain: initial value of the learned scalars at the branches' ends.
        stochastic_depth: drop rate, growing linearly from 0 at the first block towards this value.

    Returns:
        The network, initialised from torch's global generator.
    """
    shapes = topology.blocks(width)
    entering = normalizer_free_ladder(topology.depths, alpha=alpha).entering_variance
    blocks = [
        NormalizerFreeBlock(
            shape,
            beta=float(variance) ** 0.5,
            alpha=alpha,
            activation=activation,
            skip_gain=skip_gain,
            stochastic_depth=stochastic_depth * index / len(shapes),
            padding_mode=padding_mode,
        )
        for index, (shape, variance) in enumerate(zip(shapes, entering, strict=True))
    ]
    convolution = partial(_convolution, padding_mode=padding_mode)
    classifier = make_classifier(
        topology.out_channels(width), classes, deviation=CLASSIFIER_DEVIATION
    )
    return ResidualNetwork(
        make_stem(topology, convolution, in_channels=in_channels, width=width, pool=stem_pool),
        topology.stages(blocks),
        make_head(classifier, activation=GainedNonlinearity(activation)),
    )


def nf_resnet26(
    *,
    classes: int = 1000,
    in_channels: int = 3,
    width: int = 64,
    padding_mode: PaddingMode = "zeros",
    stem_pool: bool = True,
    activation: str = "relu",
    alpha: float = 0.2,
    skip_gain: float = 0.0,
    stochastic_depth: float = 0.0,
) -> ResidualNetwork:
    """Build NF-ResNet-26: bottleneck blocks, stages of 2, 2, 2, 2 (see `normalizer_free_resnet`).

    15,995,184 parameters: as many as a ResNet-26 with batch normalisation (a gain and a bias per
    filter replace the normalisation's two), and 8 skip gains.
    """
    return normalizer_free_resnet(
        RESNET26,
        classes=classes,
        in_channels=in_channels,
        width=width,
        padding_mode=padding_mode,
        stem_pool=stem_pool,
        activation=activation,
        alpha=alpha,
        skip_gain=skip_gain,
        stochastic_depth=stochastic_depth,
    )


def nf_resnet50(
    *,
    classes: int = 1000,
    in_channels: int = 3,
    width: int = 64,
    padding_mode: PaddingMode = "zeros",
    stem_pool: bool = True,
    activation: str = "relu",
    alpha: float = 0.2,
    skip_gain: float = 0.0,
    stochastic_depth: float = 0.0,
) -> ResidualNetwork:
    """Build NF-ResNet-50: bottleneck blocks, stages of 3, 4, 6, 3 (see `normalizer_free_resnet`).

    25,557,048 parameters: as many as a ResNet-50 with batch normalisation (25,557,032; a gain and
    a bias per filter replace the normalisation's two), and 16 skip gains.
    """
    return normalizer_free_resnet(
        RESNET50,
        classes=classes,
        in_channels=in_channels,
        width=width,
        padding_mode=padding_mode,
        stem_pool=stem_pool,
        activation=activation,
        alpha=alpha,
        skip_gain=skip_gain,
        stochastic_depth=stochastic_depth,
    )


def nf_resnet26_cifar(
    *,
    classes: int = 10,
    in_channels: int = 3,
    width: int = 16,
    padding_mode: PaddingMode = "zeros",
    activation: str = "relu",
    alpha: float = 0.2,
    skip_gain: float = 0.0,
    stochastic_depth: float = 0.0,
) -> ResidualNetwork:
    """Build an NF-ResNet-26 for small images: a 3x3 stem of stride 1, no pooling.

    A quarter of the width, so that stages leave 64, 128, 256 and 512 channels and a processor
    probes it in seconds (see `normalizer_free_resnet`).
    """
    return normalizer_free_resnet(
        RESNET26_CIFAR,
        classes=classes,
        in_channels=in_channels,
        width=width,
        padding_mode=padding_mode,
        stem_pool=False,
        activation=activation,
        alpha=alpha,
        skip_gain=skip_gain,
        stochastic_depth=stochastic_depth,
    )


def nf_resnet20(
    *,
    classes: int = 10,
    in_channels: int = 3,
    width: int = 16,
    padding_mode: PaddingMode = "zeros",
    activation: str = "relu",
    alpha: float = 0.2,
    skip_gain: float = 0.0,
    stochastic_depth: float = 0.0,
) -> ResidualNetwork:
    """Build the normalizer-free twin of `bn_resnet20`: two 3x3 per block, stages of 3, 3, 3.

    Same widths, strides and shortcuts as `bn_resnet20` and `sn_resnet20` (see
    `normalizer_free_resnet`).
    """
    return normalizer_free_resnet(
        RESNET20,
        classes=classes,
        in_channels=in_channels,
        width=width,
        padding_mode=padding_mode,
        stem_pool=False,
        activation=activation,
        alpha=alpha,
        skip_gain=skip_gain,
        stochastic_depth=stochastic_depth,
    )
