"""A convolution that standardises its whole input with two numbers.

Paper: Nguyen, Choi, Yang, EUNNet, IEEE Access, 2023, document 10041931. Authors' code:
beandkay/EUNNet, models/layers.py, Conv2d.

Where ours differs: nothing but the name of eps and that the padding mode can be chosen.
"""

from typing import Literal

import torch
from torch import Tensor, nn


class EUNConv2d(nn.Conv2d):
    """A convolution of an input that is standardised as a whole.

        u = (x - mean(x)) / sqrt(var(x) + eps);   y = conv(u)

    with *one* mean and *one* (biased) variance, over samples, channels and positions. The output
    does not change when x becomes a x + b, a > 0. It does depend on the other samples of the
    batch, in evaluation as in training: `sppkit.probing.batch_dependence` shows it. Gradients flow
    through both numbers.

    After a ReLU, u is left with a mean per channel; weights of He's initialisation give outputs of
    second moment 2.

    Args:
        in_channels: channels of the input.
        out_channels: filters.
        kernel_size: size of the kernel.
        stride: stride.
        padding: padding on each side, of the standardised input.
        dilation: dilation.
        groups: groups of channels.
        bias: whether to add a bias, initially 0.
        padding_mode: "zeros", "circular", "reflect" or "replicate".
        eps: added to the variance.

    References:
        Nguyen, Choi, Yang, 2023, IEEE Access, document 10041931.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] = 0,
        dilation: int | tuple[int, int] = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: Literal["zeros", "reflect", "replicate", "circular"] = "zeros",
        *,
        eps: float = 1e-5,
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            groups,
            bias,
            padding_mode,
        )
        self.eps = eps
        nn.init.kaiming_normal_(self.weight, nonlinearity="relu")
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Standardise x, (N, C, H, W), with the two numbers of the batch, and convolve."""
        variance, mean = torch.var_mean(x, correction=0)
        return super().forward((x - mean) / torch.sqrt(variance + self.eps))

    def extra_repr(self) -> str:
        """Show eps in the printed model."""
        shown: str = nn.Conv2d.extra_repr(self)
        return f"{shown}, eps={self.eps:g}"
