"""The findings as a table for people and one for programs."""

import datetime
import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import pandas as pd
import torch

import sppkit
from benchmarks.early_warning.catalogue import HEALTHY, KINDS
from benchmarks.early_warning.score import BUILDS_UP, Score

RESULTS = Path(__file__).parent / "results"
HARDWARE = "two-core x86-64, CPU"
BAR_LEAD, BAR_STEPS = 20, 5000


@dataclass(frozen=True)
class Part:
    """Trainings that are reported together.

    Attributes:
        title: of the part.
        scores: of its trainings.
    """

    title: str
    scores: Sequence[Score]

    @property
    def leads(self) -> list[int]:
        """The leads on divergences that build up; -1 where no warning came before the spike."""
        return [_lead(score) for score in self.scores if score.builds_up]

    @property
    def healthy_steps(self) -> int:
        """Steps in which a warning is a false alarm."""
        return sum(score.healthy_steps for score in self._distinct())

    @property
    def false_alarms(self) -> list[str]:
        """What was said in them."""
        return [
            f"{score.case.name}: {event}"
            for score in self._distinct()
            for event in score.false_alarms
        ]

    def _distinct(self) -> Iterable[Score]:
        """Give the trainings, but one of those that are alike up to the onset."""
        return {score.beginning: score for score in self.scores}.values()


def _lead(score: Score) -> int:
    return -1 if score.lead is None else score.lead


def write_table(scores: Sequence[Score]) -> Path:
    """Write one row per training."""
    RESULTS.mkdir(exist_ok=True)
    place = RESULTS / "trainings.csv"
    pd.DataFrame([_row(score) for score in scores]).to_csv(place, index=False)
    return place


def _row(score: Score) -> dict[str, object]:
    first = score.first
    return {
        "training": score.case.name,
        "kind": score.case.kind,
        "network": score.case.network,
        "seed": score.case.seed,
        "fitted_on": score.case.is_for_fitting,
        "steps": score.steps,
        "ended": score.ended,
        "accuracy": round(score.accuracy, 3),
        "onset": "" if score.case.kind == HEALTHY else score.case.onset,
        "spike": score.spike,
        "lead": score.lead,
        "first_warning": first.code if first else "",
        "events": "; ".join(f"{e.step} {e.code} {e.severity}" for e in score.events),
    }


def write_report(scores: Sequence[Score]) -> str:
    """Write the report."""
    reported = Part("reported", [s for s in scores if not s.case.is_for_fitting])
    fitted = Part("fitted on", [s for s in scores if s.case.is_for_fitting])
    lines = [*_head(), *_summary(reported, fitted), "", *_by_kind(reported), ""]
    lines += [*_alarms(reported), "", *_by_rule(reported), "", *_left_out(reported), ""]
    text = "\n".join(lines).rstrip() + "\n"
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "report.md").write_text(text)
    return text


def _head() -> Iterable[str]:
    date = datetime.datetime.now(datetime.UTC).date().isoformat()
    versions = f"Python {platform.python_version()}, torch {torch.__version__}"
    yield "# How early the early warning is"
    yield ""
    yield f"{date}, {versions}, sppkit {sppkit.__version__}, {HARDWARE}."
    yield ""
    yield (
        "Thresholds were fitted on the trainings of seed 0, but for two networks that were held "
        "out; all tables but the second row of the first one are of the others. README.md says "
        "what counts as what. One step in ten was looked at, as `sppkit train` records by default."
    )
    yield ""


def _summary(reported: Part, fitted: Part) -> Iterable[str]:
    yield "| | trainings | divergences that build up | median lead | false alarms | healthy steps |"
    yield "|---|---|---|---|---|---|"
    for part in (reported, fitted):
        yield (
            f"| {part.title} | {len(part.scores)} | {len(part.leads)} | {_median(part.leads)} | "
            f"{len(part.false_alarms)} | {part.healthy_steps} |"
        )
    yield ""
    yield (
        f"The bar is a median lead of {BAR_LEAD} steps, and one false alarm in {BAR_STEPS} healthy "
        "steps. A divergence without a warning before its spike counts as a lead of -1."
    )


def _by_kind(part: Part) -> Iterable[str]:
    yield "| what goes wrong | spikes | of them build up | warned by then | leads, in steps |"
    yield "|---|---|---|---|---|"
    for kind in KINDS:
        spiked = [s for s in part.scores if s.case.kind == kind and s.has_diverged]
        building = [s for s in spiked if s.builds_up]
        leads = sorted(s.lead for s in building if s.lead is not None)
        yield (
            f"| {kind} | {len(spiked)} | {len(building)} | {len(leads)} | "
            f"{', '.join(map(str, leads)) or '-'} |"
        )
    abrupt = [s for s in part.scores if s.has_diverged and not s.builds_up]
    warned = sum(s.lead is not None and s.lead > 0 for s in abrupt)
    yield ""
    yield (
        f"Abrupt ones, whose loss is lost within {BUILDS_UP} steps of the onset: {len(abrupt)}, of "
        f"which {warned} had a warning before. They have no lead to speak of."
    )


def _alarms(part: Part) -> Iterable[str]:
    steps, alarms = part.healthy_steps, part.false_alarms
    rate = 1000 * len(alarms) / steps if steps else float("nan")
    healthy = [score for score in part.scores if score.is_healthy]
    in_runs = sum(len(score.events) for score in healthy)
    yield (
        f"{len(alarms)} false alarm{'s' * (len(alarms) != 1)} in {steps} healthy steps ({rate:.2f} "
        f"per 1,000). {in_runs} of them in {sum(s.steps for s in healthy)} steps of {len(healthy)} "
        "healthy runs, the others before something goes wrong; trainings that are alike up to "
        "there are counted once."
    )
    yield from (f"- {alarm}" for alarm in alarms)


def _by_rule(part: Part) -> Iterable[str]:
    first = [s.first.code for s in part.scores if s.builds_up and s.first]
    counted = sorted({code: first.count(code) for code in first}.items())
    told = ", ".join(f"{code} {count}" for code, count in counted) or "none"
    yield f"First to warn on what builds up: {told}."


def _left_out(part: Part) -> Iterable[str]:
    spared = [s for s in part.scores if s.case.kind != HEALTHY and s.spike is None]
    warned = sum(s.first is not None for s in spared)
    yield (
        f"Left out: {len(spared)} trainings in which something was done and the loss was never "
        f"lost ({warned} of them with a warning), and "
        f"{sum(s.case.kind == HEALTHY and not s.is_healthy for s in part.scores)} that were meant "
        "to be healthy and spiked or did not learn:"
    )
    for score in part.scores:
        if score.case.kind == HEALTHY and not score.is_healthy:
            said = f"{len(score.events)} events" if score.events else "no event"
            spike = "no spike" if score.spike is None else f"spike at {score.spike}"
            yield f"- {score.case.name}: accuracy {score.accuracy:.2f}, {spike}, {said}"


def _median(leads: Sequence[int]) -> str:
    return f"{median(leads):g}" if leads else "-"
