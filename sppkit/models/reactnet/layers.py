"""The layers of a ReActNet: binary convolutions around which the signal is passed."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sppkit.models.layers.binary_activation import RPReLU, RSign


class ReActLayer(nn.Module):
    """One binary convolution around which the signal is passed: y = g(skip + alpha f(x / beta)).

    f is RSign, a convolution, a norm in "bn"; g an RPReLU; the skip path is x, or a projection of x
    / beta.

    Args:
        branch: f.
        channels: of the output.
        beta: expected standard deviation of the input.
        alpha: what the branch is multiplied by.
        shortcut: the projection; None is the identity.
    """

    def __init__(
        self,
        branch: nn.Sequential,
        channels: int,
        *,
        beta: float,
        alpha: float,
        shortcut: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.beta, self.alpha = beta, alpha
        self.branch, self.shortcut = branch, shortcut
        self.activation = RPReLU(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return the layer's output, (N, C', H', W')."""
        scaled = x / self.beta
        skip = x if self.shortcut is None else self.shortcut(scaled)
        output: Tensor = self.activation(skip + self.alpha * self.branch(scaled))
        return output

    def extra_repr(self) -> str:
        """Show the constants in the printed model."""
        return f"alpha={self.alpha:.6g}, beta={self.beta:.6g}"


class DoublingReActLayer(nn.Module):
    """A layer that doubles the channels: two branches, each added to x, side by side.

        y = g(concat(x + alpha f_1(s), x + alpha f_2(s))),   s = sign(x / beta + bias)

    Args:
        sign: the sign in front of both branches.
        branches: f_1 and f_2, from C to C channels.
        channels: C.
        beta: expected standard deviation of the input.
        alpha: what the branches are multiplied by.
    """

    def __init__(
        self,
        sign: RSign,
        branches: Sequence[nn.Module],
        channels: int,
        *,
        beta: float,
        alpha: float,
    ) -> None:
        super().__init__()
        self.beta, self.alpha = beta, alpha
        self.sign = sign
        self.branches = nn.ModuleList(branches)
        self.activation = RPReLU(2 * channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return the layer's output, (N, 2 C, H, W)."""
        signs = self.sign(x / self.beta)
        halves = [x + self.alpha * branch(signs) for branch in self.branches]
        output: Tensor = self.activation(torch.cat(halves, dim=1))
        return output

    def extra_repr(self) -> str:
        """Show the constants in the printed model."""
        return f"alpha={self.alpha:.6g}, beta={self.beta:.6g}"
