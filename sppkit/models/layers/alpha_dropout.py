"""The activation of self-normalizing networks: SELU with the dropout that keeps its fixed point."""

from torch import nn


class SelfNormalizingActivation(nn.Sequential):
    """SELU, then alpha-dropout: mean 0 and variance 1 stay, with any share dropped.

    Dropped values become the negative saturation of SELU, -scale * alpha = -1.7581, and an affine
    map brings mean and variance back. Rests in evaluation.

    Args:
        rate: probability of dropping a value, in [0, 1); the paper has 0.05 or 0.1.
        channels: drop whole channels of each sample (images), not single values.

    Raises:
        ValueError: a rate outside of its range.

    References:
        Self-Normalizing Neural Networks, Klambauer, Unterthiner, Mayr, Hochreiter, 2017, arXiv
        1706.02515, equation 2 (SELU) and the section "New dropout technique".
    """

    def __init__(self, rate: float = 0.05, *, channels: bool = False) -> None:
        if not 0.0 <= rate < 1.0:
            raise ValueError(f"the rate of alpha-dropout is in [0, 1), got {rate}")
        dropout = nn.FeatureAlphaDropout if channels else nn.AlphaDropout
        super().__init__(nn.SELU(), dropout(rate))
