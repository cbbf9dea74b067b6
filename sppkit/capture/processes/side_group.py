"""A process group of our own: the ranks meet once, and whoever does not come is not waited for.

The group is gloo's, on the hosts, apart from the groups of the user: it is not registered with
`torch.distributed`, so that it changes neither the names nor the order of groups that the user
makes. Every wait in it has an end. A rank that leaves early closes its connections, at which the
others wake up at once.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.distributed as dist

from sppkit.summary import Array

if TYPE_CHECKING:
    from torch.distributed.distributed_c10d import Store

PATIENCE = timedelta(seconds=30)
"""How long a rank waits for the others; long enough for one that is late with its data."""

_REASONS = {
    "left": "one of the {} ranks left its recording by an exception",
    "late": (
        "not all of the {} ranks came to the end of a recorded step within {:g} s: record the "
        "model on every rank"
    ),
}
_taken: set[tuple[tuple[int, ...], int]] = set()


class ApartError(Exception):
    """The ranks do not record together, or no longer do; the message says why."""


class MeetingPoint:
    """The place in the store where the ranks agree, once and for all, whether they meet.

    Recordings take numbered places in turn, and pass over those where someone has waited in vain.
    So a rank that once recorded alone finds the others again at the next one. A place that a rank
    left by an exception stays open: the others are still to come, and to be told.

    Args:
        store: what the user's processes share.
        members: global ranks of those who are to meet.
    """

    def __init__(self, store: Store, members: Sequence[int]) -> None:
        everywhere = _part_of(store, f"sppkit/{'-'.join(map(str, members))}")
        number = next(n for n in itertools.count() if _is_free(everywhere, members, n))
        _taken.add((tuple(members), number))
        self._store = _part_of(everywhere, str(number))
        self._size = len(members)

    def meet(self, index: int) -> SideGroup:
        """Wait for the other ranks and connect with them.

        The last to come and the first to lose patience write to the same key of the store, which
        takes one of them: so that all ranks get the same verdict.

        Args:
            index: of this rank among those that meet.

        Raises:
            ApartError: a rank did not come.
        """
        try:
            verdict = self._verdict()
            if verdict != "met":
                raise ApartError(_REASONS[verdict].format(self._size, PATIENCE.total_seconds()))
            return SideGroup(self._store, index, self._size)
        except RuntimeError as error:
            raise ApartError(f"the ranks could not be connected: {_first_line(error)}") from error

    def stay_away(self) -> None:
        """Tell those who wait, or are still to come, that this rank will not."""
        self._propose("left")

    def _verdict(self) -> str:
        if self._store.add("here", 1) == self._size:
            return self._propose("met")
        try:
            self._store.wait(["verdict"], PATIENCE)
        except RuntimeError:
            if self._propose("late") == "late":
                self._store.set("closed", "yes")
        return str(self._store.get("verdict"), "ascii")

    def _propose(self, verdict: str) -> str:
        """Set the verdict if there is none yet; return the one that holds."""
        return str(self._store.compare_set("verdict", "", verdict), "ascii")


class SideGroup:
    """Ranks that are connected with each other.

    Attributes:
        index: of this rank; 0 is the one that collects.
        size: number of ranks.
    """

    def __init__(self, store: Store, index: int, size: int) -> None:
        self.index = index
        self.size = size
        self._group: Any = dist.ProcessGroupGloo(_part_of(store, "group"), index, size, PATIENCE)

    def all_gather(self, values: np.ndarray) -> list[np.ndarray]:
        """Give every rank the arrays of all ranks; they are of one shape and dtype.

        Raises:
            ApartError: a rank did not take part in time, or has left.
        """
        tensor = torch.from_numpy(values)
        received = [torch.empty_like(tensor) for _ in range(self.size)]
        self._run(lambda: self._group.allgather([received], [tensor]))
        return [part.numpy() for part in received]

    def gather(self, values: Array) -> list[Array]:
        """Give the collecting rank the arrays of all ranks, and the others nothing.

        Raises:
            ApartError: a rank did not take part in time, or has left.
        """
        tensor = torch.from_numpy(values)
        collects = self.index == 0
        received = [torch.empty_like(tensor) for _ in range(self.size)] if collects else []
        options = dist.GatherOptions()
        options.rootRank = 0
        self._run(lambda: self._group.gather([received] if collects else [], [tensor], options))
        return [part.numpy() for part in received]

    def _run(self, collective: Callable[[], Any]) -> None:
        try:
            collective().wait()
        except RuntimeError as error:
            raise ApartError(f"the exchange failed: {_first_line(error)}") from error


def is_supported() -> bool:
    """Say whether this torch can make a side group."""
    return dist.is_available() and hasattr(dist, "ProcessGroupGloo")


def _is_free(store: Store, members: Sequence[int], number: int) -> bool:
    is_taken_here = (tuple(members), number) in _taken
    return not is_taken_here and not store.check([f"{number}/closed"])


def _part_of(store: Store, prefix: str) -> Store:
    return dist.distributed_c10d.PrefixStore(prefix, store)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
