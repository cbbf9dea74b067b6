"""Merge what the passes of one step have written: micro-batches, and calls of the model."""

from collections.abc import Callable, Iterable, Iterator, Mapping

from sppkit.capture.calls.places import Point
from sppkit.capture.planning.plan import Pass
from sppkit.capture.planning.sheets import Slot
from sppkit.capture.readings.reading import Reading, name_of
from sppkit.capture.tensors.readable import join_flags
from sppkit.summary import ChannelSummary


class MergedReadings:
    """The readings of one step so far, each merged over the passes of its phase.

    Args:
        missing: where it says what cannot be merged.

    Attributes:
        totals: passes and samples of each phase, also of steps that read parameters alone.
        awaited: the gradients that passes have waited for.
    """

    def __init__(self, missing: dict[tuple[str, str], str]) -> None:
        self.totals: dict[str, tuple[int, int]] = {}
        self.awaited: set[Point] = set()
        self._missing = missing
        self._merged: dict[tuple[str, Point], Reading] = {}

    def __bool__(self) -> bool:
        """Whether anything was read."""
        return bool(self._merged)

    def __iter__(self) -> Iterator[Reading]:
        """Go through them in the order in which their points were first read."""
        return iter(self._merged.values())

    @property
    def points(self) -> set[Point]:
        """What was read."""
        return {point for _, point in self._merged}

    def add(
        self,
        written: Pass,
        summaries: Mapping[Point, tuple[Slot, ChannelSummary]],
        was_read_in_backward: Callable[[Point], bool] = lambda _: False,
    ) -> None:
        """Add what a pass has written, under every name that it has.

        Args:
            written: the pass.
            summaries: its values on the host.
            was_read_in_backward: says so of weight gradients.
        """
        if not written.is_of_parameters:
            passes, batch = self.totals.get(written.phase, (0, 0))
            self.totals[written.phase] = passes + 1, batch + written.batch
        self.awaited |= written.every_awaited()
        for point, slot, summary, flags in _under_every_name(written, summaries):
            in_backward = was_read_in_backward(point)
            self._merge(
                Reading(
                    *(written.phase, point, slot, summary, flags, 1, written.batch, in_backward)
                )
            )

    def forget(self) -> None:
        """Begin another step."""
        self._merged.clear()
        self.totals.clear()
        self.awaited.clear()

    def _merge(self, new: Reading) -> None:
        key = new.phase, new.point
        earlier = self._merged.get(key)
        if earlier is None:
            self._merged[key] = new
            return
        before, after = earlier.slot.channels, new.slot.channels
        if before != after:
            reason = f"{after} channels in one pass, {before} in another"
            point = new.point
            self._missing[point.place.layer, point.signal] = f"passes cannot be merged: {reason}"
            return
        self._merged[key] = new._replace(
            summary=earlier.summary.merge(new.summary),
            flags=join_flags(earlier.flags, new.flags),
            passes=earlier.passes + 1,
            batch=earlier.batch + new.batch,
        )


def under_other_names(readings: Iterable[Reading], aliases: Mapping[Point, Point]) -> list[Reading]:
    """Repeat readings of parameters for the other names that these have.

    Args:
        readings: of a step.
        aliases: the points that have no reading of their own, with those that have.
    """
    by_point = {reading.point: reading for reading in readings}
    return [
        found._replace(point=point, flags=join_flags(f"alias of {name_of(target)}", found.flags))
        for point, target in aliases.items()
        if (found := by_point.get(target))
    ]


def _under_every_name(
    written: Pass, summaries: Mapping[Point, tuple[Slot, ChannelSummary]]
) -> Iterator[tuple[Point, Slot, ChannelSummary, str]]:
    for point, target in written.aliases.items():
        while target in written.aliases:
            target = written.aliases[target]
        if target in summaries:
            slot, summary = summaries[target]
            yield point, slot, summary, join_flags(f"alias of {name_of(target)}", slot.flags)
    for point, (slot, summary) in summaries.items():
        yield point, slot, summary, slot.flags
