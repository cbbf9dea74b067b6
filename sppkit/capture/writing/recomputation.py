"""Pair the outputs that checkpointing computes again with the calls they repeat.

Reentrant activation checkpointing runs a segment first without gradients and again inside the
backward pass; only then do its tensors have a gradient to hook on. Segments come back last first,
the calls within one in their order. How many calls of a layer a segment holds is known when it has
been repeated, which is before the first of its gradients arrives.
"""

from typing import NamedTuple

import torch

from sppkit.capture.calls.places import Place, Point
from sppkit.capture.planning.plan import Pass

_Output = tuple[str, str]  # layer, path of the tensor


class Destination(NamedTuple):
    """Where a gradient is to be written."""

    written: Pass
    point: Point
    axis: int | None


class Segment:
    """One segment being repeated, known by the node of the backward pass that repeats it."""

    def __init__(self, node: object, waiting: dict[_Output, list[Destination]]) -> None:
        self.node = node
        self.counts: dict[_Output, int] = {}
        self._waiting = {output: list(calls) for output, calls in waiting.items()}

    def repeat(self, output: _Output) -> int:
        """Count a call; give its rank in the segment."""
        self.counts[output] = self.counts.get(output, 0) + 1
        return self.counts[output] - 1

    def destination(self, output: _Output, rank: int) -> Destination | None:
        """Find the call of the first run: the last ones of a layer are those of this segment."""
        calls = self._waiting.get(output, [])[-self.counts[output] :]
        return calls[rank] if rank < len(calls) else None


class Recomputations:
    """The calls that ran without gradients and may be repeated."""

    def __init__(self) -> None:
        self._waiting: dict[_Output, list[Destination]] = {}
        self._segment: Segment | None = None

    def add(self, written: Pass, point: Point, axis: int | None) -> None:
        """Remember a call that ran without gradients."""
        output = _output(point.place)
        self._waiting.setdefault(output, []).append(Destination(written, point, axis))

    def segment(self) -> Segment:
        """Give the segment that the backward pass repeats now."""
        node = torch._C._current_autograd_node()
        if self._segment is None or self._segment.node is not node:
            self._forget(self._segment)
            self._segment = Segment(node, self._waiting)
        return self._segment

    def _forget(self, segment: Segment | None) -> None:
        for output, count in segment.counts.items() if segment else ():
            del self._waiting.get(output, [])[-count:]


def _output(place: Place) -> _Output:
    return place.layer, place.tensor
