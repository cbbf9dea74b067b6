"""The verdict about one network: findings, what passed, what was skipped, under what settings."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from html import escape
from typing import Any, Literal

from sppkit import notebook
from sppkit.recording import NotCaptured
from sppkit.rules.finding import Finding, Severity, Skipped, TriedFix

SCHEMA_VERSION = 1

Verdict = Literal["pass", "fail", "nothing observed"]

_FAILING = {
    Severity.ERROR: frozenset({Severity.ERROR}),
    Severity.WARNING: frozenset({Severity.ERROR, Severity.WARNING}),
}


@dataclass(frozen=True)
class Diagnosis:
    """What the rules say about one run of a recording.

    Attributes:
        target: the run that was judged.
        findings: in the order of the layers' execution, errors before warnings before info.
        passed: codes of the rules that found nothing.
        skipped: rules that could not be applied, with their reasons.
        not_captured: what the recording says was not measured.
        settings: what was measured under, and the thresholds in use.
        probability_of_training: by the weighing rule; None where it was skipped.
        evidence: the named statistics that the decision weighs, medians over seeds.
        seeds: the seeds that were decided over.
        observed: whether any activation was read at all.
        nearness: distance of each rule's evidence to its threshold, in standard errors over seeds
            (positive: found); a small absolute value asks for more seeds.
        tried_fixes: what the fixes did to a copy, where they were tried.
        stream: second moment along the network, one value per place, for the sparkline.
    """

    target: str
    findings: tuple[Finding, ...] = ()
    passed: tuple[str, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    not_captured: tuple[NotCaptured, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    probability_of_training: float | None = None
    evidence: dict[str, float] = field(default_factory=dict)
    seeds: tuple[int, ...] = ()
    observed: bool = True
    nearness: Mapping[str, float] = field(default_factory=dict)
    tried_fixes: tuple[TriedFix, ...] = ()
    stream: tuple[float, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """Say "fail" where an error was found, "nothing observed" where nothing was judged."""
        if self.nothing_judged:
            return "nothing observed"
        return "fail" if self.failed() else "pass"

    @property
    def nothing_judged(self) -> str:
        """Why nothing was judged, in a sentence; "" where something was."""
        if not self.observed:
            return "No activation was read, so there is nothing to judge."
        if self.skipped and not (self.passed or self.findings):
            reasons = "; ".join(f"{skipped.code}: {skipped.reason}" for skipped in self.skipped[:3])
            return f"Every rule that was asked was skipped, so nothing was judged ({reasons})."
        return ""

    def failed(self, fail_on: str = Severity.ERROR) -> bool:
        """Say whether a finding that counts is at least as severe as `fail_on`.

        Raises:
            ValueError: `fail_on` is neither "error" nor "warning".
        """
        if fail_on not in tuple(_FAILING):
            raise ValueError(f"fail_on is 'error' or 'warning', got {fail_on!r}")
        severities = _FAILING[Severity(fail_on)]
        return any(finding.severity in severities for finding in self.counted)

    @property
    def counted(self) -> tuple[Finding, ...]:
        """The findings that no per-layer ignore covers."""
        return tuple(finding for finding in self.findings if not finding.ignored)

    @property
    def first_offender(self) -> Finding | None:
        """The most severe finding that names a layer, or, of several, the first executed."""
        serious = [f for f in self.counted if f.severity is not Severity.INFO]
        named = [finding for finding in serious if finding.layer] or serious
        return named[0] if named else None

    def to_dict(self) -> dict[str, Any]:
        """Give plain data for JSON: schema 1; numbers that are not finite become text."""
        return {
            "schema": SCHEMA_VERSION,
            "target": self.target,
            "verdict": self.verdict,
            "probability_of_training": _plain(self.probability_of_training),
            "findings": [_plain(asdict(finding)) for finding in self.findings],
            "passed": list(self.passed),
            "skipped": [asdict(skipped) for skipped in self.skipped],
            "not_captured": [asdict(missing) for missing in self.not_captured],
            "settings": _plain(self.settings),
            "evidence": _plain(self.evidence),
            "nearness": _plain(dict(self.nearness)),
            "seeds": list(self.seeds),
            "tried_fixes": [_plain(asdict(tried)) for tried in self.tried_fixes],
        }

    def __repr__(self) -> str:
        """Say the verdict in one line."""
        parts = [f"target={self.target!r}", self.verdict, _counts(self.counted)]
        if self.probability_of_training is not None:
            parts.append(f"trains with probability {self.probability_of_training:.2f}")
        if self.first_offender is not None and self.first_offender.layer:
            parts.append(f"first at {self.first_offender.layer!r}")
        return f"Diagnosis({', '.join(parts)})"

    def _repr_html_(self) -> str:
        """Draw a static table for notebooks; no script, everything escaped."""
        rows = "".join(_html_row(finding) for finding in self.findings)
        header = notebook.row(("rule", "severity", "layer", "finding"), "th")
        skipped = [f"{skipped.code}: {skipped.reason}" for skipped in self.skipped]
        curve = notebook.sparkline(self.stream, "second moment over depth")
        return (
            f"<div><p><strong>{escape(self.target)}: {escape(self.verdict)}</strong> "
            f"({escape(_counts(self.counted))}; {len(self.passed)} rules passed, "
            f"{len(self.skipped)} skipped) {curve}</p>"
            + (f"<table>{header}{rows}</table>" if rows else "")
            + notebook.folded("skipped", skipped)
            + "</div>"
        )


def _counts(findings: tuple[Finding, ...]) -> str:
    counts = [sum(f.severity is severity for f in findings) for severity in Severity]
    words = [
        f"{count} {severity.value}{'s' if count != 1 and severity is not Severity.INFO else ''}"
        for severity, count in zip(Severity, counts, strict=True)
        if count
    ]
    return ", ".join(words) or "no findings"


def _html_row(finding: Finding) -> str:
    severity = f"{finding.severity.value} (ignored)" if finding.ignored else finding.severity.value
    told = f"{escape(finding.message)}<br><em>{escape(finding.advice)}</em>"
    plain = (finding.code, severity, finding.layer or "(network)")
    return notebook.row([*map(escape, plain), told])


def _plain(value: Any) -> Any:
    """Make values that JSON has no word for into text."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
