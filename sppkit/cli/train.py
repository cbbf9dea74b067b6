"""`sppkit train`: real training of several networks, side by side, recorded as it goes."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sppkit.cli.console import print_error, print_remark, results
from sppkit.cli.flag_groups import with_flags
from sppkit.cli.flags import Talking
from sppkit.cli.train_flags import Feeding, Keeping, Learning, Running
from sppkit.escaping import printable

if TYPE_CHECKING:
    from sppkit.cli.training_tasks import PlannedRun
    from sppkit.training.loop import Outcome

_TARGETS = "model.py, model.py:Name, package.module:name, ref:NAME, timm:NAME, torchvision:NAME"
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
            help=f"Network to train: {_TARGETS}. Several are trained one after the other, on the "
            "same data in the same order.",
        ),
    ] = None,
) -> None:
    """Train networks for real, side by side, and record how their signals change.

    Each run gets a folder: report.html to look at, run.json, metrics.parquet (a row per step),
    recording/ (read by sppkit plot), events.jsonl and checkpoint.pt, from which --resume goes on.
    Leaves with 1 where a run diverged.
    """
    from sppkit.cli.commands import typed_command
    from sppkit.cli.run_report import report_run
    from sppkit.cli.training_plots import check_pictures, draw_runs
    from sppkit.cli.training_tasks import plan_runs

    if keeping.resume and keeping.force:
        raise ValueError("--resume goes on with a run and --force replaces it; keep one of them.")
    planned = plan_runs(targets or (), learning, feeding, running, keeping)
    check_pictures(keeping.output)
    _take_folders(planned, keeping)
    outcomes, failed = _train_all(planned, keeping, talking)
    folders = [run.folder.path for run, _ in outcomes]
    places = draw_runs(folders, keeping.output)
    for folder in folders:
        report_run(folder, typed_command(context))
    _print(outcomes, places, talking)
    if failed:
        raise typer.Exit(_FAILED)
    if any(outcome.ended != "finished" for _, outcome in outcomes):
        raise typer.Exit(_DIVERGED)


def _take_folders(planned: Sequence["PlannedRun"], keeping: Keeping) -> None:
    """Refuse what is there before any work is done; with --force, delete earlier runs."""
    for run in planned:
        if keeping.force and run.folder.holds_a_run:
            run.folder.clear()
        elif not (keeping.resume and run.folder.holds_a_run):
            run.folder.check_is_free()


def _train_all(
    planned: Sequence["PlannedRun"], keeping: Keeping, talking: Talking
) -> tuple[list[tuple["PlannedRun", "Outcome"]], bool]:
    """Train one after the other; of several runs, one that fails does not stop the others."""
    from sppkit.cli.training_progress import progress_of
    from sppkit.errors import SppkitError
    from sppkit.training.loop import train as train_one

    outcomes, failed = [], False
    with progress_of(len(planned), shown=not talking.quiet, color=talking.color) as begin:
        for run in planned:
            try:
                hear = begin(run.name)
                outcome = train_one(run.task, run.folder, resume=keeping.resume, hear=hear)
            except (SppkitError, ValueError) as error:
                if len(planned) == 1:
                    raise
                print_error(f"{run.name}: {error}", talking.color)
                failed = True
            else:
                outcomes.append((run, outcome))
    return outcomes, failed


def _print(
    outcomes: Sequence[tuple["PlannedRun", "Outcome"]], places: Sequence[Path], talking: Talking
) -> None:
    from sppkit.cli.training_summary import outcome_table

    console = results(talking.color)
    for place in (*(run.folder.path for run, _ in outcomes), *places):
        console.print(printable(str(place)), soft_wrap=True)
    if talking.quiet or not outcomes:
        return
    console.print(outcome_table([outcome for _, outcome in outcomes]))
    for run, _ in outcomes:
        for event in run.folder.events():
            print_remark(f"{run.name}: step {event['step']}: {event['message']}", talking.color)
