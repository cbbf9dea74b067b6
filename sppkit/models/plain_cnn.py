"""The convolutional network of Dewyse's thesis, normalised in none, one or both of its parts.

Paper: Dewyse, Designing Normalizer-Free EfficientNets, 2025, JKU Linz, section on convolutional
networks. Author's code: PDewyse/MT_Normalizer_free_Neural_Nets, models/cnn.py (features), cnn1.py
(both), cnn2.py (classifier).

Where ours differs: the parts are an argument (in cnn.py the switch is inverted: normalisation=True
takes it off); width and picture size are too.
"""

from functools import partial
from itertools import pairwise
from typing import Literal, get_args

from torch import nn

from sppkit.models.choices import require_one_of
from sppkit.models.feed_forward import linear_by_fan_out
from sppkit.models.layers import make_nonlinearity
from sppkit.models.named_layers import in_sequence
from sppkit.models.topology import make_convolution

NormalizedParts = Literal["none", "features", "classifier", "all"]


_convolution = partial(
    make_convolution,
    kernel_size=3,
    stride=1,
    initialize=partial(nn.init.kaiming_normal_, mode="fan_out", nonlinearity="relu"),
    bias=True,
)


def _features(widths: list[int], activation: str, *, normalized: bool) -> nn.Sequential:
    return nn.Sequential(
        *(
            in_sequence(
                conv=_convolution(in_channels, out_channels),
                norm=nn.BatchNorm2d(out_channels) if normalized else None,
                activation=make_nonlinearity(activation),
                pool=nn.MaxPool2d(2),
            )
            for in_channels, out_channels in pairwise(widths)
        )
    )


def _classifier(widths: list[int], activation: str, *, normalized: bool) -> nn.Sequential:
    hidden = [
        in_sequence(
            linear=linear_by_fan_out(in_features, out_features),
            norm=nn.BatchNorm1d(out_features) if normalized else None,
            activation=make_nonlinearity(activation),
        )
        for in_features, out_features in pairwise(widths[:-1])
    ]
    return nn.Sequential(*hidden, linear_by_fan_out(widths[-2], widths[-1]))


def cnn(
    *,
    normalized: NormalizedParts = "none",
    width: int = 32,
    hidden: int = 512,
    activation: str = "relu",
    in_channels: int = 3,
    image_size: int = 32,
    classes: int = 100,
) -> nn.Sequential:
    """Build the network: three times conv 3x3, activation, max-pooling by 2; three linear layers.

    Channels are width, 2 width, 4 width; linear layers have `hidden`, half of it, and `classes`
    units. All weights are N(0, 2 / fan-out). 1,299,364 parameters without normalisation.

    Args:
        normalized: the parts with batch normalisation before each activation: "none", "features",
            "classifier" or "all".
        width: channels of the first convolution.
        hidden: units of the first linear layer.
        activation: a name of `sppkit.theory.NONLINEARITIES`.
        in_channels: channels of the images.
        image_size: their height and width, a multiple of 8.
        classes: logits.

    Returns:
        The network, from (N, in_channels, image_size, image_size) to (N, classes), initialised
        from torch's global generator.

    Raises:
        ValueError: an unknown part or activation, or a size that three poolings do not divide.
    """
    require_one_of("normalized", normalized, get_args(NormalizedParts))
    if image_size < 8 or image_size % 8:
        raise ValueError(f"image_size is a multiple of 8 (three poolings by 2); got {image_size}")
    flat = 4 * width * (image_size // 8) ** 2
    return in_sequence(
        features=_features(
            [in_channels, width, 2 * width, 4 * width],
            activation,
            normalized=normalized in ("features", "all"),
        ),
        flatten=nn.Flatten(),
        classifier=_classifier(
            [flat, hidden, hidden // 2, classes],
            activation,
            normalized=normalized in ("classifier", "all"),
        ),
    )
