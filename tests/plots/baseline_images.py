"""Pictures that were looked at and found good; `python -m tests.plots.baseline_images` draws anew.

What is drawn is a table made by hand, so that no digit depends on torch or on the machine.
"""

from pathlib import Path

import numpy as np
import pandas as pd

import sppkit
from sppkit.recording import STATISTIC_COLUMNS, Recording
from sppkit.table import STRUCTURE_COLUMNS, TABLE_COLUMNS, build_structure

FOLDER = Path(__file__).parent / "images"
RESOLUTION = 60


def residual_network(run="net", blocks=12, seeds=3, steps=1, sick_from=None):
    """Make a recording of a stem, blocks with growing variance in three stages, and their weights.

    Args:
        run: its name.
        blocks, seeds, steps: how many.
        sick_from: the block from which on values are not finite.
    """
    rows = []
    for seed in range(seeds):
        for step in range(steps):
            for block in range(blocks + 1):
                rows += list(_rows(run, seed, step, block, blocks, sick_from))
    table = pd.DataFrame(rows).reindex(columns=[*TABLE_COLUMNS, *STATISTIC_COLUMNS])
    structure = [_structure(run, block) for block in range(blocks + 1)]
    metadata = {run: {"mode": "train", "device": "cpu"}}
    return Recording.from_frames(table.astype(TABLE_COLUMNS), build_structure(structure), metadata)


def _structure(run, block):
    known = {name: "" for name, kind in STRUCTURE_COLUMNS.items() if kind == "string"}
    return known | {
        "run": run,
        "layer": _name(block),
        "layer_type": "Block",
        "role": "leaf",
        "tap": "block" if block else "stem",
        "block": block,
        "depth": block,
        "calls": 1,
        "fan_in": 64,
        "fan_out": 64,
        "groups": 1,
        "channel_axis": 1,
        "parameters": 4096,
    }


def _name(block):
    return f"blocks.{block}" if block else "stem"


def _rows(run, seed, step, block, blocks, sick_from):
    stage = 1 + 3 * max(block - 1, 0) // blocks
    within = max(block - 1, 0) % (blocks // 3)
    variance = (1 + 0.4 * within) * (1 + 0.05 * seed) * (1 + 0.3 * step)
    mean = 1e-3 * 1.9**block * (1 + 0.1 * seed)
    is_sick = sick_from is not None and block >= sick_from
    shared = dict(
        *[{"run": run, "seed": seed, "rank": -1, "step": step, "phase": "train", "depth": block}],
        layer=_name(block),
        call=0,
        operation="",
        tensor="",
        layer_type="Block",
        role="leaf",
        passes=1,
        batch=16,
        channels=64,
        samples=1024,
        dtype="float32",
        flags="",
    )
    places = [("stem" if block == 0 else "block", 1.0)]
    places += [("residual branch", 0.3)] if block else []
    for tap, share in places:
        values = _statistics(share * mean, share * variance, is_sick)
        operation = "" if share == 1.0 else "add#1"
        for signal, scale in (("activation", 1.0), ("gradient", 1e-3 * 0.7 ** (blocks - block))):
            scaled = {name: value * scale for name, value in values.items()}
            row = {**shared, "tap": tap, "block": block, "stage": stage, "signal": signal}
            broken = {"nonfinite_fraction": float(is_sick)}
            yield {**row, "operation": operation, **scaled, **broken}
    weight = {**shared, "tap": "", "role": "parameter", "tensor": "weight"}
    size = np.nan if is_sick else (1.5 + 0.1 * np.sin(block)) / 64
    yield {**weight, "signal": "weight", "second_moment": size, "nonfinite_fraction": 0.0}
    ratio = 1e-2 * 1.3**-block
    yield {**weight, "signal": "weight gradient", "norm_to_weight_ratio": ratio} | {
        "second_moment": size * ratio**2,
        "nonfinite_fraction": 0.0,
    }


def _statistics(squared_mean, variance, is_sick):
    known = {
        "mean": squared_mean**0.5,
        "variance": variance + 0.5 * squared_mean,
        "second_moment": squared_mean + variance,
        "average_channel_squared_mean": squared_mean,
        "average_channel_variance": variance,
        "minimum": -4 * variance**0.5,
        "maximum": 4 * variance**0.5,
    }
    return {name: np.nan if is_sick else value for name, value in known.items()}


FIGURES = {
    "signal-propagation": lambda: sppkit.plot_signal_propagation(residual_network()),
    "signal-propagation-of-two-runs-in-the-dark": lambda: sppkit.plot_signal_propagation(
        residual_network("first", sick_from=9), residual_network("second"), theme="dark"
    ),
    "signal-propagation-in-a-column": lambda: sppkit.plot_signal_propagation(
        residual_network(), gradient=True, width="column"
    ),
    "gradient-flow": lambda: sppkit.plot_gradient_flow(residual_network()),
    "weights-on-a-page": lambda: sppkit.plot_weights(residual_network(), width="page"),
    "over-training": lambda: sppkit.plot_over_training(residual_network(steps=6, sick_from=11)),
    "distribution": lambda: sppkit.plot_distribution_over_training(residual_network(steps=6)),
    "animation": lambda: sppkit.animate(residual_network(steps=6)).show_step(3),
}


def draw(name, folder):
    """Draw one figure into a folder; give the path of the picture."""
    path = Path(folder) / f"{name}.png"
    FIGURES[name]().savefig(path, dpi=RESOLUTION, metadata={"Software": None})
    return path


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for each in FIGURES:
        draw(each, FOLDER)
