"""One comparison of a reference network's signal propagation with published numbers."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Case:
    """One curve.

    Attributes:
        reference: name of the bundled network.
        arguments: of its factory.
        input_size: of one sample.
        input: "gaussian", "pink" or "digits".
        activate: whether silent gains are set to one while measuring.
        seeds, batch_size: of the probe.
        tap: "block" or "residual branch".
        statistic: column of the table.
        published: what it should be, block by block; fewer values are those of the first blocks.
        tolerance: relative; None where the number is context and not to be met.
        source: where the numbers are from: theory, a paper, or an author's code run by someone.
    """

    reference: str
    tap: str
    statistic: str
    published: tuple[float, ...]
    source: str
    arguments: dict[str, Any] = field(default_factory=dict)
    input_size: tuple[int, ...] = (3, 64, 64)
    input: str = "gaussian"
    activate: bool = False
    seeds: int = 3
    batch_size: int = 8
    tolerance: float | None = 0.05

    def probe(self) -> tuple[Any, ...]:
        """Return what the recording depends on: cases that agree in it share one."""
        arguments = tuple(sorted(self.arguments.items()))
        size = (self.input_size, self.input, self.activate, self.seeds, self.batch_size)
        return (self.reference, arguments, *size)

    def title(self) -> str:
        """Say network, arguments and input in a line."""
        arguments = ", ".join(f"{key}={value}" for key, value in self.arguments.items())
        size = "x".join(map(str, self.input_size))
        built = f"{self.reference}({arguments})" if arguments else self.reference
        return f"{built}, {size} {self.input}{', activated' if self.activate else ''}"
