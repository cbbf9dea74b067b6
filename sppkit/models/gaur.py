"""A plain convolutional network in which what stands against batch normalisation can be switched.

Paper: Training deep neural networks without batch normalization, Gaur, Folz, Dengel, 2020, arXiv
2008.07970, which compares batch normalisation with weight normalisation, gradient clipping and
dropout. No code is public. Weight normalisation: Salimans, Kingma, 2016, arXiv 1602.07868.

Where ours differs: the paper's networks, data and settings are not known to us. The network is a
small VGG of ours, and there are no numbers to compare with; the arms are the paper's. Clipping is a
matter of training: see `sppkit.training.clipping`.
"""

from functools import partial
from typing import Literal, get_args

from torch import nn

from sppkit.models.choices import require_one_of
from sppkit.models.layers.weight_norm import normalize_weights
from sppkit.models.named_layers import in_sequence
from sppkit.models.topology import PaddingMode, make_classifier, make_convolution

Norm = Literal["none", "batch", "weight"]


def _layer(
    in_channels: int, out_channels: int, *, norm: Norm, dropout: float, padding_mode: PaddingMode
) -> nn.Sequential:
    convolution = make_convolution(
        in_channels,
        out_channels,
        kernel_size=3,
        stride=1,
        initialize=partial(nn.init.kaiming_normal_, nonlinearity="relu"),
        padding_mode=padding_mode,
        bias=True,
    )
    return in_sequence(
        conv=convolution,
        norm=nn.BatchNorm2d(out_channels) if norm == "batch" else None,
        activation=nn.ReLU(),
        dropout=nn.Dropout2d(dropout) if dropout else None,
    )


def gaur_cnn(
    norm: Norm = "batch",
    *,
    dropout: float = 0.0,
    layers_per_stage: int = 2,
    width: int = 16,
    in_channels: int = 3,
    classes: int = 10,
    padding_mode: PaddingMode = "zeros",
) -> nn.Sequential:
    """Build three stages of 3x3 convolutions, each ending with max-pooling; a linear classifier.

    Weights are He's by fan-in. Weight normalisation (`normalize_weights`, in all layers)
    changes nothing at initialisation, but how the weights move.

    Args:
        norm: "batch", "weight" or "none".
        dropout: rate of dropping channels after each activation.
        layers_per_stage: convolutions.
        width: channels of the first stage; the others have 2 and 4 times as many.
        in_channels: channels of the images.
        classes: logits.
        padding_mode: of the convolutions.

    Returns:
        The network, from images whose size three poolings leave something of, initialised from
        torch's global generator.

    Raises:
        ValueError: an unknown norm.
    """
    require_one_of("norm", norm, get_args(Norm))
    layer = partial(_layer, norm=norm, dropout=dropout, padding_mode=padding_mode)
    stages, channels = [], in_channels
    for out_channels in (width, 2 * width, 4 * width):
        layers: list[nn.Module] = []
        for _ in range(layers_per_stage):
            layers.append(layer(channels, out_channels))
            channels = out_channels
        stages.append(nn.Sequential(*layers, nn.MaxPool2d(2)))
    network = in_sequence(
        features=nn.Sequential(*stages),
        pool=nn.AdaptiveAvgPool2d(1),
        flatten=nn.Flatten(),
        classifier=make_classifier(channels, classes, deviation=channels**-0.5),
    )
    if norm == "weight":
        normalize_weights(network)
    return network
