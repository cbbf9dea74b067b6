"""sppkit as a user would have it, made to take turns with plain steps."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sppkit
from benchmarks.workloads import Training

RENEWED_AFTER = 40
"""Turns of one recording; its rows pile up, which is to distort neither time nor memory."""

UNTIMED_STEPS = 2
"""Steps of a new recording before the first turn: the first one traces the network."""


class Recordings:
    """One recording after the other, entered for each turn, left after it.

    Attributes:
        rows: rows of the table per recorded step, by signal, known after `finish`.
    """

    def __init__(self, training: Training, **options: Any) -> None:
        self._training, self._options = training, options
        self._recorder: sppkit.Recorder | None = None
        self._turns = 0

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Record while the block runs."""
        if self._recorder is None or self._turns % RENEWED_AFTER == 0:
            self._recorder = self._renewed()
        self._turns += 1
        with self._recorder:
            yield

    def describe(self) -> str:
        """Say how many numbers the last recorded step has left, by signal."""
        return described(self._recorder) if self._recorder else "nothing was recorded"

    def _renewed(self) -> sppkit.Recorder:
        recorder = start_recording(self._training, **self._options)
        with recorder:
            for _ in range(UNTIMED_STEPS):
                self._training.step()
        return recorder


def start_recording(training: Training, **options: Any) -> sppkit.Recorder:
    """Make a recording of a training."""
    return sppkit.record(training.model, optimizer=training.optimizer, **options)


def described(recording: sppkit.Recording) -> str:
    """Say how many rows the last step of a recording has, by signal."""
    table = recording.table()
    last = table[table["step"] == table["step"].max()]
    counts = last["signal"].value_counts(sort=False)
    return "rows per step: " + ", ".join(f"{n} {signal}" for signal, n in counts.items() if n)
