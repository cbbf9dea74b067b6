"""The rules that a command asks: those of a recording, and the one of a baseline."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sppkit.baselines import BaselineDrift
from sppkit.cli.check_flags import Asking, codes
from sppkit.cli.configuration import Configuration
from sppkit.patterns import matcher
from sppkit.recording import Recording
from sppkit.rules import Diagnosis, Rule, Severity, Skipped, all_rules
from sppkit.rules.selection import mark_ignored, selected, with_thresholds


@dataclass(frozen=True)
class Rulebook:
    """Which rules are asked, with which thresholds, and whose findings are set aside.

    Attributes:
        chosen: the codes that are asked.
        thresholds: code of a rule -> name of a threshold -> value.
        per_layer_ignores: pattern of layer names -> table with `codes` and `reason`.
    """

    chosen: frozenset[str]
    thresholds: Mapping[str, Mapping[str, float]]
    per_layer_ignores: Mapping[str, Any]

    def for_judge(self) -> dict[str, Any]:
        """Give the keyword arguments of `sppkit.rules.judge`."""
        names = {rule.code for rule in all_rules()}
        asked = sorted(self.chosen & names)
        return {
            "select": asked,
            "ignore": () if asked else ("ALL",),
            "thresholds": {c: values for c, values in self.thresholds.items() if c in names},
            "per_layer_ignores": self.per_layer_ignores,
        }

    def with_drift(
        self, diagnosis: Diagnosis, recording: Recording, baseline: Recording | None
    ) -> Diagnosis:
        """Add what the baseline says, where its rule is asked."""
        rule = BaselineDrift(**self.thresholds.get(BaselineDrift.code, {}))
        if rule.code not in self.chosen or baseline is None:
            return diagnosis
        outcome = rule.judge_against(baseline, recording)
        if outcome.skipped:
            skipped = (*diagnosis.skipped, Skipped(rule.code, outcome.skipped))
            return replace(diagnosis, skipped=skipped)
        if not outcome.findings:
            return replace(diagnosis, passed=(*diagnosis.passed, rule.code))
        found = mark_ignored(outcome.findings, self.per_layer_ignores)
        ordered = sorted(
            (*diagnosis.findings, *found), key=lambda f: list(Severity).index(f.severity)
        )
        return replace(diagnosis, findings=tuple(ordered))


def every_rule() -> tuple[Rule, ...]:
    """Return every rule that a check can ask, in the order of their codes."""
    return tuple(sorted((*all_rules(), BaselineDrift()), key=lambda rule: rule.code))


def open_rulebook(asking: Asking, configuration: Configuration) -> Rulebook:
    """Read which rules are asked.

    Raises:
        ValueError: a code, a pattern or a threshold means nothing.
    """
    rules = with_thresholds(every_rule(), configuration.thresholds)
    for pattern, entry in configuration.per_layer_ignores.items():
        matcher(pattern)
        selected(rules, entry["codes"])
    chosen = selected(
        rules, codes(asking.select), codes(asking.ignore), codes(asking.extend_select)
    )
    return Rulebook(
        frozenset(rule.code for rule in chosen),
        configuration.thresholds,
        configuration.per_layer_ignores,
    )
