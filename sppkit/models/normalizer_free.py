"""What NF-ResNets, NF-RegNets and NFNets are made of: their layers, block and conventions.

Papers: Characterizing signal propagation to close the performance gap in unnormalized ResNets,
Brock, De, Smith, 2021, arXiv 2101.08692; High-performance large-scale image recognition without
normalization, Brock, De, Smith, Simonyan, 2021, arXiv 2102.06171. Authors' code:
deepmind-research/nfnets. Ports: timm/models/nfnet.py.
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from sppkit.models.choices import require_one_of
from sppkit.models.layers import (
    GainedNonlinearity,
    ScaledStandardizedConv2d,
    SqueezeExcite,
    StochasticDepth,
    make_nonlinearity,
    stochastic_depth_rates,
)
from sppkit.models.layers.scaled_standardization import EpsPlace
from sppkit.models.topology import (
    ConvolutionShape,
    PaddingMode,
    group_stages,
    make_classifier,
    make_head,
)
from sppkit.theory import nonlinearity_gain, normalizer_free_ladder

ConventionName = Literal["deepmind", "timm"]

CLASSIFIER_DEVIATION = 0.01

PUBLISHED_GAINS = {
    "identity": 1.0,
    "celu": 1.270926833152771,
    "elu": 1.2716004848480225,
    "gelu": 1.7015043497085571,
    "leaky_relu": 1.70590341091156,
    "log_sigmoid": 1.9193484783172607,
    "relu": 1.7139588594436646,
    "relu6": 1.7131484746932983,
    "selu": 1.0008515119552612,
    "sigmoid": 4.803835391998291,
    "silu": 1.7881293296813965,
    "softplus": 1.9203323125839233,
    "softsign": 2.338853120803833,
    "tanh": 1.5939117670059204,
}
"""Gains as in deepmind-research/nfnets/base.py and timm: Monte-Carlo values, within 1e-3 of exact.

For networks that must compute what theirs compute; `sppkit.theory.nonlinearity_gain` is exact.
"""


@dataclass(frozen=True)
class Convention:
    """How an implementation realises the papers.

    Attributes:
        gamma_in_convolution: whether the nonlinearity's gain scales the weights of the convolution
            behind it (and of the stem's, which has none in front), not the activation.
        published_gains: whether gains are the Monte-Carlo values, not the exact ones.
        eps, eps_place: of the scaled weight standardisation.
        pooled_shortcuts: whether NF-ResNets average 2x2 on strided skip paths and convolve with
            stride 1 behind; NFNets and NF-RegNets always do.
        channel_divisor: what numbers of channels are rounded to a multiple of.
        rescaled_drops: whether stochastic depth divides what is kept, and its rate is reached by
            the last block.
    """

    gamma_in_convolution: bool
    published_gains: bool
    eps: float
    eps_place: EpsPlace
    pooled_shortcuts: bool
    channel_divisor: int
    rescaled_drops: bool

    def round(self, channels: float, *, largest_loss: float = 0.1) -> int:
        """Round a number of channels to a multiple of the divisor, up where too much were lost."""
        if self.channel_divisor == 1:
            return int(channels)
        divisor = self.channel_divisor
        rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
        return rounded if rounded >= (1 - largest_loss) * channels else rounded + divisor


CONVENTIONS: dict[str, Convention] = {
    "deepmind": Convention(
        gamma_in_convolution=False,
        published_gains=False,
        eps=1e-4,
        eps_place="floor",
        pooled_shortcuts=False,
        channel_divisor=1,
        rescaled_drops=False,
    ),
    "timm": Convention(
        gamma_in_convolution=True,
        published_gains=True,
        eps=1e-5,
        eps_place="variance",
        pooled_shortcuts=True,
        channel_divisor=8,
        rescaled_drops=True,
    ),
}


def find_convention(name: str) -> Convention:
    """Return the convention of that name.

    Raises:
        ValueError: an unknown name; the message lists all.
    """
    require_one_of("convention", name, CONVENTIONS)
    return CONVENTIONS[name]


@dataclass(frozen=True)
class Layers:
    """Makes the layers of one network, all in the same convention.

    Attributes:
        convention: how the papers are realised.
        activation: a name of `sppkit.theory.NONLINEARITIES`.
        padding_mode: of the convolutions.
    """

    convention: Convention
    activation: str
    padding_mode: PaddingMode

    def gain(self) -> float:
        """Return the gain of the nonlinearity.

        Raises:
            ValueError: the convention wants a published gain, and this nonlinearity has none.
        """
        if not self.convention.published_gains:
            return nonlinearity_gain(self.activation)
        if self.activation not in PUBLISHED_GAINS:
            raise ValueError(
                f"there is no published gain of {self.activation!r}; there are those of "
                f"{', '.join(PUBLISHED_GAINS)}. The convention 'deepmind' computes gains."
            )
        return PUBLISHED_GAINS[self.activation]

    def nonlinearity(self) -> nn.Module:
        """Make a nonlinearity, with its gain where it belongs to the activation."""
        if self.convention.gamma_in_convolution:
            return make_nonlinearity(self.activation)
        return GainedNonlinearity(self.activation, gain=self.gain())

    def convolution(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int,
        groups: int = 1,
    ) -> ScaledStandardizedConv2d:
        """Make a convolution that keeps the size of the image, but for its stride."""
        return ScaledStandardizedConv2d(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding=kernel_size // 2,
            groups=groups,
            padding_mode=self.padding_mode,
            eps=self.convention.eps,
            eps_place=self.convention.eps_place,
            gamma=self.gain() if self.convention.gamma_in_convolution else 1.0,
        )

    def chain(self, shapes: Sequence[ConvolutionShape]) -> "OrderedDict[str, nn.Module]":
        """Make convolutions with nonlinearities between them: conv1, activation2, conv2, ..."""
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        for number, shape in enumerate(shapes, start=1):
            if number > 1:
                layers[f"activation{number}"] = self.nonlinearity()
            layers[f"conv{number}"] = self.convolution(*shape)
        return layers

    def shortcut(
        self, in_channels: int, out_channels: int, stride: int, *, pooled: bool
    ) -> nn.Module | None:
        """Make the skip path of a block; None where it is the identity.

        A strided one is a strided 1x1 convolution, or averages 2x2 and convolves with stride 1.
        """
        if stride == 1 and in_channels == out_channels:
            return None
        if stride == 1 or not pooled:
            return self.convolution(in_channels, out_channels, 1, stride)
        pool = nn.AvgPool2d(stride, stride, ceil_mode=True, count_include_pad=False)
        conv = self.convolution(in_channels, out_channels, 1, 1)
        return nn.Sequential(OrderedDict(pool=pool, conv=conv))

    def branch(
        self, shapes: Sequence[ConvolutionShape], *, squeeze_excite: float, behind: int
    ) -> nn.Sequential:
        """Make a residual branch: `chain`, and squeeze-and-excite behind one of its convolutions.

        Args:
            shapes: of the convolutions.
            squeeze_excite: its hidden channels, as a share of those at its place; 0 is none.
            behind: number of the convolution in front of it, from 1.
        """
        layers = list(self.chain(shapes).items())
        if squeeze_excite:
            gate = self.squeeze_excite(shapes[behind - 1].out_channels, squeeze_excite)
            layers.insert(2 * behind - 1, ("squeeze_excite", gate))
        return nn.Sequential(OrderedDict(layers))

    def wide_head(
        self, channels: int, features: int, classes: int, *, dropout: float
    ) -> nn.Sequential:
        """Make a head that starts with a 1x1 convolution to more channels, the features."""
        return make_head(
            make_classifier(features, classes, deviation=CLASSIFIER_DEVIATION),
            convolution=self.convolution(channels, features, 1, 1),
            activation=self.nonlinearity(),
            dropout=dropout,
        )

    def squeeze_excite(self, channels: int, ratio: float) -> SqueezeExcite:
        """Make squeeze-and-excite with its gain of 2."""
        hidden = self.convention.round(channels * ratio, largest_loss=1.0)
        return SqueezeExcite(channels, max(1, hidden))


class NormalizerFreeBlock(nn.Module):
    """A pre-activation block that knows the variance of what enters it.

        h = gamma g(x) / beta;   y = x + alpha * skip_gain * f(h)

    At a transition, x on the right is replaced by shortcut(h), whose variance is 1 again.

    Args:
        preactivation: gamma g, or g where gamma belongs to the convolutions.
        shortcut: of a transition; None is the identity.
        branch: f, which ends with a scaled-standardised convolution, or with squeeze-and-excite
            behind it.
        beta: expected standard deviation of the input.
        alpha: scale of the residual branch.
        skip_gain: initial value of the learned scalar at the branch's end (SkipInit). None: there
            is none, and the gains of the branch's last convolution start at 0 in its place, as in
            timm.
        drop_rate: probability of dropping a sample's branch in training.
        rescaled_drops: see `StochasticDepth`.
    """

    def __init__(
        self,
        preactivation: nn.Module,
        shortcut: nn.Module | None,
        branch: nn.Sequential,
        *,
        beta: float,
        alpha: float,
        skip_gain: float | None,
        drop_rate: float = 0.0,
        rescaled_drops: bool = False,
    ) -> None:
        super().__init__()
        self.alpha = alpha
        self.beta = beta
        self.preactivation = preactivation
        self.shortcut = shortcut
        self.branch = branch
        self.stochastic_depth = (
            StochasticDepth(drop_rate, rescale=rescaled_drops) if drop_rate else None
        )
        self.skip_gain = None if skip_gain is None else nn.Parameter(torch.tensor(float(skip_gain)))
        if skip_gain is None:
            nn.init.zeros_(_last_convolution(branch).gain)

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output, (N, out_channels, H / stride, W / stride)."""
        h = self.preactivation(x) / self.beta
        skip = x if self.shortcut is None else self.shortcut(h)
        residual = self.branch(h)
        if self.stochastic_depth is not None:
            residual = self.stochastic_depth(residual)
        if self.skip_gain is not None:
            residual = self.skip_gain * residual
        output: Tensor = skip + self.alpha * residual
        return output

    def extra_repr(self) -> str:
        """Show the constants in the printed model."""
        return f"alpha={self.alpha:.6g}, beta={self.beta:.6g}"


def _last_convolution(branch: nn.Sequential) -> ScaledStandardizedConv2d:
    return [module for module in branch if isinstance(module, ScaledStandardizedConv2d)][-1]


def normalizer_free_stages(
    depths: Sequence[int],
    paths: Iterable[tuple[nn.Module | None, nn.Sequential]],
    layers: Layers,
    *,
    alpha: float,
    skip_gain: float | None,
    stochastic_depth: float,
) -> nn.Sequential:
    """Build stages of blocks, each of which knows the variance that enters it.

    Args:
        depths: blocks of each stage.
        paths: skip path (None: the identity) and branch of each block, in order of execution.
        layers: makes nonlinearities, and says in which convention.
        alpha: scale of the residual branches.
        skip_gain: see `NormalizerFreeBlock`.
        stochastic_depth: the rate that drop rates grow towards, from 0 at the first block.
    """
    entering = normalizer_free_ladder(depths, alpha=alpha).entering_variance
    rescaled = layers.convention.rescaled_drops
    rates = stochastic_depth_rates(depths, stochastic_depth, reaches_rate=rescaled)
    blocks = [
        NormalizerFreeBlock(
            layers.nonlinearity(),
            shortcut,
            branch,
            beta=float(variance) ** 0.5,
            alpha=alpha,
            skip_gain=skip_gain,
            drop_rate=rate,
            rescaled_drops=rescaled,
        )
        for (shortcut, branch), variance, rate in zip(paths, entering, rates, strict=True)
    ]
    return group_stages(blocks, depths)
