"""Recording in many processes: the readings of all ranks become those of one large batch.

At the end of a recorded step the ranks compare, in one small exchange of a fixed size, what they
have read. What all of them read alike is merged on the first rank, with one collective on one
packed buffer. What they did not read alike (a branch that one rank skipped, another stage of a
pipeline, a rank that has left) stays on the rank that read it, tagged with its number.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch.distributed as dist
from torch import nn

from sppkit.capture.processes.large_batch import merged_summaries, unpacked
from sppkit.capture.processes.messages import (
    Header,
    Message,
    common_entries,
    difference,
    entry_of,
    exchange_messages,
    is_part,
)
from sppkit.capture.processes.side_group import ApartError, MeetingPoint, SideGroup, is_supported
from sppkit.capture.readings.reading import Reading
from sppkit.capture.tensors.sampling import of_each_process
from sppkit.capture.tensors.sharding import Spread, fingerprint
from sppkit.signals import OF_OUTPUTS

ALL_RANKS = -1
"""The rank of rows that are merged, or read of what all ranks hold alike."""

_GRADIENT_OF = "the mean of the ranks' losses, weighted by their samples"


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
            messages = exchange_messages(group, text, headers)
            common = common_entries(messages, self._index)
            reason = reason or difference(messages)
        may_merge = [i for i in common if not self._is_apart(readings[i])]
        return Agreement(may_merge, reason, any(other.is_last for other in headers))

    def _message(self, readings: Sequence[Reading], step: int) -> Message:
        is_known = self._spread.is_synchronised or not readings
        replica = None if is_known else fingerprint(self._model)
        return Message(self._run, step, replica, [entry_of(reading) for reading in readings])

    def _is_apart(self, reading: Reading) -> bool:
        return bool(self._spread.apart) and reading.point.signal in OF_OUTPUTS

    def _merged(self, group: SideGroup, readings: Sequence[Reading]) -> list[Reading]:
        """Merge the readings that all ranks have alike; give them to the first rank.

        What every rank holds whole is equal on all of them and needs no transport.
        """
        parts = [reading for reading in readings if is_part(reading)]
        if not parts:
            return list(readings) if group.index == 0 else []
        batches = np.array([reading.batch for reading in parts], dtype=float)
        packed = [reading.summary.pack() for reading in parts]
        buffers = group.gather(np.concatenate([batches, *packed]))
        if not buffers:
            return []
        of_ranks = [unpacked(buffer[len(parts) :], parts) for buffer in buffers]
        of_samples = [buffer[: len(parts)] for buffer in buffers]
        summaries = iter(merged_summaries(parts, of_ranks, of_samples))
        samples = {
            reading.phase: int(sum(buffer[position] for buffer in buffers))
            for position, reading in enumerate(parts)
        }
        return [
            r._replace(
                summary=next(summaries) if is_part(r) else r.summary,
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


def _of_one_rank(reading: Reading) -> Reading:
    """Mark a reading that is of a part of a tensor, where the other parts are missing."""
    return reading._replace(flags="shard") if reading.is_shard else reading


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
