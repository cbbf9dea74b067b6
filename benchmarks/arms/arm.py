"""The arms, the networks and the data of the grid."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from sppkit.inputs.digits import draw_digits
from sppkit.models.gaur import gaur_cnn
from sppkit.training.clipping import (
    AdaptiveGradientClipping,
    GlobalNormClipping,
    GradientClipping,
    ValueClipping,
)

Data = tuple[Tensor, Tensor]

_CLIPPINGS: dict[str, type[GradientClipping]] = {
    "value": ValueClipping,
    "norm": GlobalNormClipping,
    "adaptive": AdaptiveGradientClipping,
}


@dataclass(frozen=True)
class Arm:
    """One setting of the factors.

    Attributes:
        name: what the table calls it.
        norm: "none", "batch" or "weight".
        dropout: rate of dropping channels.
        clipping: how gradients are clipped; None is not at all.
        limit: of the clipping.
    """

    name: str
    norm: Literal["none", "batch", "weight"] = "none"
    dropout: float = 0.0
    clipping: Literal["value", "norm", "adaptive"] | None = None
    limit: float = 1.0

    def clip(self, model: nn.Module) -> GradientClipping | None:
        """Make the clipping of a model; the classifier is left to adaptive clipping's exception."""
        if self.clipping is None:
            return None
        exclude = "classifier.*" if self.clipping == "adaptive" else None
        return _CLIPPINGS[self.clipping](model, self.limit, exclude=exclude)


ARMS = (
    Arm("batch normalisation", "batch"),
    Arm("nothing"),
    Arm("value clipping", clipping="value", limit=0.05),
    Arm("norm clipping", clipping="norm", limit=1.0),
    Arm("adaptive clipping", clipping="adaptive", limit=0.05),
    Arm("dropout", dropout=0.1),
    Arm("weight normalisation", "weight"),
    Arm("weight normalisation, norm clipping", "weight", clipping="norm", limit=1.0),
    Arm("weight normalisation, norm clipping, dropout", "weight", 0.1, "norm", 1.0),
    Arm("batch normalisation, dropout", "batch", 0.1),
)

NETWORKS = {"6 convolutions": 2, "18 convolutions": 6}
"""Convolutions per stage of `gaur_cnn`, by the network's name."""


def make_network(arm: Arm, network: str) -> nn.Sequential:
    """Build the network with the arm's norm and dropout."""
    return gaur_cnn(
        arm.norm,
        dropout=arm.dropout,
        layers_per_stage=NETWORKS[network],
        width=8,
        in_channels=1,
    )


def digits() -> Data:
    """Give all handwritten digits in 16x16, mean 0 and variance 1."""
    images, classes, _ = draw_digits((1, 16, 16), 1797, torch.Generator().manual_seed(0))
    return images.float(), classes


def noisy_digits() -> Data:
    """Give the digits with as much noise as signal, drawn once."""
    images, classes = digits()
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(1))
    return images + noise, classes


DATA: dict[str, Callable[[], Data]] = {"digits": digits, "noisy digits": noisy_digits}
