"""Scaled weight standardisation: filters of mean 0 and of a norm that a gain sets."""

import warnings
from typing import Literal

import torch
from torch import Tensor, nn


class ScaledStandardizedConv2d(nn.Conv2d):
    """A convolution with scaled weight standardisation and a learned gain per filter.

        W'[o] = gain[o] (W[o] - mean[o]) / sqrt(max(N var[o], eps)),   N = fan-in

    with mean and (biased) variance over a filter's N = in_channels / groups * height * width
    weights. Filters of W' have mean 0 and L2 norm |gain|, whatever the scale of W; so outputs have
    mean 0 and variance gain² under inputs of unit variance and *any* common mean. Not so at the
    zero-padded border, where taps are missing.

    The convention is DeepMind's: eps is a floor under N var (timm adds it to var), the variance is
    biased, and the nonlinearity's gain belongs to the activation. Arguments are those of
    `torch.nn.Conv2d`; the bias is there by default, as in the authors' code.

    Args:
        in_channels: channels of the input.
        out_channels: filters.
        kernel_size: size of the kernel.
        stride: stride.
        padding: padding on each side.
        dilation: dilation.
        groups: groups of channels.
        bias: whether to add a bias, initially 0.
        padding_mode: "zeros", "circular", "reflect" or "replicate".
        eps: floor under N var.

    References:
        Characterizing signal propagation to close the performance gap in unnormalized ResNets,
        Brock, De, Smith, 2021, arXiv 2101.08692, section 4.3; authors' code
        deepmind-research/nfnets/base.py, WSConv2D.
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
        eps: float = 1e-4,
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
        self.gain = nn.Parameter(torch.ones(out_channels))
        nn.init.kaiming_normal_(self.weight, nonlinearity="linear")
        if self.bias is not None:
            nn.init.zeros_(self.bias)
        if self.fan_in == 1:
            warnings.warn(
                "scaled weight standardisation of a filter with one weight (fan-in 1: a depthwise "
                "1x1 convolution) is 0, so its output is constant; use nn.Conv2d here",
                stacklevel=2,
            )

    @property
    def fan_in(self) -> int:
        """Return the number of weights of one filter."""
        return self.weight[0].numel()

    def effective_weight(self) -> Tensor:
        """Return the weight that the convolution uses, of the shape of `weight`."""
        variance, mean = torch.var_mean(self.weight, dim=(1, 2, 3), keepdim=True, correction=0)
        deviation = torch.sqrt((self.fan_in * variance).clamp(min=self.eps))
        return self.gain.view(-1, 1, 1, 1) * (self.weight - mean) / deviation

    def forward(self, x: Tensor) -> Tensor:
        """Convolve x, (N, C, H, W), with the effective weight."""
        output: Tensor = self._conv_forward(x, self.effective_weight(), self.bias)
        return output
