"""A bias that takes the mean of the first batches away.

Paper: Shao, Hu, Wang, Xue, Raj, Is normalization indispensable for training deep neural networks?,
2020, NeurIPS (RescaleNet). Authors' code: hukkai/rescaling, models/layers.py, AddBias.

Where ours differs: the stored mean is set in training mode only. The authors' layer also counts
and stores in evaluation mode, so that evaluating a new network changes it.
"""

import torch
from torch import Tensor, nn

DAMPING = 1e-2
"""What the learned bias is multiplied by while the mean is being measured."""


class DataDependentBias2d(nn.Module):
    """Subtract a channel mean that is measured in the first forward passes, and add a bias.

        calls 1..8 (training):  m <- m + (mean(x) - m) / call;   y = x - m + 0.01 bias
        after that:             y = x - m + bias

    with m the running mean per channel over the batch, which takes no gradient. Before its first
    training pass the layer subtracts 0.

    Args:
        channels: channels of the input.
        calls: forward passes over which the mean is measured.

    References:
        Shao et al., 2020, section 4.2; the schedule is that of the authors' code.
    """

    mean: Tensor
    call: Tensor

    def __init__(self, channels: int, *, calls: int = 8) -> None:
        super().__init__()
        self.calls = calls
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("call", torch.tensor(0))

    def forward(self, x: Tensor) -> Tensor:
        """Return x, (N, C, H, W), without its stored mean and with the bias."""
        warming = bool(self.call < self.calls)
        if warming and self.training:
            self._measure(x)
        bias = (DAMPING if warming else 1.0) * self.bias
        # Two steps: x - m is plain arithmetic of x, while x + (bias - m), of which m comes from x
        # and the bias is learned, would be taken for the merge of a residual branch.
        return x - self.mean.view(-1, 1, 1) + bias.view(-1, 1, 1)

    @torch.no_grad()
    def _measure(self, x: Tensor) -> None:
        self.call += 1
        self.mean += (x.mean(dim=(0, 2, 3)) - self.mean) / self.call

    def extra_repr(self) -> str:
        """Show the channels and the number of measuring passes in the printed model."""
        return f"{self.bias.numel()}, calls={self.calls}"
