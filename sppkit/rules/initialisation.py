"""How the weights were drawn: the gain of each layer, and the initialisation it belongs to."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

from sppkit.rules.curve import curve_of, median
from sppkit.rules.evidence import Evidence
from sppkit.signals import Signal
from sppkit.theory import NONLINEARITIES, nonlinearity_moments

_OF_VALUES = ("second_moment", "minimum", "maximum", "channels", "samples")
_COLUMNS = ["fan_in", "fan_out", "groups", "nonlinearity", "before"]

VANISHING = 1e-12
"""Fan-in x variance below which weights are as good as zero: they are drawn anew, not scaled."""


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

    @property
    def vanish(self) -> bool:
        """Whether the weights are zero, or as good as zero."""
        return self.gain < VANISHING


@lru_cache(maxsize=1)  # several rules ask about the same evidence
def weights_of(evidence: Evidence) -> tuple[Weights, ...]:
    """Describe the weights of each weighted layer, in order of execution."""
    own = {
        **_medians(evidence, Signal.WEIGHT, "weight"),
        **_medians(evidence, Signal.EFFECTIVE_WEIGHT, "weight"),
    }
    biases = _medians(evidence, Signal.WEIGHT, "bias")
    rows = evidence.weighted[["layer", *_COLUMNS]].itertuples(index=False)
    described = {layer: dict(zip(_COLUMNS, row, strict=True)) for layer, *row in rows}
    return tuple(
        _describe(layer, row, own[layer], biases.get(layer), layer in evidence.normalised)
        for layer, row in described.items()
        if layer in own
    )


def _medians(evidence: Evidence, signal: Signal, tensor: str) -> dict[str, dict[str, float]]:
    """Give medians over seeds of what is asked of the parameters of that name, by layer."""
    chosen = evidence.curves.where(signal=signal, tensor=tensor)
    columns = {column: curve_of(chosen, column) for column in _OF_VALUES}
    layers = columns["channels"].layers
    medians = {column: median(curve.values, axis=0) for column, curve in columns.items()}
    return {
        layer: {column: float(medians[column][place]) for column in _OF_VALUES}
        for place, layer in enumerate(layers)
    }


def tables_of_embeddings(evidence: Evidence) -> set[str]:
    """Name the layers that look up rows: they have no input, and so no gain and no fan-in."""
    structure = evidence.structure
    by_name = structure["layer_type"].isin(["Embedding", "EmbeddingBag"])
    return set(structure.loc[by_name | (structure["computes"] == "embedding"), "layer"])


def _describe(
    layer: str,
    row: Mapping[str, Any],
    own: Mapping[str, float],
    bias: Mapping[str, float] | None,
    normalised: bool,
) -> Weights:
    return Weights(
        layer=layer,
        gain=float(row["fan_in"]) * own["second_moment"],
        fan_in=int(row["fan_in"]),
        fan_out=int(row["fan_out"]),
        groups=int(row["groups"]),
        nonlinearity=_text(row["nonlinearity"]),
        fed_by=_last_nonlinearity(_text(row["before"])),
        values=int(own["channels"] * own["samples"]),
        normalised=normalised,
        constant=own["minimum"] == own["maximum"] and own["second_moment"] > 0,
        bias=0.0 if bias is None else bias["second_moment"],
    )


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


NEAR = 1.4
"""Factor of the variance within which an initialisation is recognised, ours."""


def ignores_groups(weights: Weights, nearness: float = NEAR) -> bool:
    """Say whether a gain is 1/groups of what is known, and not what is known itself."""
    known = [known_gains(weights)[name] for name in ("LeCun", "He", "as needed")]
    gain, limit = max(weights.gain, 1e-30), math.log(nearness)
    off = min(abs(math.log(gain / right)) for right in known)
    off_mistake = min(abs(math.log(gain * weights.groups / right)) for right in known)
    return off_mistake < limit < off  # of one group both are equal
