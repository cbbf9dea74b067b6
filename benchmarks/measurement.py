"""What is asked of a measurement and what it answers, as plain data that crosses processes."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Generic, TypeVar

from benchmarks.bench import Rows
from benchmarks.pairs import Effort, Timing
from benchmarks.workloads import Circumstances


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
    def what(self) -> str:
        """The flags that name what is measured."""
        return f"-w {self.workload} -v {self.variant} --kernel {self.kernel}"

    @property
    def how(self) -> str:
        """The flags that name how it is measured."""
        circumstances, effort = self.circumstances, self.effort
        words = [f"--threads {self.threads}"]
        if circumstances.device != "cpu":
            words.append(f"--device {circumstances.device}")
        if circumstances.batch is not None:
            words.append(f"--batch {circumstances.batch}")
        if circumstances.small:
            return " ".join([*words, "--quick"])
        words.append(f"--pairs {effort.pairs} --seconds {effort.seconds:g}")
        return " ".join([*words, f"--resolution {effort.resolution:g}"])


class Status(StrEnum):
    """How a measurement ended."""

    MEASURED = "measured"
    RAISES = "raises"
    ABSENT = "absent"


T = TypeVar("T")


@dataclass(frozen=True)
class Measurement(Generic[T]):
    """The answer to a request.

    Attributes:
        request: what was asked.
        status: how it ended.
        result: what was measured, None where nothing was.
        kernel: the kernel that was in use, "" where nothing was read.
        rows: rows of the table that one recorded step left, by signal.
        notes: what a reader must know.
    """

    request: Request
    status: Status
    result: T | None = None
    kernel: str = ""
    rows: Rows = field(default_factory=dict)
    notes: tuple[str, ...] = ()


Overhead = Measurement[Timing]
