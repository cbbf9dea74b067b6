"""What mean-field theory expects of a plain fully connected network, from its own weights."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from sppkit.signals import Role, Signal
from sppkit.theory import NONLINEARITIES, Ladder, PlainLayer, plain_ladder

_NORMALISATIONS = frozenset({"batch_norm", "layer_norm", "rms_norm"})
_MEAN_TOLERANCE = 3.0
"""Squared mean of a unit's weights over what random weights of mean 0 have, 1 / fan-in."""


def plain_layers(structure: pd.DataFrame, table: pd.DataFrame) -> list[PlainLayer] | None:
    """Describe the layers of a plain fully connected network; None where it is another one.

    Plain: every weighted layer is linear, is called once, takes what the one before it gave, and
    has between them only functions of one number and unscaled normalisations.

    Args:
        structure, table: rows of one run.
    """
    rows = structure[structure["fan_in"].notna() & structure["depth"].notna()]
    rows = rows.sort_values("depth")
    chained = list(rows["before"].fillna(""))[1:] == list(rows["after"].fillna(""))[:-1]
    fits = (rows["fan_in"].iloc[1:].to_numpy() == rows["fan_out"].iloc[:-1].to_numpy()).all()
    plain = (rows["computes"] == "linear").all() and (rows["calls"] == 1).all()
    if rows.empty or not (chained and fits and plain) or structure["merge"].notna().any():
        return None
    between = [tuple(name for name in text.split(" > ") if name) for text in rows["before"]]
    known = {*NONLINEARITIES, *_NORMALISATIONS}
    if not all(name in known for names in between for name in names) or _scaled_norms(structure):
        return None
    gains = _gains(rows, table)
    if gains is None:
        return None
    return [
        PlainLayer(float(gain), float(bias), names)
        for (gain, bias), names in zip(gains, between, strict=True)
    ]


def _scaled_norms(structure: pd.DataFrame) -> bool:
    """Say whether a normalisation has another scale than 1 or another shift than 0."""
    norms = structure[structure["computes"].isin(_NORMALISATIONS)]["initialisation"].fillna("")
    scaled = norms.str.contains("weight: ") & ~norms.str.contains(r"weight: constant 1\b")
    shifted = norms.str.contains("bias: ") & ~norms.str.contains("bias: zero")
    return bool((scaled | shifted).any())


def _gains(rows: pd.DataFrame, table: pd.DataFrame) -> list[tuple[float, float]] | None:
    """Give fan-in x second moment of the weights, and that of the biases, of each layer."""
    parameters = table[table["signal"].isin([Signal.WEIGHT, Signal.EFFECTIVE_WEIGHT])]
    effective = parameters["signal"] == Signal.EFFECTIVE_WEIGHT
    parameters = parameters.assign(order=effective.astype(int)).sort_values("order")
    named = parameters.groupby(["tensor", "layer", "order"], observed=True)
    columns = ["second_moment", "average_channel_squared_mean"]
    means = named[columns].mean().groupby(level=["tensor", "layer"], observed=True).last()
    found = []
    for layer, fan_in in zip(rows["layer"], rows["fan_in"].astype(float), strict=True):
        if ("weight", layer) not in means.index:
            return None
        second, squared_mean = means.loc[("weight", layer)]
        if not squared_mean * fan_in <= _MEAN_TOLERANCE * second:
            return None
        has_bias = ("bias", layer) in means.index
        bias = means.loc[("bias", layer), "second_moment"] if has_bias else 0.0
        found.append((fan_in * second, bias))
    return found


def plain_expectation(
    structure: pd.DataFrame, table: pd.DataFrame, metadata: Mapping[str, Any]
) -> Ladder | None:
    """Compute the mean-field curve of one run; None where it is no plain network.

    From the first layer on for gaussian noise; for other input from what the first layer gave.
    """
    layers = plain_layers(structure, table)
    first = _first_outputs(structure, table)
    if layers is None or first is None:
        return None
    samples, second, variance = first
    if metadata.get("input") == "gaussian noise" and not layers[0].before:
        return plain_ladder(layers, samples=samples)
    start = [PlainLayer(1.0), *layers[1:]]
    distance = variance / (1.0 - 1.0 / samples)
    return plain_ladder(start, samples=samples, length=second, distance=distance)


def _first_outputs(structure: pd.DataFrame, table: pd.DataFrame) -> tuple[int, float, float] | None:
    """Give samples, second moment and average channel variance of the first layer's output."""
    rows = structure[structure["fan_in"].notna() & structure["depth"].notna()]
    if rows.empty:
        return None
    first = rows.sort_values("depth")["layer"].iloc[0]
    outputs = table[(table["layer"] == first) & (table["signal"] == Signal.ACTIVATION)]
    outputs = outputs[outputs["role"] == Role.LEAF]
    if outputs.empty or not (outputs["samples"] > 1).all():
        return None
    moments = outputs[["second_moment", "average_channel_variance"]].mean()
    second, variance = float(moments.iloc[0]), float(moments.iloc[1])
    return (int(outputs["samples"].iloc[0]), second, variance) if 0 < second < 1e30 else None
