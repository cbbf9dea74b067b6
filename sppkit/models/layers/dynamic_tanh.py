"""A squashing function in the place of a normalisation.

Paper: Zhu, Chen, He, LeCun, Liu, Transformers without normalization, 2025, arXiv 2503.10622.
Authors' code: jiachenzhu/DyT.

Where ours differs: the channel axis is an argument (the authors say channels_last).
"""

import torch
from torch import Tensor, nn


class DynamicTanh(nn.Module):
    """Squash with a learned slope, then scale and shift each channel.

        y[c] = gain[c] tanh(slope x[c]) + bias[c]

    It bounds a signal and does not normalise it: a signal of deviation s < 1 leaves with slope s,
    so that in a deep convolutional network without other care the signal dies out.

    Args:
        channels: channels of the input.
        slope: initial value of the slope, one number for all channels (alpha in the paper).
        channel_axis: axis of the channels: 1 for (N, C, H, W), -1 for tokens, (N, T, C).

    References:
        Zhu et al., 2025, arXiv 2503.10622, equation 2.
    """

    def __init__(self, channels: int, *, slope: float = 0.5, channel_axis: int = 1) -> None:
        super().__init__()
        self.channel_axis = channel_axis
        self.slope = nn.Parameter(torch.full((1,), slope))
        self.gain = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Return the squashed signal, of the shape of x."""
        shape = [1] * x.dim()
        shape[self.channel_axis] = -1
        return self.gain.view(shape) * torch.tanh(self.slope * x) + self.bias.view(shape)

    def extra_repr(self) -> str:
        """Show channels and axis in the printed model."""
        return f"{self.gain.numel()}, channel_axis={self.channel_axis}"
