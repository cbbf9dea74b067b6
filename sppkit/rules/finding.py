"""What a rule can say: a finding with its fix, or why it said nothing."""

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How much a finding weighs: an error fails the check, a warning may, info never does."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True)
class Fix:
    """A remedy that `sppkit check --try-fix` can apply to a copy of the network.

    Attributes:
        kind: "scale initialisation", "LSUV", "attention scale", "group-aware fan", ...
        layers: qualified names of the layers it applies to.
        factor: what to multiply the weights, or the logits, by; None where the kind decides.
    """

    kind: str
    layers: tuple[str, ...]
    factor: float | None = None


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, where, by how much, and what to do about it.

    Attributes:
        code: of the rule, such as "SPP101".
        severity: of this finding; a rule may find errors and warnings.
        layer: qualified name of the first layer at fault in order of execution; "" for the whole
            network.
        signal: what was measured there, a word of `sppkit.signals.Signal`, or "" for neither.
        statistic: the measured quantity, in words or as a column of the table.
        measured: its value; None where there is no number.
        expected: what a healthy network shows, in words.
        message: one sentence: what is wrong.
        advice: one or two sentences: what to do, with measured numbers.
        fix: the remedy, where one can be applied automatically.
        file, line: where the class of the layer is defined; "" and None where unknown.
        ignored: the reason where a per-layer ignore applies; such findings do not count.
    """

    code: str
    severity: Severity
    layer: str
    signal: str
    statistic: str
    measured: float | None
    expected: str
    message: str
    advice: str
    fix: Fix | None = None
    file: str = ""
    line: int | None = None
    ignored: str = ""


@dataclass(frozen=True)
class Skipped:
    """A rule that could not be applied, and why."""

    code: str
    reason: str


@dataclass(frozen=True)
class TriedFix:
    """What a fix did to a copy of the network.

    Attributes:
        fix: the remedy.
        codes: of the rules that named it.
        applied: what was changed, in words, layer by layer; empty where it could not be applied.
        helped: whether there are fewer errors than before, and no new one.
        verdict_before, verdict_after: "" where it was not applied.
        probability_before, probability_after: that the network trains; None where not known.
        measured: code of a finding, its value before and after; None after where it is gone.
        remark: why it could not be applied, or did not help; "" else.
    """

    fix: Fix
    codes: tuple[str, ...]
    applied: tuple[str, ...]
    helped: bool
    verdict_before: str
    verdict_after: str
    probability_before: float | None
    probability_after: float | None
    measured: tuple[tuple[str, float | None, float | None], ...]
    remark: str
