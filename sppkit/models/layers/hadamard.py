"""A fixed orthogonal mixing of channels, and the initialisation by ones and zeros it goes with.

Paper: Zhao, Schäfer, Anandkumar, ZerO initialization, 2021, arXiv 2110.12661. Authors' code in the
form that EUNNet's repository ships: beandkay/EUNNet, models/augskip_resnet.py.

Where ours differs: the matrix is a buffer, not a parameter without gradient.
"""

import math

import torch
from torch import Tensor, nn


def hadamard_matrix(size: int) -> Tensor:
    """Build Sylvester's Hadamard matrix over the root of its size: orthogonal and symmetric.

        H_1 = 1,   H_2n = [[H_n, H_n], [H_n, -H_n]],   returned: H_n / sqrt(n)

    Args:
        size: n, a power of two.

    Returns:
        The matrix, (n, n), in float32.

    Raises:
        ValueError: the size is no power of two.

    Examples:
        >>> hadamard_matrix(2)
        tensor([[ 0.7071,  0.7071],
                [ 0.7071, -0.7071]])
    """
    if size < 1 or size & (size - 1):
        raise ValueError(f"a Hadamard matrix by Sylvester has a power of two rows; got {size}")
    matrix: Tensor = torch.ones(1, 1)
    for _ in range(size.bit_length() - 1):
        matrix = torch.kron(torch.tensor([[1.0, 1.0], [1.0, -1.0]]), matrix)
    return matrix / math.sqrt(size)


class HadamardTransform(nn.Module):
    """Multiply the channels of x, (N, C, H, W), by `hadamard_matrix(C)`: norms are kept.

    Args:
        channels: a power of two.
    """

    matrix: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("matrix", hadamard_matrix(channels), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the mixed channels, of the shape of x."""
        return torch.einsum("oc,nchw->nohw", self.matrix, x)


@torch.no_grad()
def partial_identity_(weight: Tensor) -> Tensor:
    """Set a 1x1 convolution's weight to ones on the diagonal and zeros elsewhere, in place.

    The first min(in, out) channels are passed on; further outputs are 0.

    Args:
        weight: (out, in, 1, 1).

    Returns:
        The same tensor.

    Raises:
        ValueError: another shape.

    References:
        ZerO initialization, Zhao et al., 2021, arXiv 2110.12661, definition 1.
    """
    if weight.dim() != 4 or weight.shape[2:] != (1, 1):
        raise ValueError(
            f"expected the weight of a 1x1 convolution, (out, in, 1, 1); got {tuple(weight.shape)}"
        )
    identity = torch.eye(*weight.shape[:2], dtype=weight.dtype, device=weight.device)
    return weight.copy_(identity[..., None, None])
