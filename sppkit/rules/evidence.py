"""The evidence that rules judge: one run of a recording, cut to the phases that answer."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from sppkit.recording import Recording
from sppkit.signals import Phase, Signal

CURVE_PHASES = (Phase.PROBE, Phase.TRAIN, Phase.EVAL)
"""Where activations are read; of several phases the first that was recorded."""

LOSS_PHASES = ("loss", Phase.TRAIN)
"""Where gradients are those of a real loss; of several phases the first that was recorded."""


@dataclass(frozen=True)
class Evidence:
    """One run at its first recorded step.

    Attributes:
        run: its name.
        table, structure: the rows of this run only.
        metadata: of this run.
    """

    run: str
    table: pd.DataFrame
    structure: pd.DataFrame
    metadata: Mapping[str, Any]

    @classmethod
    def of(cls, recording: Recording, run: str | None = None) -> "Evidence":
        """Cut the evidence of one run out of a recording.

        Raises:
            ValueError: no such run, or several and none was named.
        """
        name = _one_run(recording, run)
        table, structure = recording.table(), recording.structure()
        table = table[table["run"] == name]
        return cls(
            name,
            table[table["step"] == table["step"].min()],
            structure[structure["run"] == name],
            recording.metadata[name],
        )

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds that were recorded."""
        return tuple(sorted(int(seed) for seed in self.table["seed"].unique()))

    @cached_property
    def curves(self) -> pd.DataFrame:
        """Rows of the probe with the unit gradient, or of what stands in for it."""
        return self._first_phase(CURVE_PHASES)

    @cached_property
    def under_loss(self) -> pd.DataFrame:
        """Rows of the pass under a real loss; empty where there was none."""
        return self._first_phase(LOSS_PHASES)

    @property
    def observed(self) -> bool:
        """Say whether any activation was read."""
        return bool((self.table["signal"] == Signal.ACTIVATION).any())

    def _first_phase(self, phases: tuple[str, ...]) -> pd.DataFrame:
        recorded = [p for p in phases if (self.table["phase"] == p).any()]
        return self.table[self.table["phase"] == (recorded[0] if recorded else "")]


def _one_run(recording: Recording, run: str | None) -> str:
    if run is None and len(recording.runs) == 1:
        return recording.runs[0]
    if run is not None and run in recording.runs:
        return run
    runs = ", ".join(repr(name) for name in recording.runs) or "none"
    if run is None:
        raise ValueError(f"one run is judged at a time: give run=, one of {runs}")
    raise ValueError(f"the recording has no run {run!r}; it has {runs}")
