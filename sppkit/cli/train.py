"""`sppkit train`: real training of several networks, side by side, recorded as it goes."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sppkit.cli.console import print_error, print_remark, results
from sppkit.cli.flag_groups import with_flags
from sppkit.cli.flags import Talking
from sppkit.cli.training.flags import Executor, Feeding, Keeping, Learning, Running
from sppkit.escaping import printable

if TYPE_CHECKING:
    from sppkit.cli.training.orders import Begin, Order, Result
    from sppkit.cli.training.tasks import PlannedRun
    from sppkit.training.outcome import Outcome
    from sppkit.training.parallel import Parallel

_TARGETS = (
    "model.py, model.py:Name, package.module:name, ref:NAME, timm:NAME, torchvision:NAME, "
    "hf:TYPE or hf:DIRECTORY of transformers, hub:DIRECTORY:ENTRYPOINT of torch.hub"
)
_DIVERGED = 1
_FAILED = 2


@with_flags
def train(
    context: typer.Context,
    feeding: Feeding,
    learning: Learning,
    running: Running,
    keeping: Keeping,
    talking: Talking,
    targets: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TARGET",
            help=f"Network to train: {_TARGETS}. Several are trained on the same data in the same "
            "order, one after the other, or --jobs at a time.",
        ),
    ] = None,
) -> None:
    """Train networks for real, side by side, and record how their signals change.

    Each run gets a folder: report.html to look at, run.json, metrics.parquet (a row per step),
    recording/ (read by sppkit plot), events.jsonl and checkpoint.pt, from which --resume goes on.
    Leaves with 1 where a run diverged or was stopped.
    """
    if learning.presets:
        from sppkit.cli.training.presets import show_presets

        show_presets(learning, talking.color)
        return
    from sppkit.cli.commands import typed_command
    from sppkit.cli.training.orders import Order
    from sppkit.cli.training.ranks import joined

    if running.executor is Executor.RAY:
        from sppkit.cli.training.ray import check_ray

        check_ray()
    if keeping.resume and keeping.force:
        raise ValueError("--resume goes on with a run and --force replaces it; keep one of them.")
    with joined(running) as parallel:
        if not parallel.is_first:
            talking = replace(talking, quiet=True)
        order = Order(tuple(targets or ()), learning, feeding, running, keeping)
        code = _train(order, parallel, talking, typed_command(context))
    if code:
        raise typer.Exit(code)


def _train(order: "Order", parallel: "Parallel", talking: Talking, command: str) -> int:
    """Train what was ordered, draw and tell it; give the exit code."""
    from sppkit.cli.runs.report import report_run
    from sppkit.cli.training.plots import check_pictures, draw_runs

    keeping = order.keeping
    planned = order.plan(parallel)
    if parallel.is_first:
        check_pictures(keeping.output)
        _take_folders(planned, keeping)
    parallel.first_says("the folders are free")
    outcomes, failed = _train_all(planned, order, talking)
    if parallel.is_first:
        folders = [run.folder.path for run, _ in outcomes]
        places = draw_runs(folders, keeping.output)
        for folder in folders:
            report_run(folder, command)
        _print(outcomes, places, talking)
        _tell_of_the_paper(order.learning, folders, talking)
    if failed:
        return _FAILED
    return _DIVERGED if any(outcome.ended != "finished" for _, outcome in outcomes) else 0


def _take_folders(planned: Sequence["PlannedRun"], keeping: Keeping) -> None:
    """Refuse what is there before any work is done; with --force, delete earlier runs."""
    for run in planned:
        if keeping.force and run.folder.holds_a_run:
            run.folder.clear()
        elif not (keeping.resume and run.folder.holds_a_run):
            run.folder.check_is_free()


def _train_all(
    planned: Sequence["PlannedRun"], order: "Order", talking: Talking
) -> tuple[list[tuple["PlannedRun", "Outcome"]], bool]:
    """Train all; of several runs, one that fails does not stop the others."""
    from sppkit.cli.training.orders import Failure
    from sppkit.cli.training.progress import progress_of

    outcomes: dict[int, Outcome] = {}
    with progress_of(len(planned), shown=not talking.quiet, color=talking.color) as begin:
        for index, result in _results(planned, order, begin):
            if isinstance(result, Failure):
                if talking.verbose:
                    print_remark(result.details, talking.color)
                print_error(f"{planned[index].name}: {result.message}", talking.color)
            else:
                outcomes[index] = result
    ended = [(planned[index], outcomes[index]) for index in sorted(outcomes)]
    return ended, len(ended) < len(planned)


def _results(
    planned: Sequence["PlannedRun"], order: "Order", begin: "Begin"
) -> Iterator[tuple[int, "Result"]]:
    """Train all runs, one after the other here or several at a time elsewhere."""
    running = order.running
    if running.executor is Executor.RAY:
        from sppkit.cli.training.ray import train_with_ray

        return train_with_ray(order, planned, begin, jobs=running.jobs)
    if (running.jobs or 1) > 1:
        from sppkit.cli.training.processes import train_in_processes

        names = [run.name for run in planned]
        return train_in_processes(order, names, begin, jobs=running.jobs or 1)
    return _one_after_the_other(planned, order, begin)


def _one_after_the_other(
    planned: Sequence["PlannedRun"], order: "Order", begin: "Begin"
) -> Iterator[tuple[int, "Result"]]:
    from sppkit.cli.training.orders import Failure
    from sppkit.errors import SppkitError
    from sppkit.training.loop import train as train_one

    for index, run in enumerate(planned):
        hear, resume = begin(run.name), order.keeping.resume
        try:
            yield index, train_one(run.task, run.folder, resume=resume, hear=hear)
        except (SppkitError, ValueError) as error:
            if len(planned) == 1 or run.task.parallel.size > 1:  # other ranks would wait
                raise
            yield index, Failure(str(error))


def _print(
    outcomes: Sequence[tuple["PlannedRun", "Outcome"]], places: Sequence[Path], talking: Talking
) -> None:
    from sppkit.cli.training.summary import outcome_table

    console = results(talking.color)
    for place in (*(run.folder.path for run, _ in outcomes), *places):
        console.print(printable(str(place)), soft_wrap=True)
    if talking.quiet or not outcomes:
        return
    console.print(outcome_table([outcome for _, outcome in outcomes]))
    for run, _ in outcomes:
        for event in run.folder.events():
            print_remark(f"{run.name}: step {event['step']}: {event['message']}", talking.color)


def _tell_of_the_paper(learning: Learning, folders: Sequence[Path], talking: Talking) -> None:
    """Say behind the runs of an experiment what its paper found, and print what shows it."""
    from sppkit.cli.training.entries import asked_for
    from sppkit.cli.training.presets import told
    from sppkit.cli.training.reproduction_summary import quantities_table

    reproduction = asked_for(learning)
    if reproduction is None or talking.quiet or not folders:
        return
    console = results(talking.color)
    if (quantities := quantities_table(reproduction, folders)) is not None:
        console.print("", quantities, sep="\n")
    console.print("", told(reproduction), sep="\n")
