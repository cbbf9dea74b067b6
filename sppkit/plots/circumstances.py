"""What a footer says: under which circumstances the runs of a figure were measured."""

from collections.abc import Mapping
from typing import Any

import pandas as pd


def steps_shown(table: pd.DataFrame) -> dict[str, str]:
    """State which step of a training run is shown, and how many samples it had."""
    rows = table[(table["phase"] != "probe") & (table["signal"] == "activation")]
    shown = rows.groupby("run", observed=True).agg(
        step=("step", "first"), phase=("phase", "first"), batch=("batch", "max")
    )
    return {
        str(run): ", ".join(
            [f"step {row['step']}", f"{row['phase']} pass"]
            + ([f"batch {row['batch']}"] if row["batch"] else [])  # an import may not know it
        )
        for run, row in shown.iterrows()
    }


def footer(metadata: Mapping[str, Mapping[str, Any]], steps: Mapping[str, str]) -> str:
    """State the circumstances of the runs: what they share once, what differs by run."""
    stated = {run: _circumstances(entry) for run, entry in metadata.items()}
    for run, step in steps.items():
        stated[run].insert(0, step)
    first = next(iter(stated.values()), [])
    common = [part for part in first if all(part in parts for parts in stated.values())]
    lines = [" · ".join(common)] if common else []
    for run, parts in stated.items():
        own = [part for part in parts if part not in common]
        lines += [f"{run}: {' · '.join(own)}"] if own else []
    return "\n".join(lines)


def _circumstances(metadata: Mapping[str, Any]) -> list[str]:
    if "imported_from" in metadata:
        return [f"imported from {metadata['imported_from']}"]
    parts = []
    if "input" in metadata:
        shapes = " and ".join("x".join(map(str, s[1:])) for s in metadata["input_shapes"])
        parts.append(str(metadata["input"]))
        parts += [f"size {shapes}"] if shapes else []
        parts.append(f"batch {metadata['batch_size']}")
        seeds = len(metadata["seeds"])
        shared = ", same weights" if metadata["weights"].startswith("the same") else ""
        parts.append(f"{seeds} seed{'s' if seeds != 1 else ''}{shared if seeds > 1 else ''}")
    parts.append(f"{metadata.get('mode', 'train')} mode")
    parts.append(str(metadata.get("device", "cpu")))
    if metadata.get("amp", "off") != "off":
        parts.append(f"autocast {metadata['amp']}")
    if gains := metadata.get("silent_residual_gains"):
        count = f"{len(gains)} residual gain{'s' * (len(gains) > 1)}"
        silent = "at zero" if "input" in metadata else "at zero at the start"  # of a training
        done = "set from zero to one" if metadata.get("activated") else silent
        parts.append(f"{count} {done}")
    return parts
