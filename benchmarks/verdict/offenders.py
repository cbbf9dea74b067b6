"""How far the first offender that was named lies from the layer that was spoilt."""

import numpy as np
import pandas as pd


def distance(structure: pd.DataFrame, named: str, injected: str) -> float:
    """Count the weighted layers between two layers, in order of execution.

    A layer without weights (a norm, a nonlinearity) belongs to the weighted layer before it; a
    container reaches from its first to its last. 0 is the layer itself, 1 its neighbour.

    Args:
        structure: the structure frame of one run.
        named, injected: qualified names.

    Returns:
        The distance; NaN where either is not a layer that was executed.
    """
    first, last = _places(structure, injected)
    named_first, named_last = _places(structure, named)
    return float(np.max([named_first - last, first - named_last, 0.0]))  # NaN stays NaN


def _places(structure: pd.DataFrame, layer: str) -> tuple[float, float]:
    """Give the positions of a layer's first and last leaf among the weighted layers."""
    leaves = structure[(structure["role"] == "leaf") & structure["depth"].notna()]
    leaves = leaves.sort_values("depth")
    position = leaves["fan_in"].notna().cumsum()
    inside = (leaves["layer"] == layer) | leaves["layer"].str.startswith(f"{layer}.")
    if not layer or not inside.any():
        return np.nan, np.nan
    return float(position[inside].min()), float(position[inside].max())
