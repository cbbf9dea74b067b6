"""What the benchmark found: every network is judged by coefficients that its family had no part in.

The networks are split into two halves by family. Everything that is fitted (coefficients, penalty,
threshold) is fitted on one half and reported on the other, in both directions.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.verdict.detectors import DETECTORS
from benchmarks.verdict.evidence import INPUTS
from benchmarks.verdict.fit import Array, Flags, Weighing, fit, out_of_fold
from benchmarks.verdict.halves import folds, halves
from benchmarks.verdict.intervals import Share
from sppkit.rules.evidence import REHEARSED as GOAL

ERROR = "rehearsed_error"

IN_USE = "in use"
"""What stands in place of an input for architectures in use, which digits are too small for."""

REHEARSED = (ERROR, "rehearsed_loss")
"""Statistics of a rehearsal of training."""

ROUNDED_GOAL = math.log10(GOAL) + 1e-3
"""Of the statistics as they are kept, to four digits."""

FALSE_ALARMS = 0.03
"""Share of the networks that train which may fail."""

RECALL, FIRST_OFFENDERS = 0.95, 0.90
"""Shares that have to be reached: of the networks that do not train, and of spoilt layers."""


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


@dataclass(frozen=True)
class Known:
    """All that is known of the networks, a row for each network and input, in the same order.

    Attributes:
        rows: labels, halves, and what rules and detectors say.
        medians: the named statistics, medians over seeds.
        by_seed: the same of each seed, with the columns `row` and `seed`.
    """

    rows: pd.DataFrame
    medians: pd.DataFrame
    by_seed: pd.DataFrame

    @classmethod
    def join(cls, labels: pd.DataFrame, said: pd.DataFrame, statistics: pd.DataFrame) -> "Known":
        """Join the three tables; networks without a label or without evidence are left out."""
        networks = labels[labels["hash"].isin(said["hash"])].reset_index(drop=True)
        kept = networks[["hash", "family", "trains", "border", "accuracy"]].assign(
            half=halves(networks)
        )
        rows = said.merge(kept, on="hash").sort_values(["input", "hash"], ignore_index=True)
        places = rows[["hash", "input"]].assign(row=rows.index)
        by_seed = statistics.merge(places, on=["hash", "input"]).drop(columns=["hash", "input"])
        medians = by_seed.drop(columns="seed").groupby("row").median()
        return cls(rows, medians, by_seed)

    def with_in_use(self, statistics: pd.DataFrame) -> "Known":
        """Add architectures in use, by their statistics: they train, and no rule is asked."""
        networks = statistics.drop_duplicates("network")[["network", "family"]]
        known: dict[str, Any] = {
            **{"input": IN_USE, "trains": True, "border": False, "nonfinite": False},
            **{"errors": "", "warnings": "", "injected_layer": ""},
        }
        rows = networks.assign(hash=networks["network"], **known).reset_index(drop=True)
        rows["half"] = halves(rows)
        number = pd.Series(rows.index + len(self.rows), index=rows["network"])
        by_seed = statistics.assign(row=statistics["network"].map(number))
        by_seed = by_seed.drop(columns=["network", "family"])
        medians = by_seed.drop(columns="seed", errors="ignore").groupby("row").median()
        return Known(
            pd.concat([self.rows, rows], ignore_index=True),
            pd.concat([self.medians, medians], ignore_index=True),
            pd.concat([self.by_seed, by_seed], ignore_index=True),
        )

    @property
    def trains(self) -> Flags:
        """Whether each row's network trains."""
        return self.rows["trains"].to_numpy(bool)

    @property
    def clear(self) -> Flags:
        """Whether each row's network trains or clearly does not."""
        return ~self.rows["border"].to_numpy(bool)

    @property
    def rehearsed(self) -> Flags:
        """Whether a rehearsal of training has succeeded with every seed."""
        if ERROR not in self.by_seed:
            return np.zeros(len(self.rows), dtype=bool)
        worst = self.by_seed.groupby("row")[ERROR].max().reindex(range(len(self.rows)))
        return (worst <= ROUNDED_GOAL).to_numpy(bool)

    def unrehearsed(self) -> "Known":
        """Forget all rehearsals, as of networks that are too large for one."""
        forgotten = dict.fromkeys(self.medians.columns.intersection(list(REHEARSED)), np.nan)
        errors = self.rows.get("errors_unrehearsed", self.rows["errors"]).fillna("")
        return Known(
            self.rows.assign(errors=errors),
            self.medians.assign(**forgotten),
            self.by_seed.assign(**forgotten),
        )

    @property
    def flagged_by_rules(self) -> Flags:
        """Whether any rule but the weighed evidence finds an error."""
        return (self.rows["errors"] != "").to_numpy()

    def only(self, chosen: Flags) -> "Known":
        """Keep some rows."""
        kept = np.flatnonzero(chosen)
        number = pd.Series(range(len(kept)), index=kept)
        by_seed = self.by_seed[self.by_seed["row"].isin(kept)]
        return Known(
            self.rows[chosen].reset_index(drop=True),
            self.medians[chosen].reset_index(drop=True),
            by_seed.assign(row=by_seed["row"].map(number)),
        )


def choose_threshold(probability: Array, flagged: Flags, trains: Flags) -> float:
    """Choose the probability below which a network fails, beside what rules flag already.

    It is the largest at which at most 3 % of the networks that train fail; where rules alone fail
    more, or nothing is left to gain, the smallest that gains as much.
    """
    grid = np.linspace(0.01, 0.99, 99)
    failed = [flagged | (probability < threshold) for threshold in grid]
    allowed = [f for f in failed if f[trains].mean() <= FALSE_ALARMS] or failed[:1]
    most = max(int(f[~trains].sum()) for f in allowed)
    gaining = [int(f[~trains].sum()) == most for f in allowed]
    return float(grid[gaining.index(True)])


def fitted(known: Known) -> Weighing:
    """Fit coefficients and threshold on some networks.

    Networks at the border are left out, and those with numbers that are not finite are left to the
    rules: their statistics are undefined. The threshold comes from fits that had not seen the
    family they are asked about.
    """
    judged = known.only(known.clear & ~known.rows["nonfinite"].to_numpy(bool))
    data = judged.medians, judged.trains, judged.rows["input"]
    small = (judged.rows["input"] != IN_USE).to_numpy()
    unseen = out_of_fold(*data, folds(judged.rows))
    probability = np.where(judged.rehearsed, 1.0, unseen)[small]
    threshold = choose_threshold(probability, judged.flagged_by_rules[small], judged.trains[small])
    return replace(fit(*data), threshold=threshold)


def after_rehearsal(known: Known) -> dict[str, float]:
    """Give the share of networks that train where a rehearsal has succeeded (Laplace's rule)."""
    trained = known.trains[known.clear & known.rehearsed]
    return {"rehearsed": round((int(trained.sum()) + 1) / (len(trained) + 2), 4)}


def by_the_other_half(known: Known) -> Flags:
    """Say which rows the weighing fails, each by the fit on the half its family is not in.

    None fails after a rehearsal that succeeded.
    """
    half = known.rows["half"].to_numpy()
    failed = np.zeros(len(half), dtype=bool)
    for part in (0, 1):
        weighing = fitted(known.only(half == part))
        failed[half != part] = weighing.fails(known.only(half != part).by_seed)
    return failed & ~known.rehearsed


def columns_of(known: Known) -> dict[str, Flags]:
    """List all detectors with what they flag, our own by the fit on the other half."""
    weighed = by_the_other_half(known)
    unrehearsed = known.unrehearsed()
    without = by_the_other_half(unrehearsed) | unrehearsed.flagged_by_rules
    return {
        "sppkit check": weighed | known.flagged_by_rules,
        "sppkit check without a rehearsal": without,
        "sppkit, weighed evidence only": weighed,
        "sppkit, other rules only": known.flagged_by_rules,
        **{name: known.rows[name].eq(True).to_numpy() for name in DETECTORS},
    }


def scores_of(columns: Mapping[str, Flags], known: Known) -> list[Score]:
    """Score several detectors."""
    return [Score.of(name, flagged, known.trains) for name, flagged in columns.items()]


def rules_of(known: Known, severity: str = "errors") -> dict[str, Flags]:
    """List what each rule flags, as "errors" or as "warnings"."""
    found = known.rows[severity].str.split()
    codes = sorted({code for codes in found for code in codes})
    return {code: np.array([code in codes for codes in found]) for code in codes}


def offenders_of(known: Known, failed: Flags) -> Share:
    """Of spoilt single layers that keep a network from training: how many are named, to one layer.

    Counted are networks whose injected layer is known and that fail. Rules name the layer, or,
    where none finds an error, the weighed evidence.
    """
    rows = known.rows
    counted = ((rows["injected_layer"] != "") & ~rows["trains"] & known.clear).to_numpy() & failed
    by_rules, by_weighing = rows["distance_of_first_offender"], rows["distance_of_suspect"]
    named = by_rules.where(known.flagged_by_rules, by_weighing)[counted]
    return Share(int((named <= 1).sum()), len(named))


def as_table(scores: list[Score]) -> str:
    """Write scores as a table of Markdown."""
    lines = ["| detector | recall | false alarms |", "|---|---|---|"]
    return "\n".join([*lines, *(f"| {s.name} | {s.recall} | {s.false_alarms} |" for s in scores)])


def write_report(known: Known) -> str:
    """Write the whole report as Markdown."""
    columns = columns_of(known)
    parts = [_heading(known)]
    for source in INPUTS:
        here = (known.rows["input"] == source).to_numpy()
        if here.any():
            of_input = {name: flagged[here] for name, flagged in columns.items()}
            parts += [f"## Input: {source}", *_of_input(known.only(here), of_input)]
    here = (known.rows["input"] == IN_USE).to_numpy()
    parts += _of_in_use(known.only(here), columns["sppkit, weighed evidence only"][here])
    return "\n\n".join(parts) + "\n"


def missed_bars(known: Known) -> list[str]:
    """Name what the check does not reach, by the fit on the other half, for noise."""
    failed = by_the_other_half(known) | known.flagged_by_rules
    here = (known.rows["input"] == INPUTS[0]).to_numpy() & known.clear
    score = Score.of("", failed[here], known.trains[here])
    named = offenders_of(known.only(here), failed[here])
    reached = {
        f"recall {score.recall}, at least {RECALL} asked": score.recall.value >= RECALL,
        f"false alarms {score.false_alarms}, at most {FALSE_ALARMS} asked": (
            score.false_alarms.value <= FALSE_ALARMS
        ),
        f"first offenders {named}, at least {FIRST_OFFENDERS} asked": (
            named.value >= FIRST_OFFENDERS
        ),
    }
    return [bar for bar, is_reached in reached.items() if not is_reached]


def _of_in_use(known: Known, failed: Flags) -> list[str]:
    named = known.rows["network"][failed].to_list()
    return [
        "## Architectures in use",
        f"Failed by the weighed evidence, fitted without their family: "
        f"{Share(int(failed.sum()), len(failed))}{': ' if named else '.'}{', '.join(named)}",
    ]


def _heading(known: Known) -> str:
    networks = known.rows[known.rows["input"] != IN_USE].drop_duplicates("hash")
    trains, border = int(networks["trains"].sum()), int(networks["border"].sum())
    return (
        f"# Verdict benchmark\n\n{len(networks)} networks of {networks['family'].nunique()} "
        f"families: {trains} train, {len(networks) - trains - border} do not, {border} are at the "
        "border between the two and are counted apart. Shares with 95 % intervals "
        "(Wilson) and counts. What is fitted was fitted on the half without the network's family."
    )


def _of_input(known: Known, columns: Mapping[str, Flags]) -> list[str]:
    failed, trains, clear = columns["sppkit check"], known.trains, known.clear
    return [
        as_table(scores_of({k: f[clear] for k, f in columns.items()}, known.only(clear))),
        *(_of_half(known, failed, part) for part in (0, 1)),
        f"Of the {int((~clear).sum())} networks at the border, {int(failed[~clear].sum())} are "
        f"failed. Counted as networks that do not train, recall is "
        f"{Score.of('', failed, trains).recall}; counted as networks that do, false alarms are "
        f"{Score.of('', failed, trains | ~clear).false_alarms}.",
        f"First offender within one layer of the injected one: {offenders_of(known, failed)}.",
        f"### Rules: errors\n\n{_of_rules(known.only(clear), 'errors')}",
        f"### Rules: warnings\n\n{_of_rules(known.only(clear), 'warnings')}",
        f"### Missed\n\n{_list(known, ~failed & ~trains & clear)}",
        f"### False alarms\n\n{_list(known, failed & trains)}",
    ]


def _of_rules(known: Known, severity: str) -> str:
    return as_table(scores_of(rules_of(known, severity), known))


def _of_half(known: Known, failed: Flags, part: int) -> str:
    here = (known.rows["half"] == part).to_numpy() & known.clear
    score = Score.of("", failed[here], known.trains[here])
    return (
        f"Half {'AB'[part]}, by the fit on the other: recall {score.recall}, false alarms "
        f"{score.false_alarms}."
    )


def _list(known: Known, chosen: Flags) -> str:
    rows = known.rows[chosen]
    named = zip(rows["network"], rows["accuracy"], rows["errors"], strict=True)
    lines = [
        f"- {name} (best accuracy {best:.2f}) {errors}".rstrip() for name, best, errors in named
    ]
    return "\n".join(lines) or "None."
