"""Stochastic depth: residual branches that are left out for single samples in training."""

from torch import Tensor, nn


class StochasticDepth(nn.Module):
    """Drop the residual branch of single samples in training.

    Kept samples are not rescaled by 1 / (1 - rate), as in the authors' code for normalizer-free
    networks: the branch is weaker in training than in evaluation.

    Args:
        rate: probability of dropping a sample, in [0, 1).

    References:
        Deep networks with stochastic depth, Huang et al., 2016, arXiv 1603.09382; authors' code
        deepmind-research/nfnets/base.py, StochDepth.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        if not 0.0 <= rate < 1.0:
            raise ValueError(f"the rate of stochastic depth is in [0, 1), got {rate}")
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """Return x, (N, C, H, W), with the dropped samples set to zero."""
        if not self.training:
            return x
        kept = x.new_empty((x.shape[0], 1, 1, 1)).bernoulli_(1.0 - self.rate)
        return x * kept

    def extra_repr(self) -> str:
        """Show the rate in the printed model."""
        return f"rate={self.rate:.6g}"
