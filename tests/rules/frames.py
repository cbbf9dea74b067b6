"""Recordings made by hand: what a rule would be shown of a network with these numbers."""

from dataclasses import dataclass, field

from sppkit.recording import Recording

UNITS = 32
BATCH = 16


@dataclass
class Layer:
    """A fully connected layer of 32 units, and what was measured at it.

    Statistics that are not given are those of He's initialisation with ReLU.
    """

    name: str
    second_moment: float = 2.0
    variance: float = 1.0
    gradient: float = 1e-4
    weight: float = 2.0 / UNITS
    weight_gradient: float | None = 1e-4
    activation: dict = field(default_factory=dict)
    weights: dict = field(default_factory=dict)
    structure: dict = field(default_factory=dict)


def chain(count, **every):
    """Layers named "0", "1", ..., alike."""
    return [Layer(str(number), **every) for number in range(count)]


def recording(layers, *, seeds=3, spread=0.0, loss=True, metadata=None):
    """Make the recording of a check: probe and loss, with a spread between seeds (decades)."""
    rows, structure = [], []
    layers[-1].structure.setdefault("nonlinearity", None)  # logits
    for depth, layer in enumerate(layers):
        structure.append(_structure(layer, depth))
        for seed in range(seeds):
            factor = 10 ** (spread * (seed - (seeds - 1) / 2))
            rows += _rows(layer, depth, seed, factor, loss)
    head = layers[-1]
    stated = {
        "mode": "train",
        "loss": {"kind": "cross-entropy", "chance": 2.3, "values": {}} if loss else "unit-gradient",
        "output": {
            str(seed): {
                "second_moment": head.second_moment,
                "variance_across_samples": head.variance,
            }
            for seed in range(seeds)
        },
        **(metadata or {}),
    }
    return Recording(rows, structure, {"net": stated})


def _structure(layer, depth):
    return {
        "run": "net",
        "layer": layer.name,
        "operation": "",
        "layer_type": "Linear",
        "file": "net.py",
        "line": 7,
        "depth": depth,
        "role": "leaf",
        "tap": "",
        "calls": 1,
        "fan_in": UNITS,
        "fan_out": UNITS,
        "groups": 1,
        "computes": "linear",
        "before": "relu" if depth else "",
        "after": "relu",
        "nonlinearity": "relu",
        "normalised_before": False,
        "normalised_after": False,
        "parameters": UNITS * UNITS,
        **layer.structure,
    }


def _rows(layer, depth, seed, factor, loss):
    common = {
        "run": "net", "seed": seed, "rank": -1, "step": 0, "depth": depth, "layer": layer.name,
        "call": 0, "operation": "", "layer_type": layer.structure.get("layer_type", "Linear"),
        "tap": layer.structure.get("tap", ""), "block": layer.structure.get("block"),
        "passes": 1, "batch": BATCH, "dtype": "float32", "flags": "", "nonfinite_fraction": 0.0,
        "tensor": "",
    }  # fmt: skip
    values = {"channels": UNITS, "samples": BATCH, "role": layer.structure.get("role", "leaf")}
    weights = {"channels": UNITS, "samples": UNITS, "role": "parameter", "tensor": "weight"}
    activation = {
        "mean": 0.0,
        "variance": layer.second_moment * factor,
        "second_moment": layer.second_moment * factor,
        "average_channel_variance": layer.variance * factor,
        "average_channel_squared_mean": (layer.second_moment - layer.variance) * factor,
        "minimum": -3.0,
        "maximum": 3.0,
        "dead_channel_fraction": 0.0,
        "zero_fraction": 0.0,
        "kurtosis": 3.0,
    }
    found = [
        values | {"phase": "probe", "signal": "activation", **activation, **layer.activation},
        {"phase": "probe", "signal": "gradient", "second_moment": layer.gradient} | values,
    ]
    if layer.weight is not None:
        deviation = layer.weight**0.5
        stored = {
            "second_moment": layer.weight,
            "minimum": -3 * deviation,
            "maximum": 3 * deviation,
            "average_channel_squared_mean": layer.weight / UNITS,
        }
        found.append({"phase": "probe", "signal": "weight", **stored, **layer.weights} | weights)
    if loss and layer.weight is not None and layer.weight_gradient is not None:
        gradient = {
            "second_moment": layer.weight_gradient**2,
            "norm_to_weight_ratio": layer.weight_gradient / max(layer.weight, 1e-30) ** 0.5,
        }
        found.append({"phase": "loss", "signal": "weight gradient", **gradient} | weights)
    return [common | row for row in found]
