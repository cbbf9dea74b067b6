"""The fully connected network of Dewyse's thesis: ten linear layers, with three kinds of norm.

Paper: Dewyse, Designing Normalizer-Free EfficientNets, 2025, JKU Linz, section on feed-forward
networks. Author's code: PDewyse/MT_Normalizer_free_Neural_Nets, models/ffnn.py.

Where ours differs:

- the kind of normalisation is an argument; the code has to be edited for "fixed", and leaves the
  first normalisation affine then. Ours has none affine, as the text says;
- the width is 512 by default, that of the figures; the code's default is 100. Statistics of the
  weights and of the gradients depend on it, and the thesis compares "affine" at 512 with "fixed" at
  100: compare at equal widths.
"""

from collections.abc import Callable
from functools import partial
from typing import Literal

from torch import nn

from sppkit.models.layers import make_nonlinearity
from sppkit.models.named_layers import in_sequence

NormParameters = Literal["affine", "fixed"]

_NORMS: dict[str | None, Callable[[int], nn.Module] | None] = {
    None: None,
    "affine": nn.BatchNorm1d,
    "fixed": partial(nn.BatchNorm1d, affine=False),
}


def linear_by_fan_out(in_features: int, out_features: int) -> nn.Linear:
    """Build a linear layer with weights N(0, 2 / out_features) and biases 0."""
    linear = nn.Linear(in_features, out_features)
    nn.init.kaiming_normal_(linear.weight, mode="fan_out", nonlinearity="relu")
    nn.init.zeros_(linear.bias)
    return linear


def _layer(in_features: int, width: int, norm: str | None, activation: str) -> nn.Sequential:
    make_norm = _NORMS[norm]
    return in_sequence(
        linear=linear_by_fan_out(in_features, width),
        norm=None if make_norm is None else make_norm(width),
        activation=make_nonlinearity(activation),
    )


def ffnn(
    *,
    norm: NormParameters | None = None,
    depth: int = 10,
    width: int = 512,
    activation: str = "relu",
    in_features: int = 3072,
    classes: int = 100,
) -> nn.Sequential:
    """Build the network: linear, norm, activation, `depth - 1` times; a linear layer.

    Weights are N(0, 2 / fan-out), the classifier's too: 2 / 512 = 0.0039 in the hidden layers, 2 /
    100 in the last. Without normalisation second moments are kept where fan-in and fan-out agree,
    and multiplied by 6 in the first layer. 3,725,924 parameters at width 512 without
    normalisation, 398,200 at 100.

    Args:
        norm: None; "affine", batch normalisation with a learned gain and bias before each
            activation; or "fixed", the same with gain 1 and bias 0 throughout.
        depth: linear layers, 2 or more.
        width: units of each hidden layer.
        activation: a name of `sppkit.theory.NONLINEARITIES`.
        in_features: values of one sample; images are flattened.
        classes: logits.

    Returns:
        The network, from (N, ...) to (N, classes), initialised from torch's global generator.

    Raises:
        ValueError: a depth below 2, an unknown norm or activation.
    """
    if depth < 2:
        raise ValueError(f"depth counts linear layers, the last one too: 2 or more; got {depth}")
    if norm not in _NORMS:
        raise ValueError(f"norm is None, 'affine' or 'fixed'; got {norm!r}")
    fans_in = [in_features] + [width] * (depth - 2)
    return in_sequence(
        flatten=nn.Flatten(),
        hidden=nn.Sequential(*(_layer(fan, width, norm, activation) for fan in fans_in)),
        classifier=linear_by_fan_out(width, classes),
    )
