"""Recorded seeds in place of a probe, so that a decision costs no forward pass."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from sppkit.errors import SppkitError
from sppkit.gate.evidence import OnSeed
from sppkit.gate.examination import Examination, decide
from sppkit.gate.rehearsal import MOST_SEEDS
from sppkit.recording import Recording
from sppkit.rules import Severity, all_rules


class RecordedSeeds:
    """The evidence of a network, cut by seed once, to be put together in any order."""

    def __init__(self, recording: Recording) -> None:
        (self.run,) = recording.runs
        table = recording.table()
        seeds = [int(seed) for seed in table["seed"].unique()]
        self.parts = {seed: table[table["seed"] == seed] for seed in seeds}
        self.structure = recording.structure()
        self.metadata = recording.metadata[self.run]

    def drawn(self, seeds: Sequence[int]) -> Recording:
        """Give the recording of some seeds, numbered from 0 in their order."""
        parts = [self.parts[seed].assign(seed=number) for number, seed in enumerate(seeds)]
        metadata = {**self.metadata, "seeds": list(range(len(seeds)))}
        metadata["loss"] = {
            **metadata["loss"],
            "values": _renumbered(metadata["loss"]["values"], seeds),
        }
        metadata["output"] = _renumbered(metadata["output"], seeds)
        rehearsals = metadata["rehearsal"]["values"]
        if rehearsals:
            metadata["rehearsal"] = {
                **metadata["rehearsal"],
                "values": _renumbered(rehearsals, seeds[:MOST_SEEDS]),
            }
        table = pd.concat(parts, ignore_index=True)
        return Recording.from_frames(table, self.structure, {self.run: metadata})


def _renumbered(by_seed: dict[str, Any], seeds: Sequence[int]) -> dict[str, Any]:
    return {str(number): by_seed[str(seed)] for number, seed in enumerate(seeds)}


class Replay:
    """A probe that hands out recorded seeds in a given order."""

    def __init__(self, recorded: RecordedSeeds, order: Sequence[int]) -> None:
        self.run = recorded.run
        self.is_instance = False
        self.failed: dict[int, SppkitError] = {}
        self._recorded, self._order = recorded, order
        self._number = 0

    def measure(self, seeds: Iterable[int], on_seed: OnSeed | None = None) -> None:
        """Take the next seeds of the order."""
        self._number += len(list(seeds))

    def recording(self) -> Recording:
        """Give the seeds taken so far."""
        return self._recorded.drawn(self._order[: self._number])


def decisions(
    recorded: RecordedSeeds,
    resamples: int,
    *,
    seeds: int = 5,
    maximum: int = 20,
    generator: np.random.Generator,
) -> tuple[Counter[str], Counter[int]]:
    """Decide over and over, each time from another draw of seeds without replacement.

    Returns:
        How often each verdict came out, and how often each number of seeds was needed.
    """
    verdicts, numbers = Counter[str](), Counter[int]()
    available = np.array(sorted(recorded.parts))
    for _ in range(resamples):
        order = generator.permutation(available)[:maximum]
        examination = decided(recorded, [int(seed) for seed in order], seeds)
        verdicts[examination.diagnosis.verdict] += 1
        numbers[len(examination.diagnosis.seeds)] += 1
    return verdicts, numbers


def decided(recorded: RecordedSeeds, order: Sequence[int], seeds: int = 5) -> Examination:
    """Decide from recorded seeds in this order, by the rules that can fail a network."""
    codes = tuple(rule.code for rule in all_rules() if rule.severity is Severity.ERROR)
    return decide(Replay(recorded, order), 0, seeds, len(order), {"select": codes})


def flake_rate(verdicts: Counter[str]) -> float:
    """Give the share of decisions that are not the most frequent one."""
    return 1 - verdicts.most_common(1)[0][1] / verdicts.total()
