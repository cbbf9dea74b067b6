"""The read by itself: `summarize` of one tensor, in multiples of `torch.sum` of the same one."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import cycle, islice
from typing import NamedTuple

import torch
from torch import Tensor

from benchmarks.clocks import device_clock
from benchmarks.kernel_choice import kernel_in_use
from benchmarks.spread import Spread, spread_of
from sppkit.kernels import summarize

TIMERS = {"cpu": time.process_time, "cuda": lambda: device_clock().wall}
"""Processor time, which other processes do not disturb; on a GPU the time until it is done."""

COLD_BYTES = 2**29
"""What is read in turns so that each tensor has left the caches when it comes again."""

TIMED_SECONDS = 2e-3
"""Calls are repeated until they take this long together."""


@dataclass(frozen=True)
class Case:
    """A tensor to read.

    Attributes:
        shape: its axes.
        channel_axis: axis of the channels.
        dtype: of its values.
        channels_last: in that memory format.
        cold: read from main memory.
    """

    shape: tuple[int, ...]
    channel_axis: int
    dtype: torch.dtype = torch.float32
    channels_last: bool = False
    cold: bool = False

    @property
    def description(self) -> str:
        """The case in words."""
        words = ["x".join(map(str, self.shape)), f"channels on axis {self.channel_axis}"]
        words += ["channels_last"] * self.channels_last
        words += [str(self.dtype).removeprefix("torch.")] * (self.dtype != torch.float32)
        return ", ".join([*words, "cold" if self.cold else "warm"])

    def tensors(self, device: str) -> list[Tensor]:
        """Make the tensor, or as many as it takes to be cold."""
        tensor = torch.randn(self.shape, dtype=self.dtype, device=device)
        if self.channels_last:
            tensor = tensor.contiguous(memory_format=torch.channels_last)
        copies = -(-COLD_BYTES // tensor.nbytes) if self.cold else 1
        return [tensor.clone() for _ in range(copies)]


CASES = (
    Case((16, 64, 32, 32), 1),
    Case((64, 64, 32, 32), 1, cold=True),
    Case((8, 16, 48, 48), 1),
    Case((128, 64), 1),
    Case((32, 64, 128), 2),
    Case((16, 64, 32, 32), 1, channels_last=True),
    Case((16, 64, 32, 32), 1, dtype=torch.bfloat16),
)

SMALL_CASES = (Case((2, 4, 8, 8), 1), Case((8, 4), 1))


@dataclass(frozen=True)
class ReadRequest:
    """What to read, and how often."""

    device: str = "cpu"
    threads: int = 1
    kernel: str = "auto"
    rounds: int = 9
    small: bool = False


class Read(NamedTuple):
    """What reading a tensor costs.

    Attributes:
        case: the tensor, in words.
        kernel: what read it.
        size: its bytes.
        total: seconds of `torch.sum`.
        base, extended: time of the read, in multiples of that.
    """

    case: str
    kernel: str
    size: int
    total: float
    base: Spread
    extended: Spread


def measure_reads(request: ReadRequest) -> list[Read]:
    """Time the reads of all cases."""
    torch.set_num_threads(request.threads)
    torch.manual_seed(0)
    cases = SMALL_CASES if request.small else CASES
    return [measure_read(case, request) for case in cases]


def measure_read(case: Case, request: ReadRequest) -> Read:
    """Time sum, base and extended read in turns."""
    tensors = case.tensors(request.device)
    functions: Sequence[Callable[[Tensor], Tensor]] = (
        torch.sum,
        partial(summarize, channel_axis=case.channel_axis, extended=False),
        partial(summarize, channel_axis=case.channel_axis, extended=True),
    )
    for function in functions:
        function(tensors[0])
    turns, timer = cycle(tensors), TIMERS[request.device]
    rounds = [
        [seconds_per_call(function, turns, timer) for function in functions]
        for _ in range(request.rounds)
    ]
    totals, base, extended = zip(*rounds, strict=True)
    return Read(
        case.description,
        kernel_in_use(request.device),
        tensors[0].nbytes,
        spread_of(totals).median,
        _multiples(base, totals),
        _multiples(extended, totals),
    )


def _multiples(times: Sequence[float], totals: Sequence[float]) -> Spread:
    return spread_of([time / total for time, total in zip(times, totals, strict=True)])


def seconds_per_call(
    function: Callable[[Tensor], object], tensors: Iterator[Tensor], timer: Callable[[], float]
) -> float:
    """Call with one tensor after the other, more and more often until it takes long enough."""
    calls = 1
    while True:
        start = timer()
        for tensor in islice(tensors, calls):
            function(tensor)
        elapsed = timer() - start
        if elapsed >= TIMED_SECONDS:
            return elapsed / calls
        calls *= 2
