"""From tables to what a figure shows: selected, placed on the depth axis, aggregated over seeds."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from sppkit.errors import NothingObservedError
from sppkit.recording import Recording, combine
from sppkit.signals import Phase, Role, Signal, Tap

SQUARED_MEAN = "average_channel_squared_mean"
VARIANCE = "average_channel_variance"
RESIDUAL = "residual"

BLOCK = "residual block"
WEIGHTED_LAYER = "weighted layer"
LAYER = "layer"

ROUNDING = 1e-12
"""A squared mean below this share of the second moment is rounding: means carry 1e-6 of the rms."""


def joined(recordings: tuple[Recording, ...]) -> Recording:
    """Put the runs to draw into one recording.

    Raises:
        TypeError: something else than a recording was given.
    """
    for recording in recordings:
        if not isinstance(recording, Recording):
            raise TypeError(
                f"expected recordings, as sppkit.probe, record and read return them, not "
                f"{type(recording).__name__}"
            )
    return recordings[0] if len(recordings) == 1 else combine(recordings)


PHASES = (Phase.PROBE, Phase.TRAIN, Phase.EVAL)
"""Which of several phases of a step is drawn: the first that was recorded."""


def at_step(
    table: pd.DataFrame, step: int | None, phases: Sequence[Phase] = PHASES
) -> pd.DataFrame:
    """Keep one step of each run, its first by default, and the main phase of that step.

    Raises:
        NothingObservedError: the recording is empty.
        ValueError: a run did not record the step.
    """
    if table.empty:
        raise NothingObservedError(
            "the recording is empty: no forward pass was seen, or nothing of it could be read. Run "
            "the model inside `with sppkit.record(model)`; what was not read, and why, is in "
            "recording.not_captured, and sppkit doctor tells it."
        )
    if step is not None and not isinstance(step, int | np.integer):
        raise TypeError(f"step must be one number, not {type(step).__name__}: a figure shows one")
    runs = (rows for _, rows in table.groupby("run", observed=True))
    return pd.concat([_of_run(rows, step, phases) for rows in runs])


def _of_run(table: pd.DataFrame, step: int | None, phases: Sequence[Phase]) -> pd.DataFrame:
    steps = sorted(table["step"].unique())
    if step is not None and step not in steps:
        run = table["run"].iloc[0]
        raise ValueError(f"step {step} was not recorded by {run!r}; recorded are {_listed(steps)}")
    table = table[table["step"] == (steps[0] if step is None else step)]
    recorded = [phase for phase in phases if (table["phase"] == phase).any()]
    return table[table["phase"] == recorded[0]]


def _listed(steps: list[int]) -> str:
    shown = ", ".join(map(str, steps[:8]))
    return shown + (f" ... {steps[-1]}" if len(steps) > 8 else "")


def places_on_axis(table: pd.DataFrame, structure: pd.DataFrame, signal: Signal) -> pd.DataFrame:
    """Place the rows of a signal on the depth axis.

    With residual blocks, stem and blocks stand at their number, and the j-th of k branch ends of
    block i at i - 1 + j/k. Without any, the outputs of the weighted layers (those with a fan-in)
    stand in order of execution, from 1; in a network without weights, those of all layers.

    Returns:
        Rows with the columns `panel`, `x` and `kind` (what x counts) added.
    """
    rows = table[table["signal"] == signal]
    weighted = structure[structure["fan_in"].notna()].groupby("run")["layer"].agg(set)
    parts = [
        _place_run(run_rows, weighted.get(run, set()))
        for run, run_rows in rows.groupby("run", observed=True)
    ]
    placed = pd.concat(parts) if parts else rows.assign(panel="", x=0.0, kind="")
    if placed.empty:
        raise NothingObservedError(
            f"no {signal} was recorded of a residual block or a layer. "
            "Check include/exclude and what recording.not_captured says."
        )
    return placed


def _place_run(rows: pd.DataFrame, weighted: set[str]) -> pd.DataFrame:
    blocks = rows[rows["tap"].isin([Tap.STEM, Tap.BLOCK])]
    if blocks.empty:
        leaves = rows[rows["role"] == Role.LEAF]
        chain = leaves[leaves["layer"].isin(weighted)] if weighted else leaves
        order = chain["depth"].astype(float) + chain["call"] / (1 + chain["call"].max())
        placed = _in_panels(chain.assign(x=order.rank(method="dense")))
        return placed.assign(kind=WEIGHTED_LAYER if weighted else LAYER)
    ends = rows[rows["tap"] == Tap.RESIDUAL_BRANCH].sort_values("depth")
    number = ends.groupby(["seed", "block"]).cumcount() + 1
    count = ends.groupby(["seed", "block"])["depth"].transform("size")
    ends = ends.assign(x=(ends["block"] - 1 + number / count).astype(float), panel=RESIDUAL)
    placed = _in_panels(blocks.assign(x=blocks["block"].astype(float)))
    return pd.concat([placed, ends]).assign(kind=BLOCK)


def _in_panels(rows: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([rows.assign(panel=SQUARED_MEAN), rows.assign(panel=VARIANCE)])


def curves(placed: pd.DataFrame) -> pd.DataFrame:
    """Aggregate over seeds: one row per run, panel and place.

    Returns:
        Columns run, panel, x, mean, low, high (10 and 90 % over seeds), layer, operation, stage,
        stage_end, kind. The mean is arithmetic, as expectations are; NaN where any seed is.
    """
    squared = placed[SQUARED_MEAN].where(
        ~(placed[SQUARED_MEAN] < ROUNDING * placed["second_moment"]), 0.0
    )
    value = placed[VARIANCE].where(placed["panel"] != SQUARED_MEAN, squared)
    placed = placed.assign(value=value)
    groups = placed.groupby(["run", "panel", "x"], observed=True, sort=True)
    named = groups[["layer", "operation", "stage", "kind"]].first()
    frame = over_seeds(groups["value"]).join(named).reset_index()
    following = frame.groupby(["run", "panel"], observed=True)["stage"].shift(-1)
    ends_stage = (following != frame["stage"]).fillna(True).astype(bool)
    frame["stage_end"] = ends_stage & (frame["kind"] == BLOCK) & (frame["stage"].fillna(0) > 0)
    return frame


def over_seeds(groups: Any) -> pd.DataFrame:
    """Aggregate grouped values: columns mean, low and high (10 and 90 %).

    The mean is arithmetic, NaN where any value is.
    """
    mean = groups.mean().where(groups.count() == groups.size())
    return pd.DataFrame({"mean": mean, "low": groups.quantile(0.1), "high": groups.quantile(0.9)})
