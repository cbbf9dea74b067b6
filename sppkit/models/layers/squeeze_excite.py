"""Squeeze-and-excite: channels scaled by a gate that sees their means."""

import torch
from torch import Tensor, nn

from sppkit.models.layers.nonlinearities import make_nonlinearity


class SqueezeExcite(nn.Module):
    """Scale channels by a gate between 0 and a gain.

        y = gain * sigmoid(expand(g(reduce(mean over positions of x)))) * x

    With biases of 0 the gate is sigmoid(0) = 1/2 where the means of x are small, so a gain of 2
    keeps the signal, and a gain of 1 quarters its variance.

    Args:
        channels: of x.
        hidden_channels: between the two linear layers.
        gain: 2 in normalizer-free networks, 1 as published for networks with batch normalisation.
        activation: a name of `sppkit.theory.NONLINEARITIES`.

    Raises:
        ValueError: fewer than one hidden channel, or an unknown activation.

    References:
        Squeeze-and-excitation networks, Hu, Shen, Albanie, Sun, Wu, 2018, arXiv 1709.01507,
        equations 2 to 4; the gain: High-performance large-scale image recognition without
        normalization, Brock, De, Smith, Simonyan, 2021, arXiv 2102.06171; authors' code
        deepmind-research/nfnets/base.py.
    """

    def __init__(
        self,
        channels: int,
        hidden_channels: int,
        *,
        gain: float = 2.0,
        activation: str = "relu",
    ) -> None:
        super().__init__()
        if hidden_channels < 1:
            raise ValueError(f"expected 1 hidden channel or more, got {hidden_channels}")
        self.gain = gain
        self.reduce = nn.Linear(channels, hidden_channels)
        self.activation = make_nonlinearity(activation)
        self.expand = nn.Linear(hidden_channels, channels)
        for linear in (self.reduce, self.expand):
            nn.init.kaiming_normal_(linear.weight, nonlinearity="linear")
            nn.init.zeros_(linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return x, (N, C, ...), with each sample's channels scaled."""
        hidden = self.activation(self.reduce(x.flatten(2).mean(2)))
        gate = self.gain * torch.sigmoid(self.expand(hidden))
        return x * gate.view(*gate.shape, *(1 for _ in x.shape[2:]))

    def extra_repr(self) -> str:
        """Show the gain in the printed model."""
        return f"gain={self.gain:g}"
