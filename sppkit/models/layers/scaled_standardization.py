"""Scaled weight standardisation: filters of mean 0 and of a norm that a gain sets."""

import math
import warnings
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from sppkit.models.choices import require_one_of
from sppkit.models.layers.effective_weight import EffectiveWeightConv2d

EpsPlace = Literal["floor", "variance", "deviation"]


def standardize_filters(
    weight: Tensor, *, eps: float = 1e-4, eps_place: EpsPlace = "floor", unbiased: bool = False
) -> Tensor:
    """Give each filter mean 0 and L2 norm 1: (W - mean) / (sqrt N std).

    Implementations differ in where eps keeps the division from zero, N being the fan-in:

        "floor"       sqrt(max(N var, eps))        DeepMind, eps 1e-4
        "variance"    sqrt(N (var + eps))          timm, eps 1e-5 in its networks, 1e-6 elsewhere
        "deviation"   sqrt(N) (std + eps)          the binary networks of Chen et al., eps 1e-5

    With the unbiased variance, of N - 1, norms are sqrt((N - 1) / N).

    Args:
        weight: filters along the first axis, (out, ...).
        eps: a small number, in the unit that its place says.
        eps_place: "floor", "variance" or "deviation".
        unbiased: divide the squared deviations by N - 1 instead of N.

    Returns:
        The standardised weight, of the same shape.

    Examples:
        >>> standardize_filters(torch.tensor([[1.0, 2.0, 3.0, 4.0]]))
        tensor([[-0.6708, -0.2236,  0.2236,  0.6708]])
    """
    axes = tuple(range(1, weight.dim()))
    fan_in = weight[0].numel()
    variance, mean = torch.var_mean(weight, dim=axes, keepdim=True, correction=int(unbiased))
    return (weight - mean) / _norm(variance, fan_in, eps, eps_place)


def _norm(variance: Tensor, fan_in: int, eps: float, eps_place: EpsPlace) -> Tensor:
    if eps_place == "floor":
        return torch.sqrt((fan_in * variance).clamp(min=eps))
    if eps_place == "variance":
        return math.sqrt(fan_in) * torch.sqrt(variance + eps)
    return math.sqrt(fan_in) * (torch.sqrt(variance) + eps)


class ScaledStandardizedConv2d(EffectiveWeightConv2d):
    """A convolution with scaled weight standardisation and a learned gain per filter.

        W'[o] = gamma gain[o] (W[o] - mean[o]) / sqrt(max(N var[o], eps)),   N = fan-in

    with mean and (biased) variance over a filter's N = in_channels / groups * height * width
    weights. Filters of W' have mean 0 and L2 norm gamma |gain|, whatever the scale of W; so outputs
    have mean 0 and variance (gamma gain)² under inputs of unit variance and *any* common mean. Not
    so at the zero-padded border, where taps are missing.

    The defaults are DeepMind's: eps is a floor under N var, the variance is biased, and the
    nonlinearity's gain gamma belongs to the activation. timm's networks put gamma here, and
    eps=1e-5 to the variance. Arguments before `eps` are those of `torch.nn.Conv2d`; the bias is
    there by default, as in the authors' code.

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
        eps: floor under N var, or what `eps_place` makes of it.
        eps_place: see `standardize_filters`.
        gamma: gain of the nonlinearity in front, where it is not the activation's; no parameter.
        unbiased: divide the squared deviations by N - 1; norms are then sqrt((N - 1) / N) gamma
            |gain|.

    Raises:
        ValueError: an unknown place of eps, or unbiased with filters of one weight.

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
        eps_place: EpsPlace = "floor",
        gamma: float = 1.0,
        unbiased: bool = False,
    ) -> None:
        require_one_of("eps_place", eps_place, get_args(EpsPlace))
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
        self.eps, self.eps_place, self.gamma, self.unbiased = eps, eps_place, gamma, unbiased
        self.gain = nn.Parameter(torch.ones(out_channels))
        nn.init.kaiming_normal_(self.weight, nonlinearity="linear")
        if self.bias is not None:
            nn.init.zeros_(self.bias)
        if self.fan_in == 1:
            if unbiased:
                raise ValueError("filters of one weight have no unbiased variance")
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
        standardized = standardize_filters(
            self.weight, eps=self.eps, eps_place=self.eps_place, unbiased=self.unbiased
        )
        return self.gamma * self.gain.view(-1, 1, 1, 1) * standardized

    def extra_repr(self) -> str:
        """Show what differs from DeepMind's convention in the printed model."""
        shown: str = nn.Conv2d.extra_repr(self)
        if (self.eps, self.eps_place, self.gamma, self.unbiased) != (1e-4, "floor", 1.0, False):
            shown += f", eps={self.eps:g}, eps_place={self.eps_place!r}, gamma={self.gamma:.6g}"
            shown += ", unbiased=True" if self.unbiased else ""
        return shown
