"""The report about runs of `sppkit train`, from the files of their folders."""

from collections.abc import Sequence
from pathlib import Path

from sppkit.cli.runs.recordings import together
from sppkit.cli.runs.summary import outcomes, read_run, runs_in_words
from sppkit.report import Trained, make_report, save_report
from sppkit.rules import judge
from sppkit.run_directory import part_files
from sppkit.training.run_folder import REPORT, RunFolder


def report_run(folder: Path, command: str) -> Path | None:
    """Write the report of one run into its folder; one that recorded nothing gets none.

    Raises:
        OutputError: it cannot be written.
    """
    if not part_files(folder):
        return None
    (recording,) = together([folder])
    if not len(recording.table()):
        return None
    diagnoses = [judge(recording, run=run) for run in recording.runs]
    page = make_report(recording, diagnoses, command=command, trained=read_trained([folder]))
    return save_report(page, folder / REPORT, force=True)


def read_trained(folders: Sequence[Path]) -> Trained:
    """Read what trainings came to.

    Raises:
        TargetError, OutputError: a folder holds no run that can be read.
    """
    runs = [read_run(folder) for folder in folders]
    headings, rows = runs_in_words(runs)
    described = {folder: RunFolder(folder).description()["settings"] for folder in folders}
    events = [
        {**event, "run": f"{settings['run']}, seed {settings['seed']}"}
        for folder, settings in described.items()
        for event in RunFolder(folder).events()
    ]
    return Trained(
        headings=headings,
        rows=rows,
        settings={str(settings["run"]): settings for settings in described.values()},
        events=tuple(events),
        outcomes=outcomes(runs),
    )
