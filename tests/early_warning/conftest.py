"""Blocks of rows as a recorder hands them out, made by hand."""

import numpy as np
import pytest

from sppkit.early_warning.watch import Watch


def row(layer="layer", signal="activation", **changes):
    """Make a row of a network in good order."""
    base = {
        "layer": layer,
        "call": 1,
        "operation": "",
        "tensor": "weight" if "weight" in signal or signal == "update" else "",
        "signal": signal,
        "layer_type": "Linear",
        "role": "parameter" if "weight" in signal or signal == "update" else "leaf",
        "depth": 1.0,
        "dtype": "float32",
        "channels": 8,
        "samples": 64,
        "phase": "train",
        "flags": "",
        "second_moment": 1.0,
        "minimum": -3.0,
        "maximum": 3.0,
        "nonfinite_fraction": 0.0,
        "dead_channel_fraction": 0.0,
        "norm_to_weight_ratio": 1e-3,
    }
    return base | changes


def block(step, *rows):
    """Put rows into columns."""
    columns = {name: np.array([each[name] for each in rows], dtype=object) for name in rows[0]}
    numbers = ("depth", "second_moment", "minimum", "maximum", "nonfinite_fraction")
    for name in (*numbers, "dead_channel_fraction", "norm_to_weight_ratio"):
        columns[name] = columns[name].astype(float)
    return columns | {"step": step, "rank": -1, "run": "run", "seed": 0}


@pytest.fixture
def watch():
    """Make a watch that is asked one rule."""

    def make(code, **thresholds):
        return Watch(select=[code], thresholds={code: thresholds} if thresholds else None)

    return make


def show(watch, steps, rates=None):
    """Show a watch rows step by step; give the events."""
    return [
        event
        for number, rows in enumerate(steps)
        for event in watch.look(block(10 * number, *rows), rates or {})
    ]
