"""How the weights were drawn: the gain of each layer, and the initialisation it belongs to."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from sppkit.rules.curve import median
from sppkit.rules.evidence import Evidence
from sppkit.signals import Signal
from sppkit.theory import NONLINEARITIES, nonlinearity_moments

_COLUMNS = ["fan_in", "fan_out", "groups", "nonlinearity", "before"]


@dataclass(frozen=True)
class Weights:
    """The weights of one layer at initialisation.

    Attributes:
        layer: its name.
        gain: fan-in times the mean square of the effective weights: what the layer multiplies the
            second moment by. Median over seeds.
        fan_in, fan_out: of one group.
        groups: of a grouped convolution.
        nonlinearity: which follows; "" for none.
        fed_by: which stands before it; "" for none.
        values: number of weights.
        normalised: whether a normalisation follows, so that the gain has no effect.
        constant: whether all weights are equal (and not zero).
        bias: second moment of the bias; 0 without one.
    """

    layer: str
    gain: float
    fan_in: int
    fan_out: int
    groups: int
    nonlinearity: str
    fed_by: str
    values: int
    normalised: bool
    constant: bool
    bias: float

    @property
    def needed(self) -> float:
        """The gain that keeps the second moment from one pre-activation to the next."""
        return preserving_gain(self.fed_by)


def weights_of(evidence: Evidence) -> tuple[Weights, ...]:
    """Describe the weights of each weighted layer, in order of execution."""
    stored = _by_layer(evidence, Signal.WEIGHT, "weight")
    effective = _by_layer(evidence, Signal.EFFECTIVE_WEIGHT, "weight")
    biases = _by_layer(evidence, Signal.WEIGHT, "bias")
    found = []
    for layer, *row in evidence.weighted[["layer", *_COLUMNS]].itertuples(index=False):
        own = effective.get(layer, stored.get(layer))
        if own is not None:
            described = dict(zip(_COLUMNS, row, strict=True))
            normalised = layer in evidence.normalised
            found.append(_describe(layer, described, own, biases.get(layer), normalised))
    return tuple(found)


def _describe(
    layer: str,
    row: Mapping[str, Any],
    own: pd.DataFrame,
    bias: pd.DataFrame | None,
    normalised: bool,
) -> Weights:
    equal = (own["minimum"] == own["maximum"]) & (own["second_moment"] > 0)
    return Weights(
        layer=layer,
        gain=float(row["fan_in"]) * _typical(own["second_moment"]),
        fan_in=int(row["fan_in"]),
        fan_out=int(row["fan_out"]),
        groups=int(row["groups"]),
        nonlinearity=_text(row["nonlinearity"]),
        fed_by=_last_nonlinearity(_text(row["before"])),
        values=int(own["channels"].iloc[0] * own["samples"].iloc[0]),
        normalised=normalised,
        constant=bool(equal.all()),
        bias=0.0 if bias is None else _typical(bias["second_moment"]),
    )


def _by_layer(evidence: Evidence, signal: Signal, tensor: str) -> dict[str, pd.DataFrame]:
    rows = evidence.curves
    chosen = rows[(rows["signal"] == signal) & (rows["tensor"] == tensor)]
    return {str(layer): group for layer, group in chosen.groupby("layer", observed=True)}


def _typical(values: pd.Series) -> float:
    return float(median(values.to_numpy(np.float64), axis=0))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _last_nonlinearity(before: str) -> str:
    known = [name for name in before.split(" > ") if name in NONLINEARITIES]
    return known[-1] if known else ""


@cache
def preserving_gain(nonlinearity: str) -> float:
    """Return 1 / E[g(z)²], z ~ N(0, 1): the gain of weights behind g that keeps second moments.

    2 of ReLU (He et al., 2015, arXiv 1502.01852, equation 10), 1 of SELU and of no nonlinearity.

    >>> round(preserving_gain("relu"), 6), preserving_gain("")
    (2.0, 1.0)
    """
    if nonlinearity not in NONLINEARITIES:
        return 1.0
    return 1.0 / nonlinearity_moments(nonlinearity).second_moment


KNOWN: dict[str, str] = {
    "LeCun": "1 / fan-in",
    "He": "2 / fan-in",
    "Glorot": "2 / (fan-in + fan-out)",
    "He, fan-out": "2 / fan-out",
    "torch's default": "1 / (3 fan-in)",
    "as needed": "1 / (fan-in E[g²])",
}
"""Initialisations by name, and the variance of their weights."""


def known_gains(weights: Weights) -> dict[str, float]:
    """Give the gain that each known initialisation would have at this layer."""
    fan_in, fan_out = weights.fan_in, weights.fan_out
    return {
        "LeCun": 1.0,
        "He": 2.0,
        "Glorot": 2.0 * fan_in / (fan_in + fan_out),
        "He, fan-out": 2.0 * fan_in / fan_out,
        "torch's default": 1.0 / 3.0,
        "as needed": weights.needed,
    }
