"""What a rule is: a code, a question, thresholds with their sources, and a three-valued answer."""

import dataclasses
import inspect
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from sppkit.rules.finding import Finding, Fix, Severity

if TYPE_CHECKING:
    from sppkit.rules.evidence import Evidence


@dataclass(frozen=True)
class Outcome:
    """The answer of a rule: passed (no findings, no reason), failed, or skipped with a reason.

    Attributes:
        findings: what is wrong; none where the rule passed.
        skipped: why the rule could not be applied; "" where it was.
        margin: how far the evidence is beyond the threshold, in standard errors over the seeds;
            negative on the healthy side, NaN where there is no such measure.
    """

    findings: tuple[Finding, ...] = ()
    skipped: str = ""
    margin: float = float("nan")


def threshold(default: float, source: str) -> Any:
    """Declare a threshold of a rule: a field of the dataclass, with where its value comes from.

    Examples:
        >>> @dataclass(frozen=True)
        ... class FewSamples(Rule):
        ...     code, title, severity = "OWN001", "few samples", Severity.INFO
        ...     least: float = threshold(8.0, "samples; a first guess")
        ...     def judge(self, evidence):
        ...         return Outcome()
        >>> FewSamples().thresholds, FewSamples().sources
        ({'least': 8.0}, {'least': 'samples; a first guess'})
    """
    return dataclasses.field(default=default, metadata={"source": source})


@dataclass(frozen=True)
class RuleBase(ABC):
    """What every rule has; its docstring is the advice, its fields are its thresholds.

    Attributes:
        code: as written in selections and findings.
        title: what it asks, in a few words.
        severity: of its findings, at worst.
    """

    code: ClassVar[str]
    title: ClassVar[str]
    severity: ClassVar[Severity]

    @property
    def thresholds(self) -> dict[str, float]:
        """The thresholds in use, by name."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}

    @property
    def sources(self) -> dict[str, str]:
        """Where the default of each threshold comes from, by name."""
        return {f.name: f.metadata.get("source", "") for f in dataclasses.fields(self)}

    @property
    def advice(self) -> str:
        """What to do about a finding: the docstring of the rule."""
        return inspect.cleandoc(type(self).__doc__ or "")

    def with_thresholds(self, values: dict[str, float]) -> Self:
        """Return the rule with other thresholds.

        Raises:
            ValueError: the rule has no threshold of that name.
        """
        unknown = [name for name in values if name not in self.thresholds]
        if unknown:
            known = ", ".join(self.thresholds) or "none"
            raise ValueError(
                f"{self.code} ({self.title}) has no threshold {unknown[0]!r}; it has: {known}"
            )
        return dataclasses.replace(self, **values)


@dataclass(frozen=True)
class Rule(RuleBase):
    """A question about one run of a recording.

    Attributes:
        foretells: whether its errors say that nothing will be learned, which a rehearsal of
            training refutes where it makes progress; other errors are facts.
    """

    foretells: ClassVar[bool] = True

    @abstractmethod
    def judge(self, evidence: "Evidence") -> Outcome:
        """Answer for the evidence of one run."""

    def finding(
        self,
        evidence: "Evidence",
        layer: str,
        *,
        statistic: str,
        measured: float | None,
        expected: str,
        message: str,
        advice: str,
        signal: str = "",
        severity: Severity | None = None,
        fix: Fix | None = None,
    ) -> Finding:
        """Make a finding of this rule; file and line are those of the user's class around it."""
        file, line = evidence.source(layer)
        return Finding(
            code=self.code,
            severity=severity or self.severity,
            layer=layer,
            signal=signal,
            statistic=statistic,
            measured=measured,
            expected=expected,
            message=message,
            advice=advice,
            fix=fix,
            file=file,
            line=line,
        )
