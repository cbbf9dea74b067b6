"""What the early warning says."""

from dataclasses import asdict, dataclass, field
from typing import Any

from sppkit.rules.finding import Severity


@dataclass(frozen=True)
class Event:
    """Something that was noticed during training.

    Attributes:
        step: steps of the optimiser taken before the one in which it was seen.
        kind: the title of the rule.
        severity: of this event.
        layer: qualified name of the first layer at fault in the order of execution.
        message: one sentence: what, where, by how much, and at how many tensors.
        advice: what to do about it.
        evidence: `code` of the rule, `signal`, `tensor`, `statistic`, `measured` and `expected` at
            that layer, and at how many tensors (`affected`) of those looked at (`looked_at`).
    """

    step: int
    kind: str
    severity: Severity
    layer: str
    message: str
    advice: str
    evidence: dict[str, Any] = field(default_factory=dict)

    @property
    def code(self) -> str:
        """Of the rule."""
        return str(self.evidence["code"])

    def as_dict(self) -> dict[str, Any]:
        """Give it as a line of events.jsonl has it."""
        return {**asdict(self), "severity": str(self.severity)}

    def __str__(self) -> str:
        """Say it in a line."""
        return f"step {self.step}: {self.severity} {self.code}: {self.message}"
