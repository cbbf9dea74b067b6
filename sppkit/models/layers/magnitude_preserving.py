"""Sums and products that keep the magnitude of a signal.

Papers: Karras et al., Analyzing and improving the training dynamics of diffusion models, 2023,
arXiv 2312.02696 (the sum); Dewyse, Designing Normalizer-Free EfficientNets, 2025, JKU Linz (the
product).
Authors' code: PDewyse/MT_Normalizer_free_Neural_Nets, models/snefficientnet1.py.

Where ours differs: the weight belongs to the second operand, as in both codes (the thesis' text has
it with the first; at 1/2 they agree).
"""

import torch
from torch import Tensor, nn


def magnitude_preserving_sum(a: Tensor, b: Tensor, weight: float | Tensor = 0.5) -> Tensor:
    """Add two uncorrelated signals of equal variance so that the sum keeps it.

        ((1 - w) a + w b) / sqrt((1 - w)² + w²);   at w = 1/2: (a + b) / sqrt 2

    Args:
        a: the skip path.
        b: the residual branch, of the same shape.
        weight: w, of b; a tensor may be learned.

    References:
        Karras et al., 2023, arXiv 2312.02696, equation 88.
    """
    if isinstance(weight, Tensor):
        norm: float | Tensor = torch.sqrt((1.0 - weight) ** 2 + weight**2)
    else:
        norm = ((1.0 - weight) ** 2 + weight**2) ** 0.5
    return a * ((1.0 - weight) / norm) + b * (weight / norm)


def magnitude_preserving_product(x: Tensor, gate: Tensor) -> Tensor:
    """Multiply a signal by a gate in (0, 1) so that a gate of a half costs less of it.

        x s / sqrt((1 - s)² + s²):   s = 0, 1/4, 1/2, 3/4, 1 give 0, 0.316, 0.707, 0.949, 1

    A plain product with the gate 1/2 that squeeze-and-excite starts with quarters the variance;
    this one halves it.

    Args:
        x: the signal.
        gate: s, of a shape that broadcasts with x.

    References:
        Dewyse, Designing Normalizer-Free EfficientNets, 2025, JKU Linz.
    """
    return x * (gate / torch.sqrt((1.0 - gate) ** 2 + gate**2))


class MagnitudePreservingSum(nn.Module):
    """A `magnitude_preserving_sum` whose weight may be learned.

    Args:
        weight: initial weight of the second operand.
        learned: whether the weight is a parameter.
    """

    weight: Tensor

    def __init__(self, weight: float = 0.5, *, learned: bool = True) -> None:
        super().__init__()
        value = torch.tensor(float(weight))
        if learned:
            self.weight = nn.Parameter(value)
        else:
            self.register_buffer("weight", value)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Return the sum, of the shape of a and b."""
        return magnitude_preserving_sum(a, b, self.weight)
