"""The block of normaliser-free networks, and stages of them."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from sppkit.models.layers import (
    ScaledStandardizedConv2d,
    StochasticDepth,
    stochastic_depth_rates,
)
from sppkit.models.normalizer_free.layers import NormalizerFreeLayers
from sppkit.models.topology import group_stages
from sppkit.theory import normalizer_free_ladder


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
    layers: NormalizerFreeLayers,
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
