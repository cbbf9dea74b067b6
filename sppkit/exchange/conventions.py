"""What "squared mean" and "variance" mean: by channel, or as the thesis' code took them.

The code of Dewyse's thesis (Designing Normalizer-Free EfficientNets, 2025, JKU Linz) takes average
channel statistics of pictures (N, C, H, W). Of matrices (N, F) and of weights it takes the second
moment and the variance of all values, which is why its curves jump where a network flattens.
"""

import numpy as np
import pandas as pd

from sppkit.recording import Recording
from sppkit.signals import OF_OUTPUTS, Signal

CHANNELS, DEWYSE = "channels", "dewyse"

CONVENTIONS = (CHANNELS, DEWYSE)

_REMARK = (
    "in the convention of Dewyse's thesis: of matrices and weights, the average channel squared "
    "mean is the second moment, and the average channel variance that of all values"
)
_REPLACED = {
    "average_channel_squared_mean": "second_moment",
    "average_channel_variance": "variance",
}


def require_convention(convention: str) -> None:
    """Refuse a word that is no convention.

    Raises:
        ValueError: it is none.
    """
    if convention not in CONVENTIONS:
        expected = " or ".join(map(repr, CONVENTIONS))
        raise ValueError(f"convention must be {expected}, not {convention!r}")


def in_convention(recording: Recording, convention: str) -> Recording:
    """Give a recording whose average channel statistics follow a convention.

    "dewyse" makes it comparable with what `from_training_log` reads in that convention: outputs
    with one value per sample and channel, and parameters called "weight", have their second moment
    and pooled variance in the two columns. Those that the thesis' code refuses, tokens and other
    outputs whose channels are not the second axis, have NaN there, as have other parameters.
    (Outputs of one-dimensional convolutions, which it refuses too, keep theirs.)

    Args:
        recording: ours, by channel.
        convention: "channels", which changes nothing, or "dewyse".

    Returns:
        A new recording; the one given is left as it is.

    Raises:
        ValueError: the convention is unknown.
    """
    require_convention(convention)
    table, structure = recording.table(), recording.structure()
    metadata = {run: dict(entries) for run, entries in recording.metadata.items()}
    if convention == DEWYSE:
        table = _as_in_the_thesis(table, structure)
        for entries in metadata.values():
            entries["convention"] = DEWYSE
            entries["remarks"] = [*entries.get("remarks", ()), _REMARK]
    return Recording.from_frames(table, structure, metadata)


def _as_in_the_thesis(table: pd.DataFrame, structure: pd.DataFrame) -> pd.DataFrame:
    outputs = table["signal"].isin([signal.value for signal in OF_OUTPUTS])
    is_matrix = outputs & (table["samples"] == table["batch"])
    is_weight = (table["signal"] == Signal.WEIGHT) & table["tensor"].astype("string").str.contains(
        "weight"
    ).fillna(False)
    is_picture = outputs & ~is_matrix & (_channel_axes(table, structure) == 1)
    for name, pooled in _REPLACED.items():
        own = table[name].where(is_picture, np.nan)
        table[name] = own.mask(is_matrix | is_weight, table[pooled])
    return table


def _channel_axes(table: pd.DataFrame, structure: pd.DataFrame) -> pd.Series:
    keys = ["run", "layer", "operation"]
    axes = structure.drop_duplicates(keys).set_index(keys)["channel_axis"]
    wanted = pd.MultiIndex.from_frame(table[keys].astype("object").fillna(""))
    found = axes.reindex(wanted).astype("Float64").fillna(1)
    return pd.Series(found.to_numpy(dtype=float), index=table.index)
