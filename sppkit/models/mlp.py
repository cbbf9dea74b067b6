"""Fully connected networks: He or LeCun initialisation, with and without normalisation.

Papers: Delving deep into rectifiers, He, Zhang, Ren, Sun, 2015, arXiv 1502.01852 (variance
2 / fan-in); Efficient BackProp, LeCun, Bottou, Orr, Müller, 1998 (1 / fan-in); Self-Normalizing
Neural Networks, Klambauer, Unterthiner, Mayr, Hochreiter, 2017, arXiv 1706.02515 (`sn_mlp`;
authors' code: bioinf-jku/SNNs).

Where ours differs: layers have equal widths and no dropout (SNNs come with alpha-dropout).
"""

from typing import Literal

from torch import nn

from sppkit.models.layers import make_nonlinearity
from sppkit.models.named_layers import in_sequence
from sppkit.models.topology import make_classifier

Norm = Literal["batch", "layer"]

_NORMS: dict[str | None, type[nn.BatchNorm1d] | type[nn.LayerNorm] | None] = {
    None: None,
    "batch": nn.BatchNorm1d,
    "layer": nn.LayerNorm,
}


def _linear(in_features: int, out_features: int, *, weight_gain: float) -> nn.Linear:
    linear = nn.Linear(in_features, out_features)
    nn.init.normal_(linear.weight, std=(weight_gain / in_features) ** 0.5)
    nn.init.zeros_(linear.bias)
    return linear


def _hidden_layer(
    in_features: int, width: int, *, activation: str, norm: Norm | None, weight_gain: float
) -> nn.Sequential:
    make_norm = _NORMS[norm]
    return in_sequence(
        linear=_linear(in_features, width, weight_gain=weight_gain),
        norm=None if make_norm is None else make_norm(width),
        activation=make_nonlinearity(activation),
    )


def mlp(
    depth: int = 8,
    width: int = 256,
    activation: str = "relu",
    *,
    norm: Norm | None = None,
    in_features: int = 64,
    classes: int = 10,
) -> nn.Sequential:
    """Build a fully connected network: linear, norm, activation, `depth` times; a classifier.

    Hidden weights are N(0, g / fan-in) with g = 2 for relu (He) and 1 else (LeCun), biases 0; the
    classifier is LeCun normal. He's initialisation keeps the second moment of the pre-activations
    of relu; the variance over samples decays with depth while the squared mean takes its place.

    Args:
        depth: hidden layers, 1 or more.
        width: units of each hidden layer.
        activation: a name of `sppkit.theory.NONLINEARITIES`.
        norm: None, "batch" or "layer", before the activation.
        in_features: size of one sample, flattened.
        classes: logits.

    Returns:
        The network, from (N, ...) with in_features values per sample to (N, classes), initialised
        from torch's global generator.

    Raises:
        ValueError: a depth below 1, an unknown norm or activation.
    """
    if depth < 1:
        raise ValueError(f"depth is the number of hidden layers, 1 or more; got {depth}")
    if norm not in _NORMS:
        raise ValueError(f"norm is None, 'batch' or 'layer'; got {norm!r}")
    gain = 2.0 if activation == "relu" else 1.0
    widths = [in_features] + [width] * (depth - 1)
    hidden = [
        _hidden_layer(fan_in, width, activation=activation, norm=norm, weight_gain=gain)
        for fan_in in widths
    ]
    return in_sequence(
        flatten=nn.Flatten(),
        hidden=nn.Sequential(*hidden),
        classifier=make_classifier(width, classes, deviation=width**-0.5),
    )


def sn_mlp(
    depth: int = 8, width: int = 256, *, in_features: int = 64, classes: int = 10
) -> nn.Sequential:
    """Build a self-normalizing network: SELU, LeCun normal weights, biases 0 (see `mlp`).

    Activations of mean 0 and variance 1 are a fixed point, for inputs of mean 0 and variance 1.
    """
    return mlp(depth, width, "selu", in_features=in_features, classes=classes)
