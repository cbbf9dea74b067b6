"""`sppkit report`: all that is known about networks or trainings, on one page."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sppkit.cli.check_flags import Asking, Checking, MaximumSeeds, MeasuringEvidence
from sppkit.cli.console import print_remark, results
from sppkit.cli.flag_groups import with_flags
from sppkit.cli.flags import TARGET_FORMS, Force, Talking
from sppkit.escaping import printable

if TYPE_CHECKING:
    from sppkit.cli.checking import Check
    from sppkit.cli.subjects import Subject
    from sppkit.recording import Recording
    from sppkit.report import Trained
    from sppkit.rules import Diagnosis


@dataclass(frozen=True)
class Reporting:
    """Where the page is written, and how it is called."""

    output: Annotated[
        Path,
        typer.Option(
            "-o", "--output", metavar="FILE", help="Where to write the page; ends in .html."
        ),
    ] = Path("report.html")
    title: Annotated[
        str,
        typer.Option(
            "--title", metavar="TEXT", help="Title of the page.", show_default="names of the runs"
        ),
    ] = ""
    maximum_seeds: MaximumSeeds = 20
    force: Force = False


@with_flags
def report(
    context: typer.Context,
    reporting: Reporting,
    asking: Asking,
    measuring: MeasuringEvidence,
    talking: Talking,
    targets: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN|TARGET",
            help=f"Run folder, folder of run folders, or model: {TARGET_FORMS}.",
        ),
    ],
) -> None:
    """Write one page about networks or trainings: verdict, findings, figures, every layer.

    Models are measured as sppkit check does; recordings and run folders are taken as they are. The
    page needs no network and no other file. Leaves with 0 whatever the verdict, with 2 where a
    target is broken, and with 5 where nothing was observed.
    """
    from sppkit.cli.checking import Check
    from sppkit.cli.commands import typed_command
    from sppkit.cli.rulebook import open_rulebook
    from sppkit.plots.files import check_destination
    from sppkit.report import make_report, save_report

    _check_is_page(reporting.output)
    check_destination(reporting.output, force=reporting.force)
    checking = Checking(maximum_seeds=reporting.maximum_seeds)
    check = Check(open_rulebook(asking, context.obj), checking, talking)
    recording, diagnoses, folders = _open_all(targets, check, measuring, context)
    page = make_report(
        recording,
        diagnoses,
        command=typed_command(context),
        trained=_trained(folders),
        title=reporting.title,
    )
    save_report(page, reporting.output, force=reporting.force)
    _print(reporting.output, diagnoses, talking)
    if folders and measuring != MeasuringEvidence() and not talking.quiet:
        print_remark("note: runs are taken as they are: flags of measuring apply to models alone")


def _check_is_page(place: Path) -> None:
    from sppkit.errors import OutputError

    if place.suffix.lower() != ".html":
        raise OutputError(f"'{place}' must end in .html: a report is a page.")


def _open_all(
    targets: list[str], check: "Check", measuring: MeasuringEvidence, context: typer.Context
) -> tuple["Recording", list["Diagnosis"], list[Path]]:
    """Measure, read and judge; give all runs in one recording, their diagnoses, and run folders."""
    import sppkit
    from sppkit.cli.runs.summary import run_folders
    from sppkit.cli.subjects import find_subjects
    from sppkit.errors import NothingObservedError

    recordings, diagnoses, folders = [], [], []
    for subject in find_subjects(targets, measuring, None, context):
        of_runs = run_folders(Path(subject.target))
        folders += of_runs
        for recording, judged in _judged(check, subject, of_runs):
            recordings.append(recording)
            diagnoses += judged
    if not any(diagnosis.observed for diagnosis in diagnoses):
        raise NothingObservedError(
            f"nothing was observed of {', '.join(targets)}: there is nothing to report."
        )
    whole = sppkit.combine(recordings)
    named = zip(diagnoses, whole.runs, strict=True)
    return whole, [replace(diagnosis, target=run) for diagnosis, run in named], folders


def _judged(
    check: "Check", subject: "Subject", folders: list[Path]
) -> list[tuple["Recording", list["Diagnosis"]]]:
    """Judge a subject; of a folder of run folders each run, with all its seeds."""
    from sppkit.cli.runs.recordings import together
    from sppkit.rules import judge

    if not folders:
        return [check.judged(subject)]
    asked = check.rulebook.for_judge()
    return [
        (recording, [judge(recording, run=run, **asked) for run in recording.runs])
        for recording in together(folders)
    ]


def _trained(folders: list[Path]) -> "Trained | None":
    from sppkit.cli.runs.report import read_trained

    return read_trained(folders) if folders else None


def _print(place: Path, diagnoses: list["Diagnosis"], talking: Talking) -> None:
    console = results(talking.color)
    console.print(printable(str(place)), soft_wrap=True)
    if talking.quiet:
        return
    for diagnosis in diagnoses:
        console.print(printable(f"{diagnosis.target}: {diagnosis.verdict}"), soft_wrap=True)
