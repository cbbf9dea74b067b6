"""sppkit as a user would have it, made to take turns with plain steps."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sppkit
from benchmarks.bench import Rows
from benchmarks.workloads import Training

RENEWED_AFTER = 40
"""Turns of one recording; its rows pile up, which is to distort neither time nor memory."""

UNTIMED_STEPS = 2
"""Steps of a new recording before the first turn: the first one traces the network."""


class Recordings:
    """One recording after the other, entered for each turn and left after it.

    Entering and leaving is not timed. What a step costs inside is: its hooks, its end, and putting
    the hooks on for the next one.
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

    def rows(self) -> Rows:
        """Count the rows of the last recorded step."""
        return rows_of_last_step(self._recorder) if self._recorder else {}

    def _renewed(self) -> sppkit.Recorder:
        recorder = start_recording(self._training, **self._options)
        with recorder:
            for _ in range(UNTIMED_STEPS):
                self._training.step()
        return recorder


def start_recording(training: Training, **options: Any) -> sppkit.Recorder:
    """Make a recording of what a training calls."""
    return sppkit.record(training.called, optimizer=training.optimizer, **options)


def rows_of_last_step(recording: sppkit.Recording) -> Rows:
    """Count rows by signal."""
    table = recording.table()
    last = table[table["step"] == table["step"].max()]
    counts = last["signal"].astype(str).value_counts(sort=False)
    return {str(signal): int(count) for signal, count in counts.items()}
