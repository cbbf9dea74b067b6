"""Learned gains at the end of residual branches: SkipInit, ReZero, LayerScale."""

import torch
from torch import Tensor, nn


class ResidualGain(nn.Module):
    """Multiply by one learned number, y = gain * x.

    Initially 0 in SkipInit and ReZero, which are the same idea: a residual network starts as its
    skip paths alone.

    Args:
        initial: the gain's initial value.

    References:
        Batch normalization biases residual blocks towards the identity function in deep networks,
        De, Smith, 2020, arXiv 2002.10444, section 4 (SkipInit). ReZero is all you need: fast
        convergence at large depth, Bachlechner et al., 2020, arXiv 2003.04887, equation 5.
    """

    def __init__(self, initial: float = 0.0) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(float(initial)))

    def forward(self, x: Tensor) -> Tensor:
        """Return gain * x, of the shape of x."""
        return self.gain * x


class LayerScale(nn.Module):
    """Multiply each channel by a learned number, y[c] = gain[c] * x[c].

    Args:
        channels: C.
        initial: the gains' initial value; the paper has 0.1 up to 18 blocks, 1e-5 up to 24, 1e-6
            beyond.
        channel_axis: the axis of x with the channels: -1 of tokens, 1 of images.

    References:
        Going deeper with image transformers, Touvron et al., 2021, arXiv 2103.17239, equation 4.
    """

    def __init__(self, channels: int, initial: float = 1e-5, *, channel_axis: int = -1) -> None:
        super().__init__()
        self.channel_axis = channel_axis
        self.gain = nn.Parameter(torch.full((channels,), float(initial)))

    def forward(self, x: Tensor) -> Tensor:
        """Return x with its channels scaled, of the shape of x."""
        axis = self.channel_axis % x.dim()
        return x * self.gain.view(-1, *(1 for _ in x.shape[axis + 1 :]))

    def extra_repr(self) -> str:
        """Show the size in the printed model."""
        return f"{len(self.gain)}, channel_axis={self.channel_axis}"
