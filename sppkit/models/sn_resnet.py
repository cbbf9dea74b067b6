"""A self-normalizing residual network: SELU, LeCun normal weights, magnitude-preserving merges.

Papers: Self-Normalizing Neural Networks, Klambauer, Unterthiner, Mayr, Hochreiter, 2017, arXiv
1706.02515 (SELU and its initialisation, for feed-forward networks); Analyzing and improving the
training dynamics of diffusion models, Karras et al., 2023, arXiv 2312.02696 (the merge). The two
are put together in Designing Normalizer-Free EfficientNets, Dewyse, 2025 (JKU Linz).

Where ours differs: none of them is a pre-activation ResNet; this one is, so as to have the
topology of `bn_resnet20` and `nf_resnet20`. There is no alpha-dropout. Mean 0 and variance 1 are a
fixed point for gaussian pre-activations and independent branch and skip path, which wide layers at
initialisation nearly are; zero padding loses some variance at each 3x3.
"""

from functools import partial

from torch import Tensor, nn

from sppkit.models.layers import magnitude_preserving_sum
from sppkit.models.topology import (
    RESNET20,
    BlockShape,
    Convolution,
    PaddingMode,
    ResidualNetwork,
    make_branch,
    make_classifier,
    make_convolution,
    make_head,
    make_shortcut,
    make_stem,
)


def _convolution(padding_mode: PaddingMode) -> Convolution:
    lecun_normal = partial(nn.init.kaiming_normal_, nonlinearity="linear")
    return partial(make_convolution, initialize=lecun_normal, padding_mode=padding_mode, bias=True)


class SelfNormalizingBlock(nn.Module):
    """A pre-activation block, h = selu(x), y = (x + f(h)) / sqrt 2.

    At a transition, x on the right is replaced by a strided 1x1 convolution of h.

    Args:
        shape: channels and stride.
        padding_mode: of the convolutions.
    """

    def __init__(self, shape: BlockShape, *, padding_mode: PaddingMode) -> None:
        super().__init__()
        convolution = _convolution(padding_mode)
        self.preactivation = nn.SELU()
        self.shortcut = make_shortcut(shape, convolution)
        self.branch = make_branch(shape, convolution, lambda _: nn.SELU())

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output, (N, out_channels, H / stride, W / stride)."""
        h = self.preactivation(x)
        skip = x if self.shortcut is None else self.shortcut(h)
        return magnitude_preserving_sum(skip, self.branch(h))


def sn_resnet20(
    *,
    classes: int = 10,
    in_channels: int = 3,
    width: int = 16,
    padding_mode: PaddingMode = "zeros",
) -> ResidualNetwork:
    """Build the self-normalizing twin of `bn_resnet20`: two 3x3 per block, stages of 3, 3, 3.

    Args:
        classes: logits.
        in_channels: channels of the images.
        width: channels of the stem and of the first stage.
        padding_mode: of the convolutions; "circular" loses no variance at the border.

    Returns:
        The network, initialised from torch's global generator; the classifier is LeCun normal too.
    """
    topology = RESNET20
    features = topology.out_channels(width)
    return ResidualNetwork(
        make_stem(
            topology,
            _convolution(padding_mode),
            in_channels=in_channels,
            width=width,
            pool=False,
        ),
        topology.stages(
            SelfNormalizingBlock(shape, padding_mode=padding_mode)
            for shape in topology.blocks(width)
        ),
        make_head(
            make_classifier(features, classes, deviation=features**-0.5), activation=nn.SELU()
        ),
    )
