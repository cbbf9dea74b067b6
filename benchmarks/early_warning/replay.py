"""What the early warning would have said of a recorded training, read from its tables."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch

import sppkit
from benchmarks.early_warning.catalogue import BATCH_SIZE, STEPS_PER_EPOCH, Case
from benchmarks.early_warning.recordings import folder_of
from sppkit.early_warning.event import Event
from sppkit.early_warning.moment import Rate
from sppkit.early_warning.rates import Rates
from sppkit.early_warning.watch import Watch
from sppkit.training.optimizers import prepare_training

_LABELS = ("layer", "call", "operation", "tensor", "signal", "flags", "phase")


def replay(
    case: Case, *, every: int, thresholds: Mapping[str, Mapping[str, float]] | None = None
) -> list[Event]:
    """Show a fresh watch the recorded steps of a training whose number `every` divides."""
    watch = Watch(thresholds=thresholds)
    rates = _rates(case)
    table = sppkit.read(folder_of(case).path).table()
    return [
        event
        for columns in _blocks(table[table["step"] % every == 0])
        for event in watch.look(columns, rates[int(columns["step"])])
    ]


def _blocks(table: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Give the rows of each step as a recorder does; equal labels are the same arrays."""
    known: dict[str, np.ndarray] = {}
    words = [name for name in table.columns if isinstance(table[name].dtype, pd.CategoricalDtype)]
    table = table.astype(dict.fromkeys(words, object)).fillna({"flags": "", "depth": np.nan})
    for step, rows in table.groupby("step", sort=True):
        columns: dict[str, Any] = {name: rows[name].to_numpy() for name in rows.columns}
        columns["depth"] = rows["depth"].to_numpy(float, na_value=np.nan)
        labels = {name: columns[name] for name in _LABELS}
        if known and all(np.array_equal(known[name], labels[name]) for name in _LABELS):
            columns |= known
        known = {name: columns[name] for name in _LABELS}
        yield columns | {"step": step, "rank": int(rows["rank"].iloc[0])}


def _rates(case: Case) -> list[Mapping[str, Rate]]:
    """Give the rates of all steps: those of the groups, times what the schedule had come to."""
    with torch.random.fork_rng():
        model = case.build()
    training = prepare_training(
        case.recipe, model, steps_per_epoch=STEPS_PER_EPOCH, batch_size=BATCH_SIZE
    )
    groups = training.optimizer.param_groups
    for group in groups:
        group["lr"] = group["initial_lr"]
    highest = Rates(model, training.optimizer).now()
    metrics = folder_of(case).metrics()
    trained = metrics[metrics["phase"] == "train"]["learning_rate"].to_numpy(float)
    return [
        {name: Rate(each.rate * factor, each.is_normalised) for name, each in highest.items()}
        for factor in trained / groups[0]["initial_lr"]
    ]
