"""Merge what ranks have read of shares of a batch into what one process reads of all of it."""

import itertools
from collections.abc import Sequence

from sppkit.capture.readings.reading import Reading
from sppkit.capture.tensors.sampling import is_cut
from sppkit.signals import Signal
from sppkit.summary import Array, ChannelSummary, merge_all, packed_size


def merged_summaries(
    readings: Sequence[Reading],
    of_ranks: Sequence[Sequence[ChannelSummary]],
    batches: Sequence[Array],
) -> list[ChannelSummary]:
    """Merge summaries over ranks, position by position.

    A rank's loss L_r is a mean over its own N_r samples; of the loss of the whole batch,

        L = sum_r (N_r / N) L_r,

    the gradients are those of L_r times N_r / N.
    """
    shares = _shares_of_the_loss(readings, of_ranks, batches)
    merged = []
    for position, reading in enumerate(readings):
        parts = [summaries[position] for summaries in of_ranks]
        if reading.point.signal is Signal.GRADIENT:
            of_phase = shares[reading.phase]
            parts = [p.scaled(share) for p, share in zip(parts, of_phase, strict=True)]
        merged.append(merge_all(parts))
    return merged


def _shares_of_the_loss(
    readings: Sequence[Reading],
    of_ranks: Sequence[Sequence[ChannelSummary]],
    batches: Sequence[Array],
) -> dict[str, list[float]]:
    """Give N_r / N of each rank by phase, counted at the gradient nearest to the loss.

    That is the one of the network's own output: of classes, a loss is a mean over samples, of
    tokens or pixels, over these. Without it, the one that came first in the backward pass; where
    of that one only some samples were read, all samples count.
    """
    shares = {}
    for phase in {reading.phase for reading in readings}:
        gradients = [
            i
            for i, reading in enumerate(readings)
            if reading.phase == phase and reading.point.signal is Signal.GRADIENT
        ]
        if gradients:
            nearest = min(gradients, key=lambda i: readings[i].point.place.layer != "")
            counts = [float(s[nearest].count.max(initial=0)) for s in of_ranks]
            if is_cut(readings[nearest].flags):
                counts = [float(of_rank[nearest]) for of_rank in batches]
            shares[phase] = [count / (sum(counts) or 1.0) or 1.0 for count in counts]
    return shares


def unpacked(buffer: Array, readings: Sequence[Reading]) -> list[ChannelSummary]:
    """Take a buffer of packed summaries apart, one for each of the readings."""
    sizes = [packed_size(r.summary.channels, r.summary.extended) for r in readings]
    ends = itertools.accumulate(sizes)
    return [
        ChannelSummary.unpack(buffer[end - size : end], reading.summary.channels)
        for reading, size, end in zip(readings, sizes, ends, strict=True)
    ]
