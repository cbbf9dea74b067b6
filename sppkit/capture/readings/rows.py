"""From readings to columns of the table, all rows of a step at once."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import nn

from sppkit.capture.calls.places import Place
from sppkit.capture.planning.plan import Plan
from sppkit.capture.readings.reading import Reading
from sppkit.capture.readings.totals import add_up
from sppkit.capture.tensors.sharding import user_class
from sppkit.signals import OF_OUTPUTS, Role, Signal
from sppkit.statistics import (
    EXTENDED_STATISTICS,
    PAIR_STATISTICS,
    STATISTICS,
    WEIGHT_STATISTICS,
    evaluate_all,
)
from sppkit.summaries import Summaries
from sppkit.summary import Array, ChannelSummary
from sppkit.table import Columns

COMPARED = frozenset({Signal.WEIGHT_GRADIENT, Signal.CLIPPED_WEIGHT_GRADIENT, Signal.UPDATE})
"""What is compared with the weight that it belongs to."""


def columns_of(
    readings: Sequence[Reading],
    model: nn.Module,
    plan: Plan,
    constants: dict[str, Any],
    weights: Mapping[Place, ChannelSummary],
) -> Columns:
    """Make one row per reading.

    Args:
        readings: of one step.
        model, plan: say what the layers are.
        constants: the columns that all rows share.
        weights: what gradients and updates of weights are compared with.
    """
    of_outputs = [i for i, r in enumerate(readings) if r.point.signal in OF_OUTPUTS]
    of_parameters = [i for i, r in enumerate(readings) if r.point.signal not in OF_OUTPUTS]
    columns: Columns = {**constants, **labels_of(readings, model, plan)}
    statistics = StatisticColumns(len(readings))
    if of_outputs:
        statistics.fill(of_outputs, statistics_of_outputs(_side_by_side(readings, of_outputs)))
    if of_parameters:
        found = statistics_of_parameters(_side_by_side(readings, of_parameters))
        statistics.fill(of_parameters, found)
    compared = [i for i in of_parameters if _is_comparable(readings[i], weights)]
    if compared:
        of_weights = add_up(Summaries.of([weights[readings[i].point.place] for i in compared]))
        statistics.fill(compared, comparisons(_side_by_side(readings, compared), of_weights))
    return columns | statistics.columns


Index = Sequence[int] | np.ndarray | slice
"""Positions: a slice where they follow each other, which spares a copy of each column."""


class StatisticColumns:
    """Columns of statistics, NaN where a row has none.

    Args:
        rows: their length.

    Attributes:
        columns: by name.
    """

    def __init__(self, rows: int) -> None:
        self.columns: dict[str, Array] = {}
        self._rows = rows

    def fill(self, positions: Index, found: Mapping[str, Array]) -> None:
        """Write statistics of some rows."""
        for name, values in found.items():
            column = self.columns.get(name)
            if column is None:
                column = self.columns[name] = np.full(self._rows, np.nan)
            column[positions] = values


def statistics_of_outputs(tensors: Summaries) -> dict[str, Array]:
    """Evaluate what every signal has."""
    extended = EXTENDED_STATISTICS if tensors.channels.extended else ()
    return evaluate_all(tensors, (*STATISTICS, *extended))


def statistics_of_parameters(tensors: Summaries) -> dict[str, Array]:
    """Evaluate what parameters have, whose channels are units."""
    return statistics_of_outputs(tensors) | evaluate_all(tensors, WEIGHT_STATISTICS)


def comparisons(tensors: Summaries, weights: Summaries) -> dict[str, Array]:
    """Compare gradients or updates with their weights, one for one."""
    return {statistic.__name__: statistic(tensors, weights) for statistic in PAIR_STATISTICS}


def _side_by_side(readings: Sequence[Reading], positions: Sequence[int]) -> Summaries:
    return add_up(Summaries.of([readings[i].summary for i in positions]))


def _is_comparable(reading: Reading, weights: Mapping[Place, ChannelSummary]) -> bool:
    """Say whether there is a weight to compare with; not so where the layer was replaced since."""
    weight = weights.get(reading.point.place)
    is_compared = reading.point.signal in COMPARED
    return is_compared and weight is not None and weight.channels == reading.summary.channels


def labels_of(readings: Sequence[Reading], model: nn.Module, plan: Plan) -> Columns:
    """Say what each row is of."""
    kinds = {row["layer"]: row["layer_type"] for row in plan.structure if not row["operation"]}
    kinds |= {name: user_class(module).__name__ for name, module in model.named_modules()}
    rows = [_label(reading, plan, kinds) for reading in readings]
    return {name: _column([row[name] for row in rows]) for name in (rows[0] if rows else ())}


def _column(values: list[Any]) -> np.ndarray:
    """Make an array; of numbers that may be missing a float one, where NaN stands for them."""
    if any(isinstance(value, str) for value in values):
        return np.array(values, dtype=object)
    return np.array([np.nan if value is None else value for value in values])


def _label(reading: Reading, plan: Plan, kinds: dict[str, str]) -> dict[str, Any]:
    place, signal = reading.point
    return {
        "phase": reading.phase,
        "layer": place.layer,
        "call": place.call,
        "operation": place.operation,
        "tensor": place.tensor,
        "signal": str(signal),
        "passes": reading.passes,
        "batch": reading.batch,
        "channels": reading.slot.channels,
        "samples": _samples(reading),
        "dtype": str(reading.slot.dtype).removeprefix("torch."),
        "flags": reading.flags,
        **_where(place, signal, plan, kinds),
    }


def _samples(reading: Reading) -> int:
    """Count the values read per channel; of a shard, per channel that this process holds."""
    return int(reading.summary.count.max(initial=0))


def _where(place: Place, signal: Signal, plan: Plan, kinds: dict[str, str]) -> dict[str, Any]:
    info = plan.taps.get(place) if signal in OF_OUTPUTS else None
    return {
        "depth": plan.depths.get((place.layer, place.operation)),
        "layer_type": place.operation.partition("#")[0] or kinds.get(place.layer, ""),
        "role": str(_role(place, signal, plan)),
        "tap": str(info.tap) if info else "",
        "block": info.block if info else None,
        "stage": info.stage if info else None,
    }


def _role(place: Place, signal: Signal, plan: Plan) -> Role:
    if signal not in OF_OUTPUTS:
        return Role.PARAMETER
    if place.operation:
        return Role.OPERATION
    return Role.LEAF if place in plan.leaves else Role.CONTAINER
