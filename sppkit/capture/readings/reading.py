"""What one point of one step turned out to be, and how a tensor that no hook shows is read."""

from collections.abc import Mapping
from typing import NamedTuple

import torch

from sppkit.capture.calls.places import Point
from sppkit.capture.planning.plan import Pass
from sppkit.capture.planning.sheets import Slot
from sppkit.capture.tensors.readable import readable
from sppkit.signals import Signal
from sppkit.summary import ChannelSummary


class Reading(NamedTuple):
    """One point of one step, merged over the passes of its phase.

    A shard is what this process holds of a tensor that is spread over several; its summary is of
    the whole tensor and empty where others hold it.

    Attributes:
        phase, point, slot, summary, flags: what was read, and where.
        passes, batch: number of passes that were merged, and of the samples in them.
        in_backward: whether a weight gradient was read while the backward pass ran.
        is_shard: whether it is of a part of the tensor.
    """

    phase: str
    point: Point
    slot: Slot
    summary: ChannelSummary
    flags: str
    passes: int = 0
    batch: int = 0
    in_backward: bool = False
    is_shard: bool = False


def read_parameter(
    written: Pass, point: Point, tensor: torch.Tensor | Exception, axis: int | None
) -> str | None:
    """Read a parameter; give the reason where it cannot be."""
    if isinstance(tensor, Exception):
        return f"computing it failed: {type(tensor).__name__}: {tensor}"
    try:
        found = readable(tensor, axis, of_units=True)
        if isinstance(found, str):
            return found
        written.write(point, found)
    except Exception as error:  # of a tensor of someone else's class; training must go on
        return f"reading it failed: {type(error).__name__}: {error}"
    return None


def with_totals(readings: list[Reading], totals: Mapping[str, tuple[int, int]]) -> list[Reading]:
    """Give the rows of parameters the passes and samples that their gradients are the sum of."""
    return [
        reading
        if reading.point.signal in (Signal.ACTIVATION, Signal.GRADIENT)
        else reading._replace(passes=totals[reading.phase][0], batch=totals[reading.phase][1])
        for reading in readings
    ]


def name_of(point: Point) -> str:
    """Name a place in a message."""
    place = point.place
    return ".".join(part for part in (place.layer, place.operation, place.tensor) if part)
