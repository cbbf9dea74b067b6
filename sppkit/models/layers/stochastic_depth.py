"""Stochastic depth: residual branches that are left out for single samples in training."""

from collections.abc import Sequence
from itertools import accumulate

from torch import Tensor, nn


class StochasticDepth(nn.Module):
    """Drop the residual branch of single samples in training.

    There are two conventions. By default kept samples are as they are, as in the authors' code for
    normalizer-free networks: the branch is weaker in training than in evaluation, on average by the
    share that is kept. With `rescale` they are divided by 1 - rate, as in timm (its DropPath): the
    average is the same in training and evaluation, the second moment larger in training.

    Args:
        rate: probability of dropping a sample, in [0, 1).
        rescale: whether kept samples are divided by 1 - rate.

    References:
        Deep networks with stochastic depth, Huang et al., 2016, arXiv 1603.09382; authors' code
        deepmind-research/nfnets/base.py, StochDepth.
    """

    def __init__(self, rate: float, *, rescale: bool = False) -> None:
        super().__init__()
        if not 0.0 <= rate < 1.0:
            raise ValueError(f"the rate of stochastic depth is in [0, 1), got {rate}")
        self.rate, self.rescale = rate, rescale

    def forward(self, x: Tensor) -> Tensor:
        """Return x, (N, ...), with the dropped samples set to zero."""
        if not self.training:
            return x
        kept = x.new_empty((x.shape[0], *(1 for _ in x.shape[1:]))).bernoulli_(1.0 - self.rate)
        return x * (kept / (1.0 - self.rate) if self.rescale else kept)

    def extra_repr(self) -> str:
        """Show the rate in the printed model."""
        return f"rate={self.rate:.6g}" + (", rescale=True" if self.rescale else "")


def stochastic_depth_rates(
    depths: Sequence[int], rate: float, *, reaches_rate: bool = False
) -> list[float]:
    """Give each block its drop rate, growing linearly with its index i of n.

    Args:
        depths: blocks per stage, such as (3, 4, 6, 3).
        rate: the rate that the blocks grow towards.
        reaches_rate: False: rate i / n, as in the authors' code; the last block stays below the
            rate. True: rate i / (n - 1), as in timm.

    Returns:
        One rate per block, in order of execution; the first is 0.

    References:
        Deep networks with stochastic depth, Huang et al., 2016, arXiv 1603.09382, equation 4 (from
        the first block on, not from 0); authors' code deepmind-research/nfnets/nfnet.py.
    """
    blocks = list(accumulate(depths, initial=0))[-1]
    steps = max(blocks - 1, 1) if reaches_rate else blocks
    return [rate * index / steps for index in range(blocks)]
