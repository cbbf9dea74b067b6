"""What is asked of a measurement and what it answers, as plain data that crosses processes."""

from dataclasses import dataclass, field
from enum import StrEnum

from benchmarks.pairs import Effort, Timing
from benchmarks.spread import Spread
from benchmarks.workloads import Circumstances


class Status(StrEnum):
    """How a measurement ended."""

    MEASURED = "measured"
    RAISES = "raises"
    ABSENT = "absent"


@dataclass(frozen=True)
class Request:
    """One variant on one workload.

    Attributes:
        kernel: which kernel sppkit is asked to use: auto, native or torch.
        threads: of torch.
    """

    workload: str
    variant: str
    kernel: str = "auto"
    threads: int = 1
    circumstances: Circumstances = field(default_factory=Circumstances)
    effort: Effort = field(default_factory=Effort)

    @property
    def flags(self) -> str:
        """The flags of the command line that ask for this."""
        circumstances, effort = self.circumstances, self.effort
        words = ["-w", self.workload, "-v", self.variant, "--kernel", self.kernel]
        words += ["--threads", str(self.threads), "--pairs", str(effort.pairs)]
        words += ["--seconds", f"{effort.seconds:g}", "--resolution", f"{effort.resolution:g}"]
        if circumstances.device != "cpu":
            words += ["--device", circumstances.device]
        if circumstances.batch is not None:
            words += ["--batch", str(circumstances.batch)]
        if circumstances.small:
            words.append("--quick")
        return " ".join(words)


@dataclass(frozen=True)
class Measurement:
    """The answer to a request.

    Attributes:
        kernel: the kernel that was in use, "" where nothing was read.
        notes: what a reader must know.
        steps: timed steps of a turn.
        pairs: how many turns of each side.
        plain_step: processor milliseconds of a plain step.
        plain_wall_step: wall milliseconds of one.
        processor_ratio, wall_ratio: instrumented over plain.
    """

    workload: str
    variant: str
    status: Status
    kernel: str = ""
    notes: tuple[str, ...] = ()
    steps: int = 0
    pairs: int = 0
    plain_step: float | None = None
    plain_wall_step: float | None = None
    processor_ratio: Spread | None = None
    wall_ratio: Spread | None = None
    command: str = ""


def measured(
    request: Request, timing: Timing, *, kernel: str, notes: tuple[str, ...]
) -> Measurement:
    """Make the answer of what was timed."""
    return Measurement(
        request.workload,
        request.variant,
        Status.MEASURED,
        kernel,
        notes,
        timing.steps,
        len(timing.pairs),
        1e3 * timing.plain_step.median,
        1e3 * timing.plain_wall_step.median,
        timing.processor_ratio,
        timing.wall_ratio,
        f"python -m benchmarks run {request.flags}",
    )
