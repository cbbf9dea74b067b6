"""Where a run stands while it goes on, and how it ended."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sppkit.errors import TrainingError

FINISHED, DIVERGED, STOPPED = "finished", "diverged", "stopped"


@dataclass(frozen=True)
class Progress:
    """Where a run stands.

    Attributes:
        step, steps: steps of the optimiser taken, and of all.
        epoch: epochs done.
        loss: of the latest step that is known.
        accuracy: of the latest evaluation; None before the first.
        step_seconds: median.
        overhead: share of time that recording adds; NaN where it is not known.
        finding: the latest message, "" without any.
    """

    step: int
    steps: int
    epoch: int
    loss: float
    accuracy: float | None
    step_seconds: float
    overhead: float
    finding: str


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        run, seed: of the task.
        ended: `FINISHED`, `DIVERGED` or `STOPPED`.
        steps: taken.
        loss: the last one on training data.
        test_loss, test_accuracy: of the last evaluation.
        seconds: of training and evaluating, without the time before an interruption.
        step_seconds: median.
        overhead: share of time that recording adds; NaN where it is not known.
    """

    run: str
    seed: int
    ended: str
    steps: int
    loss: float
    test_loss: float
    test_accuracy: float
    seconds: float
    step_seconds: float
    overhead: float


Hear = Callable[[Progress], None]


def outcome_of(found: dict[str, Any]) -> Outcome:
    """Read an outcome; numbers that are not finite stand there as texts."""
    numbers = ("loss", "test_loss", "test_accuracy", "seconds", "step_seconds", "overhead")
    try:
        values: dict[str, Any] = {k: float(v) if k in numbers else v for k, v in found.items()}
        return Outcome(**values)
    except (TypeError, ValueError) as error:
        raise TrainingError(f"run.json has no outcome that can be read: {error}.") from error
