"""Convolutions with weights of one magnitude per filter, plain and with standardisation.

Papers: Rastegari et al., XNOR-Net, 2016, arXiv 1603.05279 (one magnitude per filter); Chen et al.,
"BNN - BN = ?", 2021, arXiv 2104.08215 (standardised first). Authors' code: VITA-Group/BNN_NoBN,
layers.py, HardBinaryConv and HardBinaryScaledStdConv2d.

Where ours differs: the unused layer_norm path is left out.
"""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from sppkit.models.choices import require_one_of
from sppkit.models.layers.effective_weight import EffectiveWeightConv2d
from sppkit.models.layers.scaled_standardization import standardize_filters

InitialWeights = Literal["positive", "fan_in"]

INITIAL_RANGE = 1e-3
"""Weights start uniform on [0, this): as the authors have it, for they load trained ones."""


def binarize(weight: Tensor) -> Tensor:
    """Give the weights of a filter one magnitude and their own signs.

        W_b[o] = mean(|W[o]|) sign(W[o])

    The magnitude passes no gradient; the signs pass it straight through where |W| <= 1.

    Args:
        weight: (out, in, height, width).

    Returns:
        The binary weight, of the same shape.

    References:
        XNOR-Net, Rastegari et al., 2016, arXiv 1603.05279, equation 6.
    """
    magnitude = weight.detach().abs().mean(dim=(1, 2, 3), keepdim=True)
    clipped = weight.clamp(-1.0, 1.0)
    return (magnitude * weight.sign() - clipped).detach() + clipped


class BinaryConv2d(EffectiveWeightConv2d):
    """A convolution with binary weights, `binarize(W)`, without bias.

    W starts uniform on [0, 1e-3), so that all signs are +1 and outputs are small: the authors
    replace it by the weight of a network whose activations alone are binary. `initial` chooses.

    Args:
        in_channels: channels of the input.
        out_channels: filters.
        kernel_size: size of the kernel, square.
        stride: stride.
        padding: padding on each side.
        padding_mode: "zeros" or "circular". Zeros are not binary, and cost variance at the border.
        initial: "positive", as the authors; or "fan_in", uniform on both sides of 0 with variance
            1 / fan-in, to train without a first stage: outputs then have variance 3/4 under inputs
            of -1 and 1.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        padding: int = 0,
        padding_mode: Literal["zeros", "circular"] = "zeros",
        *,
        initial: InitialWeights = "positive",
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            bias=False,
            padding_mode=padding_mode,
        )
        require_one_of("initial", initial, _INITIALIZE)
        _INITIALIZE[initial](self.weight)

    def effective_weight(self) -> Tensor:
        """Return the weight that the convolution uses, of the shape of `weight`."""
        return binarize(self.weight)


class BinaryScaledStandardizedConv2d(BinaryConv2d):
    """A convolution with weights that are standardised, then binarised, then scaled by a gain.

        W'[o] = (W[o] - mean[o]) / ((std[o] + eps) sqrt(N)),   W_b = gain[o] binarize(W'[o])

    with mean and (biased) standard deviation over a filter's N weights; eps is added to the
    deviation, unlike DeepMind's floor: it takes 3.5 % from the first weights, whose deviation is
    2.9e-4. Half of the signs of W' are negative whatever W is. Under inputs of -1 and 1 outputs
    have the variance N W_b²: 0.70 for the uniform weights of the beginning, 2 / pi for gaussian.

    Args:
        in_channels: channels of the input.
        out_channels: filters.
        kernel_size: size of the kernel, square.
        stride: stride.
        padding: padding on each side.
        padding_mode: "zeros" or "circular".
        initial: see `BinaryConv2d`; the two give the same W' but for eps.
        eps: added to the standard deviation.

    References:
        "BNN - BN = ?", Chen et al., 2021, arXiv 2104.08215, section 3.2.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        padding: int = 0,
        padding_mode: Literal["zeros", "circular"] = "zeros",
        *,
        initial: InitialWeights = "positive",
        eps: float = 1e-5,
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            padding_mode,
            initial=initial,
        )
        self.eps = eps
        self.gain = nn.Parameter(torch.ones(out_channels))

    def effective_weight(self) -> Tensor:
        """Return the weight that the convolution uses, of the shape of `weight`."""
        standardized = standardize_filters(self.weight, eps=self.eps, eps_place="deviation")
        return self.gain.view(-1, 1, 1, 1) * binarize(standardized)


def _positive(weight: Tensor) -> Tensor:
    return nn.init.uniform_(weight, 0.0, INITIAL_RANGE)


def _by_fan_in(weight: Tensor) -> Tensor:
    bound = (3.0 / weight[0].numel()) ** 0.5
    return nn.init.uniform_(weight, -bound, bound)


_INITIALIZE: dict[str, Callable[[Tensor], Tensor]] = {
    "positive": _positive,
    "fan_in": _by_fan_in,
}
