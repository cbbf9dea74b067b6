"""What a check of one or several targets gave: the subject of all formats."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from sppkit.rules import Diagnosis, Finding, Rule, Severity, TriedFix
from sppkit.version import __version__

Verdict = Literal["pass", "fail", "nothing observed", "error"]

PASSED, FINDINGS, BROKEN, NOTHING_OBSERVED = 0, 1, 2, 5

SIGNATURE = f"sppkit {__version__}"
"""What each format holds somewhere, by which a file is known as ours."""


@dataclass(frozen=True)
class Report:
    """One target: its diagnosis, or why there is none.

    Attributes:
        target: as it was typed, or the name of a configured model.
        diagnosis: None where the target broke.
        error: why it broke; "" where it did not.
        fail_on: the least severity that fails it, "error" or "warning".
        remarks: what a reader has to know besides the findings.
    """

    target: str
    diagnosis: Diagnosis | None = None
    error: str = ""
    fail_on: str = "error"
    remarks: tuple[str, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """Say "error" where there is no diagnosis, else what it says under `fail_on`."""
        if self.diagnosis is None:
            return "error"
        if self.diagnosis.verdict == "nothing observed":
            return "nothing observed"
        return "fail" if self.diagnosis.failed(self.fail_on) else "pass"

    @property
    def nothing_judged(self) -> str:
        """Why nothing was judged of a target that could be measured; "" where something was."""
        return self.diagnosis.nothing_judged if self.diagnosis else ""

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The findings, those in ignored layers too."""
        return self.diagnosis.findings if self.diagnosis else ()

    @property
    def counted(self) -> tuple[Finding, ...]:
        """The findings that no per-layer ignore covers."""
        return self.diagnosis.counted if self.diagnosis else ()

    @property
    def tried_fixes(self) -> tuple[TriedFix, ...]:
        """What fixes did to a copy, where they were tried."""
        return self.diagnosis.tried_fixes if self.diagnosis else ()

    def fails(self, finding: Finding) -> bool:
        """Say whether a finding by itself fails the check."""
        severe = {Severity.ERROR, Severity(self.fail_on)}
        return not finding.ignored and finding.severity in severe


@dataclass(frozen=True)
class CheckResults:
    """All targets of a check, with the rules that could be asked.

    Attributes:
        reports: one for each target, in their order.
        rules: every rule there is; formats take titles and advice from them.
        verbose: say what passed, what was skipped and why, where a format leaves it out.
    """

    reports: tuple[Report, ...]
    rules: tuple[Rule, ...] = ()
    verbose: bool = False

    @property
    def exit_code(self) -> int:
        """2 where a target broke, 5 where nothing was observed in one, 1 for findings, else 0."""
        verdicts = {report.verdict for report in self.reports}
        codes = {"error": BROKEN, "nothing observed": NOTHING_OBSERVED, "fail": FINDINGS}
        return next((code for verdict, code in codes.items() if verdict in verdicts), PASSED)

    @property
    def summary(self) -> str:
        """Say in a line how many targets there were and how many failed."""
        verdicts = Counter(report.verdict for report in self.reports)
        words: dict[Verdict, str] = {
            "pass": "passed",
            "fail": "failed",
            "error": "could not be checked",
            "nothing observed": "showed nothing",
        }
        said = [f"{verdicts[key]} {word}" for key, word in words.items() if verdicts[key]]
        count = len(self.reports)
        return f"{SIGNATURE}: {count} target{'s' * (count != 1)}, {', '.join(said)}."

    def rule(self, code: str) -> Rule | None:
        """Find a rule by its code."""
        return next((rule for rule in self.rules if rule.code == code), None)

    def __iter__(self) -> Iterator[Report]:
        """Go through the reports."""
        return iter(self.reports)


def fix_in_words(tried: TriedFix) -> str:
    """Say what was tried for which rules, and what came of it."""
    factor = "" if tried.fix.factor is None else f" by {tried.fix.factor:.3g}"
    what = f"{tried.fix.kind}{factor} for {', '.join(tried.codes)}"
    if not tried.applied:
        return f"{what}: not applied, {tried.remark}"
    verdicts = f"{tried.verdict_before} -> {tried.verdict_after}"
    if tried.probability_before is not None and tried.probability_after is not None:
        before, after = tried.probability_before, tried.probability_after
        verdicts += f", trains with probability {before:.2f} -> {after:.2f}"
    helped = "helped" if tried.helped else tried.remark or "did not help"
    return f"{what}: {helped} ({verdicts})"


def number(value: float | None) -> str:
    """Write a measured value.

    >>> number(1234567.0), number(0.5), number(None)
    ('1.23e+06', '0.5', '')
    """
    return "" if value is None else f"{value:.3g}"


def counts(findings: tuple[Finding, ...]) -> str:
    """Count findings by severity.

    >>> counts(())
    'no findings'
    """
    found = Counter(finding.severity for finding in findings)
    words = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "remark"}
    said = [f"{found[s]} {word}{'s' * (found[s] != 1)}" for s, word in words.items() if found[s]]
    return ", ".join(said) or "no findings"


def subject(finding: Finding) -> str:
    """Say what was measured: signal and statistic, in words."""
    statistic = finding.statistic.replace("_", " ")
    return " of the ".join(part for part in (statistic, finding.signal) if part)
