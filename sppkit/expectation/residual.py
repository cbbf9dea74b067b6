"""Which ladder describes a residual network, told by its structure.

The topology is read off the structure frame: what the branches end in, what stands before their
last weights, what is added to what.
"""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from sppkit.signals import Signal, Tap
from sppkit.theory import (
    NONLINEARITIES,
    SMALLEST_ALPHA,
    Ladder,
    nonlinearity_gain,
    nonlinearity_moments,
    normalizer_free_ladder,
    postactivation_ladder,
    summed_ladder,
)

_WEIGHTED = frozenset({"conv1d", "conv2d", "conv3d", "linear"})
_SUMS = frozenset({"add", "sub"})
_MOMENTS = ["average_channel_variance", "average_channel_squared_mean"]
_UNIT_GAIN_TOLERANCE = 0.1  # of fan_in x second moment of a standardised weight


def residual_expectation(
    structure: pd.DataFrame, table: pd.DataFrame, metadata: Mapping[str, Any]
) -> Ladder | None:
    """Choose the ladder of one run's residual blocks; None where none describes them."""
    blocks = structure[structure["tap"] == Tap.BLOCK].sort_values("block")
    ends = structure[structure["tap"] == Tap.RESIDUAL_BRANCH].sort_values("block")
    silent = metadata.get("silent_residual_weights") or (
        metadata.get("silent_residual_gains") and not metadata.get("activated")
    )
    one_branch_each = len(ends) == len(blocks) and not blocks["skip_kind"].isna().any()
    if blocks.empty or silent or not one_branch_each or _scales_skip(blocks):
        return None
    depths = _runs_between_projections(list(blocks["skip_kind"]))
    return (
        _post_activation(structure, blocks, ends, depths)
        or _pre_activation(structure, blocks, ends, table)
        or _normalizer_free(structure, blocks, ends, depths, table)
    )


def _scales_skip(blocks: pd.DataFrame) -> bool:
    return bool((blocks["skip_kind"] == "scaled").any())


def _runs_between_projections(kinds: list[str]) -> list[int]:
    """Count the blocks from one projection to the next: a projection starts the ladder anew."""
    depths: list[int] = []
    for position, kind in enumerate(kinds):
        if position == 0 or kind == "projection":
            depths.append(0)
        depths[-1] += 1
    return depths


def _post_activation(
    structure: pd.DataFrame, blocks: pd.DataFrame, ends: pd.DataFrame, depths: list[int]
) -> Ladder | None:
    normalised = (ends["computes"] == "batch_norm").all()
    unit_scale = ends["initialisation"].str.contains(r"weight: constant 1\b").all()
    if not (normalised and unit_scale and (blocks["computes"] == "relu").all()):
        return None
    return _rectified(structure, blocks, depths, alpha=1.0)


def _rectified(
    structure: pd.DataFrame, blocks: pd.DataFrame, depths: list[int], alpha: float
) -> Ladder:
    if blocks["skip_kind"].iloc[0] == "projection":
        return postactivation_ladder(depths, alpha=alpha)
    ladder = postactivation_ladder(depths, first_block="identity", alpha=alpha)
    stem = structure.loc[structure["tap"] == Tap.STEM, "computes"]
    return ladder if (stem == "relu").all() else _unknown_until(ladder, depths[0])


def _unknown_until(ladder: Ladder, blocks: int) -> Ladder:
    """Leave out the first blocks: what enters them (the maxima of a pooling stem) has no ladder."""
    known = np.arange(len(ladder.average_channel_variance)) >= blocks
    return Ladder(
        np.where(known, ladder.average_channel_variance, np.nan),
        np.where(known, ladder.average_channel_squared_mean, np.nan),
        ladder.residual_average_channel_variance,
    )


def _pre_activation(
    structure: pd.DataFrame, blocks: pd.DataFrame, ends: pd.DataFrame, table: pd.DataFrame
) -> Ladder | None:
    """Sum up branches that end in a linear map of something normalised, with their own weights.

    What enters the first block is measured.
    """
    adds = blocks["computes"].isin(_SUMS).all() and (ends["constant"] == 1.0).all()
    stem = table[(table["tap"] == Tap.STEM) & (table["signal"] == Signal.ACTIVATION)]
    if not adds or stem.empty:
        return None
    branches = _maps(structure, Tap.RESIDUAL_BRANCH, table).reindex(ends["block"])
    skip_paths = _maps(structure, Tap.SKIP_PATH, table).reindex(blocks["block"])
    identity = (blocks["skip_kind"] == "identity").to_numpy()
    skip_paths.loc[identity] = (1.0, 0.0, 0.0)
    if branches.isna().any(axis=None) or skip_paths.isna().any(axis=None) or branches["kept"].any():
        return None
    return summed_ladder(
        stem[_MOMENTS].mean().to_numpy(),
        branches[_MOMENTS].to_numpy(),
        kept=skip_paths["kept"].to_numpy(),
        fresh=skip_paths[_MOMENTS].to_numpy(),
    )


def _maps(structure: pd.DataFrame, tap: Tap, table: pd.DataFrame) -> pd.DataFrame:
    """Describe what the last linear map of each path makes of the path's input, by block.

    `kept`: factor of the input's moments, if the map reads the input itself; else the moments of
    the map's output, if it reads something normalised; else NaN.
    """
    rows = structure[structure["tap"] == tap].drop_duplicates("block").set_index("block")
    gains = _weight_gains(rows, table)
    if gains is None:
        return pd.DataFrame(np.nan, rows.index, ["kept", *_MOMENTS])
    seen = pd.DataFrame([_normalised(text) for text in rows["before"]], rows.index, _MOMENTS)
    seen = seen.mul(gains, axis=0).assign(kept=0.0)
    of_the_input = rows["before"] == ""
    seen.loc[of_the_input] = 0.0
    seen["kept"] = gains.where(of_the_input, 0.0)
    return seen[["kept", *_MOMENTS]]


def _normalised(before: str) -> tuple[float, float]:
    """Give variance and squared mean behind `batch_norm` or `batch_norm > nonlinearity`."""
    match = re.search(r"batch_norm(?: > (?P<nonlinearity>\w+))?$", before)
    if match is None or match["nonlinearity"] not in {None, *NONLINEARITIES}:
        return np.nan, np.nan
    moments = nonlinearity_moments(match["nonlinearity"] or "identity")
    return moments.variance, moments.mean**2


def _normalizer_free(
    structure: pd.DataFrame,
    blocks: pd.DataFrame,
    ends: pd.DataFrame,
    depths: list[int],
    table: pd.DataFrame,
) -> Ladder | None:
    normalises = structure["normalised_before"].any() or structure["normalised_after"].any()
    gains = _weight_gains(ends, table, Signal.EFFECTIVE_WEIGHT)
    constants = ends["constant"].unique()
    if normalises or gains is None or len(constants) != 1 or pd.isna(constants[0]):
        return None
    alpha = float(constants[0])
    if ((gains - 1).abs() <= _UNIT_GAIN_TOLERANCE).all():
        return normalizer_free_ladder(depths, alpha=alpha)
    if not _make_good_for_what_is_in_front(structure, ends, gains, table):
        return None
    if (blocks["computes"] == "relu").all() and alpha >= SMALLEST_ALPHA:
        return _rectified(structure, blocks, depths, alpha)
    adds = blocks["computes"].isin(_SUMS).all()
    return normalizer_free_ladder(depths, alpha=alpha) if adds else None


def _make_good_for_what_is_in_front(
    structure: pd.DataFrame, ends: pd.DataFrame, gains: pd.Series, table: pd.DataFrame
) -> bool:
    """Say whether weights hold the gain of the nonlinearity in front, and the stem, of none, 1.

    timm's hold it in the stem too, whose variance no ladder starts from.
    """
    weighted = structure[structure["fan_in"].notna() & structure["depth"].notna()]
    stem = _weight_gains(weighted.sort_values("depth").head(1), table, Signal.EFFECTIVE_WEIGHT)
    last = ends["before"].fillna("").str.rpartition(" > ")[2]
    if stem is None or not last.isin(NONLINEARITIES.keys()).all():
        return False
    expected = last.map(nonlinearity_gain) ** 2
    near = (gains / expected - 1).abs() <= _UNIT_GAIN_TOLERANCE
    return bool(near.all() and ((stem - 1).abs() <= _UNIT_GAIN_TOLERANCE).all())


def _weight_gains(
    ends: pd.DataFrame, table: pd.DataFrame, signal: Signal = Signal.WEIGHT
) -> pd.Series | None:
    """Compute fan_in x mean square of the last weights of each branch; None where one has none."""
    if not ends["computes"].isin(_WEIGHTED).all():
        return None
    weights = table[(table["signal"] == signal) & (table["tensor"] == "weight")]
    squares = weights.groupby(weights["layer"].astype(str))["second_moment"].mean()
    gains = ends["fan_in"].astype(float) * ends["layer"].map(squares).astype(float)
    return None if gains.isna().any() else gains
