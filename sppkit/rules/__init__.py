"""Rules: what the two frames of a recording say about whether the network will train.

    diagnosis = judge(recording)
    diagnosis.verdict, diagnosis.first_offender, diagnosis.to_dict()

A rule of one's own is a frozen dataclass that inherits from `Rule`, and is asked beside the others:

    judge(recording, rules=[OwnRule()])
    sppkit.check(model, rules=[OwnRule()])

Nothing here runs a network or imports torch: a recording that was read from a file is judged alike.
"""

from sppkit.rules.diagnosis import Diagnosis
from sppkit.rules.evidence import Evidence
from sppkit.rules.finding import Finding, Fix, Severity, Skipped, TriedFix
from sppkit.rules.judgement import all_rules, judge, named_statistics
from sppkit.rules.rule import Outcome, Rule, threshold

__all__ = [
    "Diagnosis",
    "Evidence",
    "Finding",
    "Fix",
    "Outcome",
    "Rule",
    "Severity",
    "Skipped",
    "TriedFix",
    "all_rules",
    "judge",
    "named_statistics",
    "threshold",
]
