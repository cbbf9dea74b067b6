"""The command line: `python -m benchmarks`."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.console import Console

from benchmarks.kernel_choice import KERNELS
from benchmarks.machine import describe_machine
from benchmarks.measurement import Measurement, Request, Status
from benchmarks.pairs import Effort
from benchmarks.reads import ReadRequest
from benchmarks.report import Report, print_report, write_report
from benchmarks.tables import (
    PROGRAM,
    memory_report,
    overhead_report,
    profile_report,
    reads_report,
)
from benchmarks.variants import VARIANTS
from benchmarks.worker import WorkerError, run_apart
from benchmarks.workloads import WORKLOADS, Circumstances

WORKLOAD_NAMES = [workload.name for workload in WORKLOADS]
VARIANT_NAMES = [variant.name for variant in VARIANTS]
MEMORY_VARIANTS = ["control", "naive", "every-step", "every-10", "extended", "update"]
QUICK_EFFORT = Effort(pairs=1, seconds=0.0)

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


Workloads = Annotated[
    list[str] | None,
    typer.Option(
        "-w",
        "--workload",
        help=f"One of {', '.join(WORKLOAD_NAMES)}; once for each.",
        show_default="all",
    ),
]
Variants = Annotated[
    list[str] | None,
    typer.Option(
        "-v",
        "--variant",
        help=f"One of {', '.join(VARIANT_NAMES)}; once for each.",
        show_default="all",
    ),
]
Kernels = Annotated[
    list[str] | None,
    typer.Option(
        "--kernel",
        help=f"What sppkit is asked to read with, one of {', '.join(KERNELS)}; once for each.",
        show_default="auto",
    ),
]
Threads = Annotated[int, typer.Option("--threads", min=1, help="Threads of torch.")]
OnDevice = Annotated[
    Device, typer.Option("--device", help="Where to train; on cuda in bfloat16, batch 128 or more.")
]
Batch = Annotated[
    int | None,
    typer.Option("--batch", min=2, help="Samples of a batch.", show_default="the workload's"),
]
Output = Annotated[
    list[Path] | None,
    typer.Option("--output", help="Also write a file, .md or .csv; once for each."),
]
Quick = Annotated[
    bool, typer.Option("--quick", help="Shrink everything: shows that it runs, and no more.")
]


@app.command()
def run(
    workload: Workloads = None,
    variant: Variants = None,
    kernel: Kernels = None,
    threads: Threads = 1,
    pairs: Annotated[int, typer.Option(min=1, help="Fewest pairs of turns.")] = 15,
    seconds: Annotated[float, typer.Option(min=0, help="Time for each row of the table.")] = 60,
    resolution: Annotated[
        float, typer.Option(min=0, help="Stop when the median ratio is known to this.")
    ] = 0.01,
    device: OnDevice = Device.CPU,
    batch: Batch = None,
    output: Output = None,
    quick: Quick = False,
) -> None:
    """Time training steps with a recorder against plain ones, in turns."""
    request = _request(threads, device, batch, quick=quick)
    request = replace(request, effort=QUICK_EFFORT if quick else Effort(pairs, seconds, resolution))
    _check_output(output)
    requests = _each(request, workload, variant, kernel)
    facts = describe_machine(threads, device)
    _show(overhead_report(list(_measured("overhead", requests)), facts), output)


@app.command()
def memory(
    workload: Workloads = None,
    variant: Annotated[
        list[str] | None,
        typer.Option(
            "-v",
            "--variant",
            help=f"One of {', '.join(VARIANT_NAMES)}; once for each.",
            show_default=", ".join(MEMORY_VARIANTS),
        ),
    ] = None,
    kernel: Kernels = None,
    threads: Threads = 1,
    device: OnDevice = Device.CPU,
    batch: Batch = None,
    output: Output = None,
    quick: Quick = False,
) -> None:
    """Count the memory of a step with a recorder beyond that of a plain one."""
    _check_output(output)
    request = _request(threads, device, batch, quick=quick)
    requests = _each(request, workload, variant or MEMORY_VARIANTS, kernel)
    facts = describe_machine(threads, device)
    _show(memory_report(list(_measured("memory", requests)), facts), output)


@app.command()
def kernels(
    kernel: Kernels = None,
    threads: Threads = 1,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds for each tensor.")] = 9,
    device: OnDevice = Device.CPU,
    output: Output = None,
    quick: Quick = False,
) -> None:
    """Time the read of one tensor, in multiples of torch.sum."""
    _check_device(device)
    _check_output(output)
    asked = _chosen("--kernel", kernel or ["auto"], KERNELS)
    requests = [ReadRequest(str(device), threads, name, rounds, quick) for name in asked]
    reads = [read for request in requests for read in _apart("reads", request)]
    words = [PROGRAM, "kernels", *(f"--kernel {name}" for name in asked), f"--threads {threads}"]
    words += [f"--rounds {rounds}", *[f"--device {device}"] * (device is not Device.CPU)]
    command = " ".join([*words, *["--quick"] * quick])
    _show(reads_report(reads, describe_machine(threads, device), command), output)


@app.command()
def profile(
    workload: Annotated[str, typer.Option("-w", "--workload", help="Which one.")] = "mlp",
    variant: Annotated[str, typer.Option("-v", "--variant", help="Which one.")] = "every-step",
    kernel: Annotated[str, typer.Option("--kernel", help="What sppkit reads with.")] = "auto",
    threads: Threads = 1,
    device: OnDevice = Device.CPU,
    batch: Batch = None,
    output: Output = None,
    quick: Quick = False,
) -> None:
    """Profile a step with a recorder, function by function, beyond a plain one."""
    _check_output(output)
    request = _request(threads, device, batch, quick=quick)
    (request,) = _each(request, [workload], [variant], [kernel])
    facts = describe_machine(threads, device)
    _show(profile_report(next(_measured("profile", [request])), facts), output)


@app.command("list")
def list_names() -> None:
    """List workloads and variants."""
    for title, entries in (("Workloads", WORKLOADS), ("Variants", VARIANTS)):
        typer.echo(f"{title}:")
        for entry in entries:
            typer.echo(f"  {entry.name:18} {entry.description}")


def _request(threads: int, device: Device, batch: int | None, *, quick: bool) -> Request:
    _check_device(device)
    on_device = device is Device.CUDA
    circumstances = Circumstances(str(device), on_device, batch, small=quick)
    return Request("", "", threads=threads, circumstances=circumstances)


def _each(
    request: Request,
    workloads: Sequence[str] | None,
    variants: Sequence[str] | None,
    kernels: Sequence[str] | None,
) -> list[Request]:
    """Ask for all that was named; for every kernel only where one reads."""
    reading = {variant.name for variant in VARIANTS if variant.reads}
    asked = _chosen("--kernel", kernels or ["auto"], KERNELS)
    return [
        replace(request, workload=workload, variant=variant, kernel=kernel)
        for workload in _chosen("--workload", workloads, WORKLOAD_NAMES)
        for variant in _chosen("--variant", variants, VARIANT_NAMES)
        for kernel in (asked if variant in reading else asked[:1])
    ]


def _measured(task: str, requests: Sequence[Request]) -> Iterator[Measurement[Any]]:
    """Measure one after the other, and say on a terminal which; an interrupt ends it."""
    with Console(stderr=True).status("") as status:
        for number, request in enumerate(requests, 1):
            status.update(f"{number}/{len(requests)} {request.what}")
            try:
                yield _one_measured(task, request)
            except KeyboardInterrupt:
                typer.echo(f"interrupted: {len(requests) - number + 1} not measured", err=True)
                return


def _one_measured(task: str, request: Request) -> Measurement[Any]:
    try:
        answer: Measurement[Any] = run_apart(
            task, request, kernel=request.kernel, threads=request.threads
        )
    except WorkerError as error:
        return Measurement(request, Status.RAISES, notes=(str(error),))
    return answer


def _apart(task: str, request: ReadRequest) -> Any:
    try:
        return run_apart(task, request, kernel=request.kernel, threads=request.threads)
    except WorkerError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from None


def _chosen(option: str, names: Sequence[str] | None, known: Sequence[str]) -> list[str]:
    for name in names or ():
        if name not in known:
            message = f"{name!r} is unknown; choose of {', '.join(known)}"
            raise typer.BadParameter(message, param_hint=option)
    return list(dict.fromkeys(names or known))


def _check_device(device: Device) -> None:
    if device is Device.CUDA and not torch.cuda.is_available():
        raise typer.BadParameter("torch sees no CUDA device here", param_hint="--device")


def _check_output(output: Iterable[Path] | None) -> None:
    """Refuse a file name before an hour is spent on what goes into it."""
    for path in output or ():
        if path.suffix not in (".md", ".csv"):
            raise typer.BadParameter(
                f"{str(path)!r} must end in .md or .csv", param_hint="--output"
            )


def _show(report: Report, output: Iterable[Path] | None) -> None:
    print_report(report)
    for path in output or ():
        write_report(report, path)


def main() -> None:
    """Run the command line."""
    app(prog_name=PROGRAM)
