"""Check one subject: measure it, judge it, compare it with its baseline."""

import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sppkit.baselines import check_comparable, read_baseline
from sppkit.cli.check_flags import Checking
from sppkit.cli.commands import describe
from sppkit.cli.console import prints_to_stderr, progress_bar
from sppkit.cli.flags import Talking
from sppkit.cli.places import with_places
from sppkit.cli.recordings import is_recording, read_recording
from sppkit.cli.rulebook import Rulebook
from sppkit.cli.subjects import Subject
from sppkit.errors import BaselineError, NothingObservedError, ProbeError
from sppkit.formats import Report
from sppkit.recording import Recording
from sppkit.rules import Diagnosis, judge
from sppkit.user_code import split

_OF_PLOTS = "the plot follows the weighted layers"
_BUILT_IN_LOSSES = ("unit-gradient", "cross-entropy")


@dataclass(frozen=True)
class Check:
    """How every subject of a command is checked."""

    rulebook: Rulebook
    checking: Checking
    talking: Talking

    def reports(self, subject: Subject) -> Iterator[Report]:
        """Check a subject, a report for each of its runs; a broken one is reported as broken."""
        fail_on = self.checking.fail_on.value
        try:
            for name, diagnosis, remarks in self._diagnoses(subject):
                yield Report(name, diagnosis, fail_on=fail_on, remarks=remarks)
        except NothingObservedError as error:
            empty = Diagnosis(target=subject.name, observed=False)
            yield Report(subject.name, empty, fail_on=fail_on, remarks=(str(error),))
        except (Exception, SystemExit) as error:
            if self.talking.verbose:
                traceback.print_exception(error)
            yield Report(subject.name, error=describe(error), fail_on=fail_on)

    def _diagnoses(self, subject: Subject) -> Iterator[tuple[str, Diagnosis, tuple[str, ...]]]:
        recording, diagnoses = self.judged(subject)
        for diagnosis in diagnoses:
            run = diagnosis.target
            name = subject.name if len(diagnoses) == 1 else f"{subject.name}: {run}"
            yield name, diagnosis, tuple(_remarks(recording, run))

    def judged(self, subject: Subject) -> tuple[Recording, list[Diagnosis]]:
        """Give what was recorded of a subject, and a diagnosis for each of its runs.

        Raises:
            SppkitError: the subject is broken, or cannot be compared with its baseline.
        """
        baseline = read_baseline(subject.baseline) if subject.baseline else None
        if is_recording(subject.target):
            recording, diagnoses = self._judge(subject)
        else:
            recording, diagnoses = self._measure(subject)
        if baseline is not None:
            _compare(subject, recording, baseline)
        structure, file = recording.structure(), _file_of(subject)
        whole = [self.rulebook.with_drift(each, recording, baseline) for each in diagnoses]
        return recording, [
            with_places(each, structure[structure["run"] == each.target], file) for each in whole
        ]

    def _judge(self, subject: Subject) -> tuple[Recording, list[Diagnosis]]:
        """Judge what was recorded before."""
        if self.checking.try_fix:
            raise ProbeError(
                f"{subject.target} is a recording, and --try-fix has to measure again: name the "
                "model."
            )
        recording = read_recording(Path(subject.target))
        asked = self.rulebook.for_judge()
        return recording, [judge(recording, run=run, **asked) for run in recording.runs]

    def _measure(self, subject: Subject) -> tuple[Recording, list[Diagnosis]]:
        from sppkit.gate import examine

        examination = _on_target(
            examine,
            subject,
            self.talking,
            maximum_seeds=max(subject.measuring.seeds, self.checking.maximum_seeds),
            try_fix=self.checking.try_fix,
            **self.rulebook.for_judge(),
        )
        return examination.recording, [examination.diagnosis]


def evidence_of(subject: Subject, talking: Talking) -> Recording:
    """Measure what a check measures, and judge nothing; read it where that was done before.

    Raises:
        SppkitError: the subject is broken.
    """
    if is_recording(subject.target):
        return read_recording(Path(subject.target))
    from sppkit.gate import record_evidence

    recording: Recording = _on_target(record_evidence, subject, talking)
    return recording


@prints_to_stderr()
def _on_target(
    measure: Callable[..., Any], subject: Subject, talking: Talking, **options: Any
) -> Any:
    """Measure a model as the flags say, with a progress bar."""
    from sppkit.cli.sources import measured, probe_options
    from sppkit.targets import parse_arguments, resolve

    measuring = subject.measuring
    target = resolve(subject.target, parse_arguments(measuring.arguments or ()))
    probing = evidence_options(probe_options(measuring), measuring.rehearsal)
    shown, color = not talking.quiet, talking.color
    with progress_bar(target.name, measuring.seeds, shown=shown, color=color) as on_seed:
        return measured(measure, target, measuring, on_seed, **probing, **options)


def evidence_options(options: dict[str, Any], rehearsal: bool) -> dict[str, Any]:
    """Turn options of a probe into those of the gate, which has losses and a rehearsal of its own.

    A loss of the user's takes the place of the gate's training loss.
    """
    loss = None if options["loss"] in _BUILT_IN_LOSSES else options["loss"]
    return {**options, "loss": loss, "rehearsal": rehearsal}


def _remarks(recording: Recording, run: str) -> Iterator[str]:
    """Yield what has to be known besides the findings; what concerns plots alone has not."""
    table = recording.table()
    steps = table.loc[table["run"] == run, "step"]
    if steps.nunique() > 1:
        yield (
            f"judged at step {steps.min()}, the first of {steps.nunique()} that were recorded; "
            "sppkit report shows all of them"
        )
    structure = recording.structure()
    if not structure.loc[structure["run"] == run, "parameters"].sum():
        yield "it has no parameters: there is nothing to train"
    for remark in recording.metadata[run].get("remarks", ()):
        if not remark.endswith(_OF_PLOTS):
            yield remark


def _compare(subject: Subject, recording: Recording, baseline: Recording) -> None:
    try:
        check_comparable(recording, baseline)
    except BaselineError as error:
        raise BaselineError(f"{subject.baseline}: {error}") from error


def _file_of(subject: Subject) -> Path | None:
    parts = split(subject.target)
    return Path(parts[0]).expanduser() if parts and parts[0].endswith(".py") else None
