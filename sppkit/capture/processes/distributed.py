"""Recording in many processes: the readings of all ranks become those of one large batch.

At the end of a recorded step the ranks compare, in one small exchange of a fixed size, what they
have read. What all of them read alike is merged on the first rank, with one collective on one
packed buffer. What they did not read alike (a branch that one rank skipped, another stage of a
pipeline, a rank that has left) stays on the rank that read it, tagged with its number.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch.distributed as dist
from torch import nn

from sppkit.capture.processes.side_group import ApartError, MeetingPoint, SideGroup, is_supported
from sppkit.capture.readings.reading import Reading
from sppkit.capture.tensors.sampling import is_cut, of_each_process
from sppkit.capture.tensors.sharding import Spread, fingerprint
from sppkit.signals import OF_OUTPUTS, Signal
from sppkit.summary import Array, ChannelSummary, merge_all, packed_size

ALL_RANKS = -1
"""The rank of rows that are merged, or read of what all ranks hold alike."""

_NAMED = 6
_GRADIENT_OF = "the mean of the ranks' losses, weighted by their samples"


@dataclass(frozen=True)
class Message:
    """What one rank says at the end of a step, in full.

    Attributes:
        run: name of the run.
        step: optimiser steps taken.
        replica: describes the weights of a model that no wrapper keeps synchronised.
        entries: describes each reading, in order; equal entries of all ranks are merged.
    """

    run: str
    step: int
    replica: Any
    entries: list[list[Any]]

    def encode(self) -> bytes:
        """Write it as bytes, equal for equal messages."""
        return json.dumps([self.run, self.step, self.replica, self.entries]).encode()

    @classmethod
    def decode(cls, text: bytes) -> Message:
        """Read what `encode` wrote."""
        return cls(*json.loads(text))


@dataclass(frozen=True)
class Header:
    """What one rank says at the end of a step, in few numbers.

    Attributes:
        length: of the encoded message.
        is_last: whether the rank ends its recording here.
        digest: of the message.
    """

    length: int
    is_last: bool
    digest: tuple[int, ...]

    @classmethod
    def of(cls, text: bytes, is_last: bool) -> Header:
        """Make the header of an encoded message."""
        digest = np.frombuffer(hashlib.sha256(text).digest(), dtype=np.int64)
        return cls(len(text), is_last, tuple(digest.tolist()))

    def numbers(self) -> np.ndarray:
        """Write it as integers."""
        return np.array([self.length, self.is_last, *self.digest], dtype=np.int64)

    @classmethod
    def from_numbers(cls, numbers: np.ndarray) -> Header:
        """Read what `numbers` wrote."""
        length, is_last, *digest = numbers.tolist()
        return cls(length, bool(is_last), tuple(digest))


@dataclass(frozen=True)
class Agreement:
    """What the ranks found when they compared their messages.

    Attributes:
        common: positions of this rank's readings that all ranks have alike.
        reason: why there are others.
        is_over: whether a rank ends its recording here.
    """

    common: Sequence[int] = ()
    reason: str = ""
    is_over: bool = False


class Ranks:
    """This rank among those that record the same model.

    Args:
        spread: how the model is spread over them; two members at least.
        model: the user's own module.
        run: name of the run; recordings of different names are not merged.

    Attributes:
        rank: the number of this process.
        remarks: what was not merged, and what merged rows mean, in sentences.
    """

    def __init__(self, spread: Spread, model: nn.Module, run: str) -> None:
        self.rank = dist.get_rank()
        self.remarks: list[str] = list(_remarks_on(model))
        self._spread = spread
        self._model = model
        self._run = run
        self._index = spread.members.index(self.rank)
        self._group: SideGroup | None = None
        self._point = _meeting_point(spread.members)
        self._steps = Counter[str]()
        self._said: set[str] = set()
        self._is_over = False  # the group is kept: closing it would cut off who still receives

    def share(
        self, readings: Sequence[Reading], step: int, *, is_last: bool = False
    ) -> list[tuple[int, list[Reading]]]:
        """End a step together with the other ranks.

        Args:
            readings: of this rank; there may be none.
            step: its number.
            is_last: whether this rank ends its recording here.

        Returns:
            Readings with the rank that their rows carry: merged ones, on the first rank only, and
            those of this rank alone.
        """
        agreement, merged = Agreement(), list[Reading]()
        try:
            if (group := self._connected()) and not self._is_over:
                agreement = self._agree(group, readings, step, is_last)
                merged = self._merged(group, [readings[i] for i in agreement.common])
                self._is_over = agreement.is_over
        except ApartError as error:
            agreement, merged = Agreement(reason=str(error)), []
            self._group = None
        shared = set(agreement.common)
        alone = [_of_one_rank(r) for i, r in enumerate(readings) if i not in shared]
        if alone:
            self._remark(agreement.reason, step)
        if agreement.is_over and not is_last:
            self._remark("a rank has ended its recording", step + 1)
        self._steps["merged"] += bool(agreement.common)
        self._steps["alone"] += bool(alone)
        return [(ALL_RANKS, merged), (self.rank, alone)]

    @property
    def is_first(self) -> bool:
        """Whether this rank holds the merged rows."""
        return self._index == 0

    def leave(self) -> None:
        """Leave because of an exception: the others are told and do not wait."""
        if self._point:
            try:
                self._point.stay_away()
            except RuntimeError:  # the store has gone with the process that held it
                self.remarks.append("the other ranks could not be told that this one left")
        self._point = self._group = None  # closing the connections wakes up those who wait

    def describe(self) -> dict[str, Any]:
        """Describe the ranks for the metadata of the run."""
        return {
            "rank": self.rank,
            "ranks": list(self._spread.members),
            "merged_steps": self._steps["merged"],
            "steps_with_rows_of_single_ranks": self._steps["alone"],
            "gradients_of": _GRADIENT_OF,
        }

    def _connected(self) -> SideGroup | None:
        """Meet the others when the first step ends; None once they are apart."""
        if self._point:
            point, self._point = self._point, None
            self._group = point.meet(self._index)
        return self._group

    def _remark(self, reason: str, step: int) -> None:
        """Say once from which step on, and why, rows stay with single ranks."""
        if reason and reason not in self._said:
            self._said.add(reason)
            self.remarks.append(f"rows of single ranks from step {step} on: {reason}")

    # The exchange.

    def _agree(
        self, group: SideGroup, readings: Sequence[Reading], step: int, is_last: bool
    ) -> Agreement:
        """Find the readings that all ranks have alike, in the same order on all of them."""
        text = self._message(readings, step).encode()
        header = Header.of(text, is_last)
        headers = [Header.from_numbers(n) for n in group.all_gather(header.numbers())]
        common, reason = list(range(len(readings))), self._spread.apart
        if len({other.digest for other in headers}) > 1:
            messages = _exchange_messages(group, text, headers)
            common = common_entries(messages, self._index)
            reason = reason or difference(messages)
        may_merge = [i for i in common if not self._is_apart(readings[i])]
        return Agreement(may_merge, reason, any(other.is_last for other in headers))

    def _message(self, readings: Sequence[Reading], step: int) -> Message:
        is_known = self._spread.is_synchronised or not readings
        replica = None if is_known else fingerprint(self._model)
        return Message(self._run, step, replica, [_entry(reading) for reading in readings])

    def _is_apart(self, reading: Reading) -> bool:
        return bool(self._spread.apart) and reading.point.signal in OF_OUTPUTS

    def _merged(self, group: SideGroup, readings: Sequence[Reading]) -> list[Reading]:
        """Merge the readings that all ranks have alike; give them to the first rank.

        What every rank holds whole is equal on all of them and needs no transport.
        """
        parts = [reading for reading in readings if _is_part(reading)]
        if not parts:
            return list(readings) if group.index == 0 else []
        batches = np.array([reading.batch for reading in parts], dtype=float)
        packed = [reading.summary.pack() for reading in parts]
        buffers = group.gather(np.concatenate([batches, *packed]))
        if not buffers:
            return []
        of_ranks = [_unpacked(buffer[len(parts) :], parts) for buffer in buffers]
        of_samples = [buffer[: len(parts)] for buffer in buffers]
        summaries = iter(merged_summaries(parts, of_ranks, of_samples))
        samples = {
            reading.phase: int(sum(buffer[position] for buffer in buffers))
            for position, reading in enumerate(parts)
        }
        return [
            r._replace(
                summary=next(summaries) if _is_part(r) else r.summary,
                batch=samples.get(r.phase, r.batch),
                flags=of_each_process(r.flags),
            )
            for r in readings
        ]


def path_on_this_rank(path: str | os.PathLike[str], rank: int) -> Path:
    """Name the file of a rank: the first one writes the path itself.

    >>> path_on_this_rank("run.parquet", 0).name, path_on_this_rank("run.parquet", 3).name
    ('run.parquet', 'run.rank3.parquet')
    """
    target = Path(path)
    return target.with_name(f"{target.stem}.rank{rank}{target.suffix}") if rank else target


def common_entries(messages: Sequence[Message], index: int) -> list[int]:
    """Find the entries that all messages hold, in the order of the first message.

    Returns:
        Their positions in the message of rank `index`.
    """
    if _are_unequal((m.run, m.step, m.replica) for m in messages):
        return []
    positions = [{json.dumps(e): i for i, e in enumerate(m.entries)} for m in messages]
    shared = [entry for entry in positions[0] if all(entry in other for other in positions)]
    return [positions[index][entry] for entry in shared]


def difference(messages: Sequence[Message]) -> str:
    """Say in what the messages of the ranks differ."""
    if not all(message.entries for message in messages):
        return "a rank recorded nothing in the step"
    if _are_unequal(message.run for message in messages):
        return "the ranks record under different names of the run"
    if _are_unequal(message.step for message in messages):
        return "the ranks were not at the same step"
    if _are_unequal(message.replica for message in messages):
        return "the ranks hold different weights, which is not data parallelism"
    counts = Counter(json.dumps(entry) for message in messages for entry in message.entries)
    odd = [json.loads(entry) for entry, count in counts.items() if count < len(messages)]
    names = dict.fromkeys(f"{signal} of {layer!r}" for _, layer, _, _, _, signal, *_ in odd)
    return f"not alike on all ranks: {', '.join(list(names)[:_NAMED])}" + (
        f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    )


def _are_unequal(values: Iterable[Any]) -> bool:
    return len({json.dumps(value) for value in values}) > 1


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


def _exchange_messages(group: SideGroup, text: bytes, headers: Sequence[Header]) -> list[Message]:
    """Give every rank all messages in full, where the headers tell that they differ."""
    padded = np.zeros(max(header.length for header in headers), dtype=np.uint8)
    padded[: len(text)] = np.frombuffer(text, dtype=np.uint8)
    received = group.all_gather(padded)
    return [
        Message.decode(part[: header.length].tobytes())
        for part, header in zip(received, headers, strict=True)
    ]


def _entry(reading: Reading) -> list[Any]:
    """Describe a reading; equal descriptions on all ranks mean that their summaries merge."""
    place, signal = reading.point
    slot = reading.slot
    same = "" if _is_part(reading) else hashlib.sha256(reading.summary.pack().tobytes()).hexdigest()
    return [
        *(reading.phase, *place, str(signal), of_each_process(reading.flags)),
        *(slot.channels, slot.axis, str(slot.dtype), reading.summary.extended, same),
    ]


def _is_part(reading: Reading) -> bool:
    """Say whether other ranks hold other values of the same tensor."""
    return reading.is_shard or reading.point.signal in OF_OUTPUTS


def _of_one_rank(reading: Reading) -> Reading:
    """Mark a reading that is of a part of a tensor, where the other parts are missing."""
    return reading._replace(flags="shard") if reading.is_shard else reading


def _unpacked(buffer: Array, readings: Sequence[Reading]) -> list[ChannelSummary]:
    sizes = [packed_size(r.summary.channels, r.summary.extended) for r in readings]
    ends = itertools.accumulate(sizes)
    return [
        ChannelSummary.unpack(buffer[end - size : end], reading.summary.channels)
        for reading, size, end in zip(readings, sizes, ends, strict=True)
    ]


def _meeting_point(members: tuple[int, ...]) -> MeetingPoint | None:
    if not is_supported():
        return None
    return MeetingPoint(dist.distributed_c10d._get_default_store(), members)


def _remarks_on(model: nn.Module) -> Iterator[str]:
    kind = nn.modules.batchnorm._BatchNorm
    own = [
        m for m in model.modules() if isinstance(m, kind) and not isinstance(m, nn.SyncBatchNorm)
    ]
    if own:
        yield (
            f"{len(own)} batch normalisations use the statistics of each rank's own batch: what "
            "is merged behind them differs from one large batch, except with nn.SyncBatchNorm"
        )
    yield (
        "weight gradients are those of the end of the step, averaged over the ranks: clipping, if "
        "any, is in them"
    )
    if not is_supported():
        yield "rows stay with single ranks: this torch has no gloo backend to merge them"
