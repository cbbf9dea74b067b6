"""Bring gradients back to the loss that the user wrote, where a scaler multiplied it."""

import math
from dataclasses import replace

import numpy as np

from sppkit.capture.readings.reading import Reading
from sppkit.signals import Signal
from sppkit.summary import ChannelSummary

_SAME = 1e-6


def unscaled(readings: list[Reading], scale: float, has_unscaled: bool) -> list[Reading]:
    """Divide gradients by the scale that the loss of their backward pass had.

    Gradients that were read during the backward pass carry the scale; weight gradients that were
    read at the end of the step carry it unless the scaler has already divided them. Unscaling is
    itself a change of the gradient: a "clipped" gradient that equals the unscaled one is none.

    Args:
        readings: of one step.
        scale: of the loss. Each skipped step halves it, so that it is 0 in the end; then no
            gradient can be brought back, and none of their values is finite, as after torch's own
            division.
        has_unscaled: whether the scaler has divided the weight gradients.
    """
    kept: list[Reading] = []
    raw: dict[tuple[str, object], ChannelSummary] = {}
    for reading in readings:
        carries = _carries_scale(reading, has_unscaled)
        summary = _divided(reading.summary, scale) if carries else reading.summary
        if reading.point.signal is Signal.WEIGHT_GRADIENT:
            raw[reading.phase, reading.point.place] = summary
        kept.append(reading._replace(summary=summary))
    return [r for r in kept if not _is_unclipped(r, raw.get((r.phase, r.point.place)))]


def _divided(summary: ChannelSummary, scale: float) -> ChannelSummary:
    if 0 < scale < math.inf:
        return summary.scaled(1.0 / scale)
    lost = ChannelSummary.empty(summary.channels, extended=summary.extended)
    undefined = {
        name: np.where(summary.count > 0, np.nan, 0.0)
        for name in ("mean", "m2", "absolute_sum", "m3", "m4")
        if getattr(lost, name) is not None
    }
    return replace(lost, count=summary.count, nonfinite=summary.count, **undefined)


def _carries_scale(reading: Reading, has_unscaled: bool) -> bool:
    signal = reading.point.signal
    if signal is Signal.GRADIENT:
        return True
    if signal is Signal.WEIGHT_GRADIENT:
        return reading.in_backward or not has_unscaled
    return signal is Signal.CLIPPED_WEIGHT_GRADIENT and not has_unscaled


def _is_unclipped(reading: Reading, raw: ChannelSummary | None) -> bool:
    if reading.point.signal is not Signal.CLIPPED_WEIGHT_GRADIENT or raw is None:
        return False
    pairs = ((reading.summary.m2, raw.m2), (reading.summary.mean, raw.mean))
    return all(np.allclose(a, b, rtol=_SAME, atol=0, equal_nan=True) for a, b in pairs)
