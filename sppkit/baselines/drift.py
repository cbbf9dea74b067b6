"""The rule that asks whether a network moved away from its baseline."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from sppkit.baselines.comparison import Comparison, compare
from sppkit.recording import Recording
from sppkit.rules import Finding, Outcome, Rule, Severity
from sppkit.rules.rule import threshold
from sppkit.signals import Signal

if TYPE_CHECKING:
    import pandas as pd

    from sppkit.rules.evidence import Evidence


@dataclass(frozen=True)
class BaselineDrift(Rule):
    """A layer carries its signal otherwise than when the baseline was written.

    Look at what changed between the two (`sppkit diff` lists every layer). If the change is meant,
    write the baseline again: sppkit baseline TARGET --update.
    """

    code: ClassVar[str] = "SPP902"
    title: ClassVar[str] = "drift from the baseline"
    severity: ClassVar[Severity] = Severity.ERROR

    maximum_sigmas: float = threshold(
        3.0, "ours: three standard deviations between the seeds of the baseline and of the run"
    )

    def judge(self, evidence: "Evidence") -> Outcome:
        """Pass by: one recording alone has no baseline."""
        return Outcome(skipped="no baseline was given (--baseline)")

    def judge_against(self, baseline: Recording, recording: Recording) -> Outcome:
        """Answer for two recordings of one architecture."""
        comparison = compare(baseline, recording)
        if not comparison.has_spread:
            return Outcome(skipped="one seed on both sides: nobody knows their spread")
        moved = comparison.moved(self.maximum_sigmas)
        return Outcome((self._finding(comparison, moved),)) if len(moved) else Outcome()

    def _finding(self, comparison: Comparison, moved: "pd.DataFrame") -> Finding:
        forward = moved[moved["signal"] == Signal.ACTIVATION]
        first = (forward if len(forward) else moved).iloc[0]
        layers, all_layers = moved["layer"].nunique(), comparison.shifts["layer"].nunique()
        statistic = str(first["statistic"])
        return Finding(
            code=self.code,
            severity=self.severity,
            layer=str(first["layer"]),
            signal=str(first["signal"]),
            statistic=statistic,
            measured=float(first["after"]),
            expected=f"{first['before']:.3g}, as in the baseline",
            message=(
                f"{layers} of {all_layers} layers moved by more than "
                f"{comparison.threshold(self.maximum_sigmas):.3g} standard deviations between "
                f"seeds, the first is {first['layer'] or 'the root'}: "
                f"the {statistic.replace('_', ' ')} of its {first['signal']} went from "
                f"{first['before']:.3g} to {first['after']:.3g} ({first['sigmas']:+.3g} sigma)."
            ),
            advice=" ".join(self.advice.split("\n\n")[-1].split()),
        )
