"""Plain weight standardisation: filters of mean 0 and variance 1, whatever their fan-in."""

from typing import Literal

import torch
from torch import Tensor, nn

from sppkit.models.layers.effective_weight import EffectiveWeightConv2d


class WeightStandardizedConv2d(EffectiveWeightConv2d):
    """A convolution with weight standardisation.

        W'[o] = (W[o] - mean[o]) / (std[o] + eps)

    with mean and standard deviation over a filter's N = in_channels / groups * height * width
    weights. The filters of W' have L2 norm sqrt(N): outputs have N times the variance of inputs, so
    a normalisation has to follow (in the paper: group normalisation). `ScaledStandardizedConv2d` is
    what stands alone. Arguments before `eps` are those of `torch.nn.Conv2d`.

    Args:
        in_channels: channels of the input.
        out_channels: filters.
        kernel_size: size of the kernel.
        stride: stride.
        padding: padding on each side.
        dilation: dilation.
        groups: groups of channels.
        bias: whether to add a bias.
        padding_mode: "zeros", "circular", "reflect" or "replicate".
        eps: added to the standard deviation.
        unbiased: divide the squared deviations by N - 1 instead of N. Filters of one weight then
            have no deviation.

    Raises:
        ValueError: unbiased, and filters of one weight.

    References:
        Micro-batch training with batch-channel normalization and weight standardization, Qiao,
        Wang, Liu, Shen, Yuille, 2019, arXiv 1903.10520, equations 5 to 7; authors' code
        joe-siyuan-qiao/WeightStandardization (unbiased, eps 1e-5 added to the deviation).
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
        unbiased: bool = False,
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
        self.eps, self.unbiased = eps, unbiased
        if unbiased and self.weight[0].numel() == 1:
            raise ValueError(
                "filters of one weight (a depthwise 1x1 convolution) have no unbiased deviation; "
                "build with unbiased=False, or use nn.Conv2d here"
            )

    def effective_weight(self) -> Tensor:
        """Return the weight that the convolution uses, of the shape of `weight`."""
        deviation, mean = torch.std_mean(
            self.weight, dim=(1, 2, 3), keepdim=True, correction=int(self.unbiased)
        )
        return (self.weight - mean) / (deviation + self.eps)

    def extra_repr(self) -> str:
        """Show what differs from a plain convolution in the printed model."""
        shown: str = nn.Conv2d.extra_repr(self)
        return f"{shown}, eps={self.eps:g}, unbiased={self.unbiased}"
