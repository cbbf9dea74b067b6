"""Steps that look like an earlier one: their rows are made without a look at each reading.

The readings of a step say which rows there are and what they are of. Where a later step has written
the same points in the same passes, only the numbers differ, and these are evaluated page by page.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from typing import NamedTuple

import numpy as np
from torch import nn

from sppkit.capture.planning.plan import Pass, Plan
from sppkit.capture.planning.sheets import Page, SheetKey, Slot
from sppkit.capture.readings.reading import Reading
from sppkit.capture.readings.rows import (
    COMPARED,
    StatisticColumns,
    comparisons,
    labels_of,
    statistics_of_outputs,
    statistics_of_parameters,
)
from sppkit.capture.readings.totals import add_up
from sppkit.signals import OF_OUTPUTS, Signal
from sppkit.summaries import Selection, Summaries
from sppkit.summary import ChannelSummary
from sppkit.table import Columns

PhasePages = Mapping[tuple[str, SheetKey], Sequence[Page]]
"""The pages of a step that are merged: of one sheet and one phase."""


class _Part(NamedTuple):
    """Rows whose numbers come from one page.

    Attributes:
        positions: of the rows.
        numbers: of the points on the page, for each of them.
        compared: positions among the rows of what is compared with weights.
        gradients, weights: they and these weights on the page.
    """

    positions: np.ndarray | slice
    numbers: np.ndarray | slice
    compared: np.ndarray | slice
    gradients: Selection
    weights: Selection


class Recipe:
    """How the pages of a step become rows.

    Args:
        readings: of a step; each one read from a page, or an alias of one.
        model, plan: say what the layers are.
    """

    def __init__(self, readings: Sequence[Reading], model: nn.Module, plan: Plan) -> None:
        self._labels = labels_of(readings, model, plan)
        self._rows = len(readings)
        positions: dict[tuple[str, SheetKey], list[int]] = {}
        for position, reading in enumerate(readings):
            key = SheetKey(reading.slot.device, reading.point.signal not in OF_OUTPUTS)
            positions.setdefault((reading.phase, key), []).append(position)
        self._parts = {key: _part(readings, found) for key, found in positions.items()}

    def columns(self, pages: PhasePages) -> Columns:
        """Make the rows of a step."""
        statistics = StatisticColumns(self._rows)
        for key, part in self._parts.items():
            tensors = merged(pages[key])
            of_parameters = key[1].is_of_parameter
            evaluate = statistics_of_parameters if of_parameters else statistics_of_outputs
            found = evaluate(tensors)
            found["samples"] = tensors.samples
            statistics.fill(part.positions, {n: v[part.numbers] for n, v in found.items()})
            if part.gradients.numbers.size:
                gradients, weights = tensors.take(part.gradients), tensors.take(part.weights)
                statistics.fill(part.compared, comparisons(gradients, weights))
        return {**self._labels, **statistics.columns}


def merged(pages: Sequence[Page]) -> Summaries:
    """Merge pages of one sheet that hold the same points; what was not written is arbitrary."""
    rows, histograms = pages[0].on_host()
    if len(pages) == 1:
        return add_up(Summaries(ChannelSummary.of_rows(rows, histograms), pages[0].sizes), rows)
    with np.errstate(all="ignore"):
        each = (ChannelSummary.of_rows(*page.on_host()) for page in pages)
        return add_up(Summaries(reduce(ChannelSummary.merge, each), pages[0].sizes))


def pages_by_phase(
    passes: Iterable[Pass], parameters: Pass
) -> dict[tuple[str, SheetKey], list[Page]]:
    """Collect the pages of a step."""
    found: dict[tuple[str, SheetKey], list[Page]] = {}
    for written in (*passes, parameters):
        for device, page in written.pages.items():
            key = SheetKey(device, written is parameters)
            found.setdefault((written.phase, key), []).append(page)
    return found


def _part(readings: Sequence[Reading], positions: Sequence[int]) -> _Part:
    weights = {
        readings[i].point.place: readings[i].slot
        for i in positions
        if readings[i].point.signal is Signal.WEIGHT
    }
    compared = [
        i
        for i in positions
        if readings[i].point.signal in COMPARED
        and (weight := weights.get(readings[i].point.place))
        and weight.channels == readings[i].slot.channels
    ]
    slots = [readings[i].slot for i in compared]
    return _Part(
        _index(positions),
        _index([readings[i].slot.number for i in positions]),
        _index(compared),
        _selection(slots),
        _selection([weights[readings[i].point.place] for i in compared]),
    )


def _selection(slots: Sequence[Slot]) -> Selection:
    return Selection.of(
        [slot.number for slot in slots],
        [slot.offset for slot in slots],
        [slot.channels for slot in slots],
    )


def _index(positions: Sequence[int]) -> np.ndarray | slice:
    index = np.array(positions, dtype=np.int64)
    if len(index) and (np.diff(index) == 1).all():
        return slice(int(index[0]), int(index[-1]) + 1)
    return index
