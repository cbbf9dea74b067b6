"""What the benchmark found, as tables: on networks of families that the fit has not seen."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.verdict.detectors import DETECTORS
from benchmarks.verdict.fit import (
    Array,
    Weighing,
    choose_penalty,
    fit,
    out_of_fold,
)
from benchmarks.verdict.halves import folds, halves
from benchmarks.verdict.intervals import Share

Flags = NDArray[np.bool_]

RECALL, FALSE_ALARMS = 0.95, 0.03
"""What the gate shall reach on networks that do not, and that do, train."""


@dataclass(frozen=True)
class Score:
    """How a detector fares: of those that do not train, and of those that do, how many it flags."""

    name: str
    recall: Share
    false_alarms: Share

    @classmethod
    def of(cls, name: str, flagged: Flags, trains: Flags) -> "Score":
        """Count."""
        return cls(
            name,
            Share(int(flagged[~trains].sum()), int((~trains).sum())),
            Share(int(flagged[trains].sum()), int(trains.sum())),
        )


def choose_threshold(probability: Array, flagged: Flags, trains: Flags) -> float:
    """Choose the probability below which a network fails, beside what rules flag already.

    The least of (1 - recall) / 0.05 + false alarms / 0.03; of equally good ones the middle.
    """
    grid = np.linspace(0.02, 0.98, 97)

    def cost(threshold: float) -> float:
        failed = flagged | (probability < threshold)
        missed, alarms = (~failed[~trains]).mean(), failed[trains].mean()
        return float(missed / (1 - RECALL) + alarms / FALSE_ALARMS)

    costs = np.array([cost(threshold) for threshold in grid])
    best = grid[np.isclose(costs, costs.min())]
    return float(best[len(best) // 2])


def fitted(statistics: pd.DataFrame, flagged: Flags, labels: pd.DataFrame) -> Weighing:
    """Fit penalty, coefficients and threshold on some networks, by their families alone."""
    trains, parts = labels["trains"].to_numpy(bool), folds(labels)
    # Numbers that are not finite are a matter of rules, not of weighing
    judged = ~labels["nonfinite"].to_numpy(bool)
    known, outcome = statistics[judged], trains[judged]
    penalty = choose_penalty(known, outcome, parts[judged])
    probability = np.zeros(len(trains))
    probability[judged] = out_of_fold(known, outcome, parts[judged], penalty)
    threshold = choose_threshold(probability, flagged, trains)
    found = fit(known, outcome, penalty)
    return Weighing(found.intercept, found.bends, found.coefficients, threshold)


def on_other_half(statistics: pd.DataFrame, flagged: Flags, labels: pd.DataFrame) -> Array:
    """Give each network the margin, probability minus threshold, by the half it is not in."""
    half = halves(labels)
    margin = np.empty(len(labels))
    for part in (0, 1):
        seen, unseen = half == part, half != part
        weighing = fitted(statistics[seen], flagged[seen], labels[seen].reset_index(drop=True))
        margin[unseen] = weighing.probability(statistics[unseen]) - weighing.threshold
    return margin


def scores_of(columns: Mapping[str, Flags], trains: Flags) -> list[Score]:
    """Score several detectors."""
    return [Score.of(name, flagged, trains) for name, flagged in columns.items()]


def as_markdown(scores: list[Score]) -> str:
    """Write scores as a table."""
    lines = ["| detector | recall | false alarms |", "|---|---|---|"]
    lines += [f"| {s.name} | {s.recall} | {s.false_alarms} |" for s in scores]
    return "\n".join(lines)


def earlier_detectors(evidence: pd.DataFrame) -> dict[str, Flags]:
    """List what the earlier detectors flag."""
    return {name: evidence[name].to_numpy(bool) for name in DETECTORS}


def rules_of(evidence: pd.DataFrame, column: str = "errors") -> dict[str, Flags]:
    """List what each rule flags, as an error or as a warning."""
    codes = sorted({code for text in evidence[column] for code in text.split()})
    named = evidence[column].str.split()
    return {code: named.apply(lambda found, c=code: c in found).to_numpy(bool) for code in codes}
