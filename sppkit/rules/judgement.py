"""Ask every selected rule about one run of a recording."""

import dataclasses
import math
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from sppkit.recording import Recording
from sppkit.rules.catalogue import RULES
from sppkit.rules.curve import median
from sppkit.rules.diagnosis import Diagnosis
from sppkit.rules.evidence import Evidence
from sppkit.rules.finding import Finding, Severity, Skipped
from sppkit.rules.named import named_medians
from sppkit.rules.rule import Outcome, Rule
from sppkit.rules.selection import mark_ignored, selected, with_thresholds
from sppkit.rules.weighing import probability_of_training


def all_rules() -> tuple[Rule, ...]:
    """Return every rule with its default thresholds, in the order of their codes."""
    return RULES


def rules_with(own: Iterable[Rule]) -> tuple[Rule, ...]:
    """Return every rule, those of sppkit before those of a user.

    Raises:
        TypeError: one is no rule, such as the class in place of an instance of it.
        ValueError: two have the same code.
    """
    rules = RULES
    for rule in own:
        if not isinstance(rule, Rule):
            raise TypeError(
                f"rules= takes instances of subclasses of sppkit.rules.Rule, got {rule!r}"
                + (f"; give {rule.__name__}()" if isinstance(rule, type) else "")
            )
        if rule.code in {other.code for other in rules}:
            raise ValueError(
                f"{type(rule).__name__} has the code {rule.code!r}, which another rule has; "
                "choose one of your own, such as 'OWN001'"
            )
        rules = (*rules, rule)
    return rules


def named_statistics(recording: Recording, run: str | None = None) -> dict[str, float]:
    """Return the statistics that the weighing rule uses: logarithms, medians over seeds."""
    return named_medians(Evidence.of(recording, run))


def judge(
    recording: Recording,
    *,
    run: str | None = None,
    rules: Iterable[Rule] = (),
    select: Iterable[str] = (),
    ignore: Iterable[str] = (),
    extend_select: Iterable[str] = (),
    thresholds: Mapping[str, Mapping[str, float]] | None = None,
    per_layer_ignores: Mapping[str, Any] | None = None,
) -> Diagnosis:
    """Judge one run of a recording by its two frames alone.

    Args:
        recording: of `sppkit.check`, of a probe, or of training; or read from a file.
        run: which of its runs; needed where there are several.
        rules: of your own, which are asked beside those of sppkit.
        select, ignore, extend_select: codes, their beginnings ("SPP1"), or "ALL"; the most
            specific one wins, and without `select` every rule is asked.
        thresholds: code of a rule -> name of a threshold -> value.
        per_layer_ignores: pattern of layer names -> codes, or a mapping with `codes` and `reason`.

    Raises:
        TypeError: one of the rules is none.
        ValueError: an unknown run, code or threshold, or two rules of one code.
    """
    evidence = Evidence.of(recording, run)
    known = with_thresholds(rules_with(rules), thresholds or {})
    asked = selected(known, select, ignore, extend_select)
    answers = {rule: _answer(rule, evidence) for rule in asked} if evidence.observed else {}
    found = [finding for outcome in answers.values() for finding in outcome.findings]
    ordered = _in_order_of_execution(found, evidence)
    return Diagnosis(
        target=evidence.run,
        findings=mark_ignored(ordered, per_layer_ignores or {}),
        passed=tuple(r.code for r, o in answers.items() if not (o.findings or o.skipped)),
        skipped=tuple(Skipped(r.code, o.skipped) for r, o in answers.items() if o.skipped),
        not_captured=tuple(m for m in recording.not_captured if m.run == evidence.run),
        settings=_settings(evidence, asked),
        probability_of_training=probability_of_training(evidence) if evidence.observed else None,
        evidence=named_medians(evidence) if evidence.observed else {},
        seeds=evidence.seeds,
        observed=evidence.observed,
        nearness=_nearness(answers),
        stream=_stream(evidence) if evidence.observed else (),
    )


REFUTED = "; yet a rehearsal of training made progress, which outweighs it"


def _answer(rule: Rule, evidence: Evidence) -> Outcome:
    """Ask a rule; what it foretells is a warning at most where a rehearsal shows the contrary."""
    outcome = rule.judge(evidence)
    if not rule.foretells or not evidence.rehearsal_progressed:
        return outcome
    findings = tuple(_refuted(finding) for finding in outcome.findings)
    return Outcome(findings, outcome.skipped)  # no threshold is near that could change the verdict


def _refuted(finding: Finding) -> Finding:
    if finding.severity is not Severity.ERROR:
        return finding
    message = finding.message + REFUTED
    return dataclasses.replace(finding, severity=Severity.WARNING, message=message)


def _stream(evidence: Evidence) -> tuple[float, ...]:
    values = median(evidence.activation("second_moment").values, axis=0)
    return tuple(float(value) for value in values)


def _nearness(answers: Mapping[Rule, Outcome]) -> dict[str, float]:
    margins = {rule.code: outcome.margin for rule, outcome in answers.items()}
    return {code: margin for code, margin in margins.items() if not math.isnan(margin)}


def _settings(evidence: Evidence, rules: Iterable[Rule]) -> dict[str, Any]:
    stated = {k: v for k, v in evidence.metadata.items() if k != "not_captured"}
    return {**stated, "rules": {rule.code: rule.thresholds for rule in rules}}


def _in_order_of_execution(findings: list[Finding], evidence: Evidence) -> list[Finding]:
    depths = evidence.structure.groupby("layer")["depth"].min()
    severities = list(Severity)

    def place(finding: Finding) -> tuple[int, float, str]:
        depth = depths.get(finding.layer) if finding.layer else None
        known = float("inf") if depth is None or pd.isna(depth) else float(depth)
        return severities.index(finding.severity), known, finding.code

    return sorted(findings, key=place)
