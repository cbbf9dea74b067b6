"""How implementations realise the papers on normaliser-free networks."""

from dataclasses import dataclass
from typing import Literal

from sppkit.models.choices import require_one_of
from sppkit.models.layers.scaled_standardization import EpsPlace

ConventionName = Literal["deepmind", "timm"]

PUBLISHED_GAINS = {
    "identity": 1.0,
    "celu": 1.270926833152771,
    "elu": 1.2716004848480225,
    "gelu": 1.7015043497085571,
    "leaky_relu": 1.70590341091156,
    "log_sigmoid": 1.9193484783172607,
    "relu": 1.7139588594436646,
    "relu6": 1.7131484746932983,
    "selu": 1.0008515119552612,
    "sigmoid": 4.803835391998291,
    "silu": 1.7881293296813965,
    "softplus": 1.9203323125839233,
    "softsign": 2.338853120803833,
    "tanh": 1.5939117670059204,
}
"""Gains as in deepmind-research/nfnets/base.py and timm: Monte-Carlo values, within 1e-3 of exact.

For networks that must compute what theirs compute; `sppkit.theory.nonlinearity_gain` is exact.
"""


@dataclass(frozen=True)
class Convention:
    """How an implementation realises the papers.

    Attributes:
        gamma_in_convolution: whether the nonlinearity's gain scales the weights of the convolution
            behind it (and of the stem's, which has none in front), not the activation.
        published_gains: whether gains are the Monte-Carlo values, not the exact ones.
        eps, eps_place: of the scaled weight standardisation.
        pooled_shortcuts: whether NF-ResNets average 2x2 on strided skip paths and convolve with
            stride 1 behind; NFNets and NF-RegNets always do.
        channel_divisor: what numbers of channels are rounded to a multiple of.
        rescaled_drops: whether stochastic depth divides what is kept, and its rate is reached by
            the last block.
    """

    gamma_in_convolution: bool
    published_gains: bool
    eps: float
    eps_place: EpsPlace
    pooled_shortcuts: bool
    channel_divisor: int
    rescaled_drops: bool

    def round(self, channels: float, *, largest_loss: float = 0.1) -> int:
        """Round a number of channels to a multiple of the divisor, up where too much were lost."""
        if self.channel_divisor == 1:
            return int(channels)
        divisor = self.channel_divisor
        rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
        return rounded if rounded >= (1 - largest_loss) * channels else rounded + divisor


CONVENTIONS: dict[str, Convention] = {
    "deepmind": Convention(
        gamma_in_convolution=False,
        published_gains=False,
        eps=1e-4,
        eps_place="floor",
        pooled_shortcuts=False,
        channel_divisor=1,
        rescaled_drops=False,
    ),
    "timm": Convention(
        gamma_in_convolution=True,
        published_gains=True,
        eps=1e-5,
        eps_place="variance",
        pooled_shortcuts=True,
        channel_divisor=8,
        rescaled_drops=True,
    ),
}


def find_convention(name: str) -> Convention:
    """Return the convention of that name.

    Raises:
        ValueError: an unknown name; the message lists all.
    """
    require_one_of("convention", name, CONVENTIONS)
    return CONVENTIONS[name]
