"""The layers that the reference networks are made of, and that torch does not have.

Scaled weight standardisation and nonlinearities with their gain belong together: the first keeps
the mean of the weights, and so of the signal, at zero; the second its variance at one.
"""

import math
import warnings
from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn

from sppkit.theory import named_nonlinearity, nonlinearity_gain

_NONLINEARITY_MODULES: dict[str, Callable[[], nn.Module]] = {
    "identity": nn.Identity,
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "celu": nn.CELU,
    "selu": nn.SELU,
    "gelu": nn.GELU,
    "gelu_tanh": partial(nn.GELU, approximate="tanh"),
    "silu": nn.SiLU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "softplus": nn.Softplus,
    "softsign": nn.Softsign,
    "log_sigmoid": nn.LogSigmoid,
    "hard_swish": nn.Hardswish,
    "hardswish": nn.Hardswish,
    "hard_sigmoid": nn.Hardsigmoid,
    "mish": nn.Mish,
}


def make_nonlinearity(name: str) -> nn.Module:
    """Build the torch module of a nonlinearity that `sppkit.theory` knows by the same name.

    Args:
        name: a name of `sppkit.theory.NONLINEARITIES`.

    Raises:
        ValueError: an unknown name; the message lists all.
    """
    named_nonlinearity(name)
    return _NONLINEARITY_MODULES[name]()


class GainedNonlinearity(nn.Module):
    """Scale a nonlinearity to unit variance under gaussian input, gamma * g(x).

    Args:
        name: a name of `sppkit.theory.NONLINEARITIES`.
        gain: gamma; None is `sppkit.theory.nonlinearity_gain(name)`.

    References:
        Characterizing signal propagation to close the performance gap in unnormalized ResNets,
        Brock, De, Smith, 2021, arXiv 2101.08692, section 4.4.
    """

    def __init__(self, name: str, *, gain: float | None = None) -> None:
        super().__init__()
        self.nonlinearity = make_nonlinearity(name)
        self.gain = nonlinearity_gain(name) if gain is None else gain

    def forward(self, x: Tensor) -> Tensor:
        """Return gamma * g(x), of the shape of x."""
        activation: Tensor = self.gain * self.nonlinearity(x)
        return activation

    def extra_repr(self) -> str:
        """Show the gain in the printed model."""
        return f"gain={self.gain:.6g}"


def magnitude_preserving_sum(a: Tensor, b: Tensor) -> Tensor:
    """Add two uncorrelated signals of equal variance so that the sum keeps it, (a + b) / sqrt 2.

    References:
        Analyzing and improving the training dynamics of diffusion models, Karras et al., 2023,
        arXiv 2312.02696, equation 88 at t = 1/2.
    """
    return (a + b) * math.sqrt(0.5)


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


class StochasticDepth(nn.Module):
    """Drop the residual branch of single samples in training.

    Kept samples are not rescaled by 1 / (1 - rate), as in the authors' code for normalizer-free
    networks: the branch is weaker in training than in evaluation.

    Args:
        rate: probability of dropping a sample, in [0, 1).

    References:
        Deep networks with stochastic depth, Huang et al., 2016, arXiv 1603.09382; authors' code
        deepmind-research/nfnets/base.py, StochDepth.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        if not 0.0 <= rate < 1.0:
            raise ValueError(f"the rate of stochastic depth is in [0, 1), got {rate}")
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """Return x, (N, C, H, W), with the dropped samples set to zero."""
        if not self.training:
            return x
        kept = x.new_empty((x.shape[0], 1, 1, 1)).bernoulli_(1.0 - self.rate)
        return x * kept

    def extra_repr(self) -> str:
        """Show the rate in the printed model."""
        return f"rate={self.rate:.6g}"
