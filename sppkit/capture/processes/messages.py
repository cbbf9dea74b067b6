"""What ranks tell each other at the end of a step: what they have read, and whether they stay."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sppkit.capture.processes.side_group import SideGroup
from sppkit.capture.readings.reading import Reading
from sppkit.capture.tensors.sampling import of_each_process
from sppkit.signals import OF_OUTPUTS

_NAMED = 6


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


def exchange_messages(group: SideGroup, text: bytes, headers: Sequence[Header]) -> list[Message]:
    """Give every rank all messages in full, where the headers tell that they differ."""
    padded = np.zeros(max(header.length for header in headers), dtype=np.uint8)
    padded[: len(text)] = np.frombuffer(text, dtype=np.uint8)
    received = group.all_gather(padded)
    return [
        Message.decode(part[: header.length].tobytes())
        for part, header in zip(received, headers, strict=True)
    ]


def entry_of(reading: Reading) -> list[Any]:
    """Describe a reading; equal descriptions on all ranks mean that their summaries merge."""
    place, signal = reading.point
    slot = reading.slot
    same = "" if is_part(reading) else hashlib.sha256(reading.summary.pack().tobytes()).hexdigest()
    return [
        *(reading.phase, *place, str(signal), of_each_process(reading.flags)),
        *(slot.channels, slot.axis, str(slot.dtype), reading.summary.extended, same),
    ]


def is_part(reading: Reading) -> bool:
    """Say whether other ranks hold other values of the same tensor."""
    return reading.is_shard or reading.point.signal in OF_OUTPUTS
