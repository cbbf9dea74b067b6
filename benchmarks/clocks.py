"""Clocks: processor time of the whole process, and wall time."""

import time
from collections.abc import Callable
from typing import NamedTuple

import torch


class Reading(NamedTuple):
    """What a clock shows, in seconds."""

    processor: float
    wall: float

    def since(self, start: "Reading") -> "Reading":
        """Return what has passed."""
        return Reading(self.processor - start.processor, self.wall - start.wall)


Clock = Callable[[], Reading]


def processor_clock() -> Reading:
    """Read the time of this process on all its threads, and the wall's."""
    return Reading(time.process_time(), time.perf_counter())


def device_clock() -> Reading:
    """Read the clocks when everything that was sent to the CUDA device is done."""
    torch.cuda.synchronize()
    return processor_clock()


def clock_for(device: str) -> Clock:
    """Choose the clock that sees the work of a device."""
    return device_clock if device == "cuda" else processor_clock
