"""Nonlinearities of binary networks: a sign whose threshold and slopes are learned.

Papers: Liu et al., ReActNet, 2020, arXiv 2003.03488 (RSign, RPReLU); Liu et al., Bi-Real Net, 2018,
arXiv 1808.00278 (the gradient of the sign); Chen et al., "BNN - BN = ?", 2021, arXiv 2104.08215.
Authors' code: VITA-Group/BNN_NoBN, layers.py.

Where ours differs: the gradient is written out instead of being drawn from a detached difference.
"""

from typing import Any

import torch
from torch import Tensor, nn


class _ApproximateSign(torch.autograd.Function):
    """Sign forward, the derivative of a piecewise quadratic backward."""

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        """Return -1, 0 or 1."""
        return torch.sign(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        """Keep the input."""
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        """Multiply by max(0, 2 - 2 |x|)."""
        x: Tensor = ctx.saved_tensors[0]
        return gradient * (2.0 - 2.0 * x.abs()).clamp(min=0.0)


def approximate_sign(x: Tensor) -> Tensor:
    """Take the sign, with a gradient that lets a network learn.

        forward: sign(x), with sign(0) = 0;   backward: max(0, 2 - 2 |x|)

    The derivative is that of a quadratic on each side of 0: 2 + 2 x on [-1, 0), 2 - 2 x on [0, 1).
    sign(0) is 0, as in the authors' code: an input that is exactly 0 is dropped, not binarised.

    References:
        Bi-Real Net, Liu et al., 2018, arXiv 1808.00278, section 3.2, figure 3.

    Examples:
        >>> x = torch.tensor([-1.5, -0.5, 0.0, 0.5], requires_grad=True)
        >>> approximate_sign(x).sum().backward()
        >>> x.grad
        tensor([0., 1., 2., 1.])
    """
    signs: Tensor = _ApproximateSign.apply(x)  # type: ignore[no-untyped-call]
    return signs


class ChannelBias(nn.Module):
    """Add a learned number to each channel of x, (N, C, H, W).

    Args:
        channels: channels of the input.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Return x + bias, of the shape of x."""
        return x + self.bias.view(-1, 1, 1)


class RSign(nn.Module):
    """A sign with a learned threshold per channel, sign(x + bias[c]); see `approximate_sign`.

    Args:
        channels: channels of the input.

    References:
        ReActNet, Liu et al., 2020, arXiv 2003.03488, equation 3 (with alpha = -bias).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.shift = ChannelBias(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return -1, 0 or 1, of the shape of x, (N, C, H, W)."""
        return approximate_sign(self.shift(x))


class RPReLU(nn.Module):
    """A PReLU per channel whose corner can be moved: prelu(x + b1[c]) + b2[c], slope 0.25 first.

    Args:
        channels: channels of the input.

    References:
        ReActNet, Liu et al., 2020, arXiv 2003.03488, equation 4.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.shift_in = ChannelBias(channels)
        self.prelu = nn.PReLU(channels)
        self.shift_out = ChannelBias(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return the activation, of the shape of x, (N, C, H, W)."""
        activation: Tensor = self.shift_out(self.prelu(self.shift_in(x)))
        return activation
