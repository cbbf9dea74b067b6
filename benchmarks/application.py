"""The command line: `python -m benchmarks`."""

from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from benchmarks.kernel_choice import KERNELS
from benchmarks.machine import describe_machine
from benchmarks.measurement import Measurement, Request
from benchmarks.overhead import overhead_report
from benchmarks.pairs import Effort
from benchmarks.report import Report, print_report, write_report
from benchmarks.variants import VARIANTS
from benchmarks.worker import measure_apart
from benchmarks.workloads import WORKLOADS, Circumstances

app = typer.Typer(
    name="benchmarks",
    help="Measure what recording a training loop costs.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class Device(StrEnum):
    """Where networks are trained."""

    CPU = "cpu"
    CUDA = "cuda"


QUICK_EFFORT = Effort(pairs=2, seconds=0.0, settling=1)

Workloads = Annotated[
    list[str] | None,
    typer.Option(
        "-w",
        "--workload",
        help=f"Of {', '.join(w.name for w in WORKLOADS)}; once for each.",
        show_default="all",
    ),
]
Variants = Annotated[
    list[str] | None,
    typer.Option(
        "-v",
        "--variant",
        help=f"Of {', '.join(v.name for v in VARIANTS)}; once for each.",
        show_default="all",
    ),
]
Kernels = Annotated[
    list[str] | None,
    typer.Option(
        "--kernel",
        help=f"Kernel that sppkit is asked to use, of {', '.join(KERNELS)}; once for each.",
        show_default="auto",
    ),
]
Threads = Annotated[int, typer.Option("--threads", min=1, help="Threads of torch.")]
Output = Annotated[
    list[Path] | None, typer.Option("--output", help="File to write, .md or .csv; once for each.")
]
Quick = Annotated[bool, typer.Option("--quick", help="Shrink everything: see that it runs.")]


@app.callback()
def _benchmarks() -> None:
    """Measure what recording a training loop costs."""


@app.command()
def run(
    workload: Workloads = None,
    variant: Variants = None,
    kernel: Kernels = None,
    threads: Threads = 1,
    pairs: Annotated[int, typer.Option(min=1, help="Fewest pairs of turns.")] = 15,
    seconds: Annotated[float, typer.Option(min=0, help="Time for each variant.")] = 60.0,
    resolution: Annotated[
        float, typer.Option(min=0, help="Stop when the median ratio is known to this.")
    ] = 0.01,
    device: Annotated[Device, typer.Option(help="Where to train; cuda is in bfloat16.")] = (
        Device.CPU
    ),
    batch: Annotated[int | None, typer.Option(min=2, help="Samples of a batch.")] = None,
    output: Output = None,
    quick: Quick = False,
) -> None:
    """Time training steps with and without collectors, in turns."""
    _check_device(device)
    effort = QUICK_EFFORT if quick else Effort(pairs, seconds, resolution)
    circumstances = Circumstances(device, device is Device.CUDA, batch, small=quick)
    facts = describe_machine(threads, device)
    requests = [
        Request(name, changed, asked, threads, circumstances, effort)
        for name in _chosen("--workload", workload, [w.name for w in WORKLOADS])
        for changed in _chosen("--variant", variant, [v.name for v in VARIANTS])
        for asked in _kernels_for(changed, _chosen("--kernel", kernel or ["auto"], KERNELS))
    ]
    _show(overhead_report(list(_measured(requests)), facts), output)


def _measured(requests: Sequence[Request]) -> Iterator[Measurement]:
    """Measure one after the other, and say on the terminal which."""
    with Console(stderr=True).status("") as status:
        for number, request in enumerate(requests, 1):
            status.update(f"{number}/{len(requests)} {request.workload} {request.variant}")
            yield measure_apart(request)


def _kernels_for(variant: str, kernels: Sequence[str]) -> Sequence[str]:
    """Ask for every kernel only where one reads."""
    reads = next(v.reads for v in VARIANTS if v.name == variant)
    return kernels if reads else kernels[:1]


def _chosen(option: str, names: Sequence[str] | None, known: Sequence[str]) -> Sequence[str]:
    for name in names or ():
        if name not in known:
            raise typer.BadParameter(
                f"{name!r} is unknown; choose of {', '.join(known)}", param_hint=option
            )
    return list(dict.fromkeys(names)) if names else known


def _check_device(device: Device) -> None:
    import torch

    if device is Device.CUDA and not torch.cuda.is_available():
        raise typer.BadParameter("torch sees no CUDA device here", param_hint="--device")


def _show(report: Report, output: Iterable[Path] | None) -> None:
    print_report(report)
    for path in output or ():
        write_report(report, path)


def main() -> None:
    """Run the command line."""
    app(prog_name="python -m benchmarks")
