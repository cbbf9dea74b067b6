"""Leads and false alarms: what the warnings were worth, training by training."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.early_warning.catalogue import HEALTHY, Case
from benchmarks.early_warning.recordings import folder_of
from benchmarks.early_warning.replay import replay
from benchmarks.early_warning.spike import first_spike
from sppkit.early_warning.event import Event

BUILDS_UP = 30
"""Steps between the onset and the spike from which on a divergence builds up; else it is abrupt."""

LEARNT = 0.8
"""Accuracy that a healthy run has at its end, at least."""


@dataclass(frozen=True)
class Score:
    """One training and its warnings.

    Attributes:
        case: which.
        steps: taken.
        ended, accuracy: how.
        spike: the step in which the loss was lost, None for never.
        events: of the early warning.
    """

    case: Case
    steps: int
    ended: str
    accuracy: float
    spike: int | None
    events: Sequence[Event]

    @property
    def is_healthy(self) -> bool:
        """Whether nothing was done to it and it learnt without a spike."""
        is_meant = self.case.kind == HEALTHY
        return is_meant and self.spike is None and self.accuracy >= LEARNT

    @property
    def builds_up(self) -> bool:
        """Whether the loss was lost some while after something went wrong."""
        spike = self.spike
        return self.has_diverged and spike is not None and spike - self.case.onset >= BUILDS_UP

    @property
    def has_diverged(self) -> bool:
        """Whether something was done to it and the loss was lost."""
        return self.case.kind != HEALTHY and self.spike is not None

    @property
    def false_alarms(self) -> list[Event]:
        """The events of a healthy run, or before anything went wrong."""
        if self.is_healthy:
            return list(self.events)
        if self.case.kind == HEALTHY:
            return []
        return [event for event in self.events if event.step < self.case.onset]

    @property
    def healthy_steps(self) -> int:
        """The steps in which an event is a false alarm."""
        if self.is_healthy:
            return self.steps
        return 0 if self.case.kind == HEALTHY else min(self.case.onset, self.steps)

    @property
    def beginning(self) -> tuple[object, ...]:
        """What tells trainings apart up to the onset."""
        case, recipe = self.case, self.case.recipe
        if case.kind == HEALTHY:
            return (case.name,)
        plain = dataclasses.replace(
            recipe, milestones=(), step_factor=0.1, epochs=1, schedule="constant"
        )
        return case.kind, case.network, case.seed, case.amp, case.onset, repr(plain)

    @property
    def first(self) -> Event | None:
        """The first event from the onset on, up to the spike."""
        last = self.steps if self.spike is None else self.spike
        return next((e for e in self.events if self.case.onset <= e.step <= last), None)

    @property
    def lead(self) -> int | None:
        """Steps from the first event to the spike; None without either."""
        if self.first is None or self.spike is None:
            return None
        return self.spike - self.first.step


def score(case: Case, *, every: int) -> Score:
    """Replay a training."""
    folder = folder_of(case)
    metrics = folder.metrics()
    losses = metrics[metrics["phase"] == "train"]["loss"].to_numpy(float)
    outcome = folder.description()["outcome"]
    onset = 0 if case.kind == HEALTHY else case.onset
    return Score(
        case=case,
        steps=len(losses),
        ended=str(outcome["ended"]),
        accuracy=float(outcome["test_accuracy"]),
        spike=first_spike(losses, onset),
        events=replay(case, every=every),
    )
