"""Merges that keep the magnitude of what they merge."""

import math

from torch import Tensor


def magnitude_preserving_sum(a: Tensor, b: Tensor) -> Tensor:
    """Add two uncorrelated signals of equal variance so that the sum keeps it, (a + b) / sqrt 2.

    References:
        Analyzing and improving the training dynamics of diffusion models, Karras et al., 2023,
        arXiv 2312.02696, equation 88 at t = 1/2.
    """
    return (a + b) * math.sqrt(0.5)
