"""`sppkit baseline`: the golden recording that later checks compare with."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from sppkit.cli.check_flags import MeasuringEvidence
from sppkit.cli.console import results
from sppkit.cli.flag_groups import with_flags
from sppkit.cli.flags import TARGET_FORMS, Talking
from sppkit.escaping import log_line

if TYPE_CHECKING:
    from sppkit.cli.subjects import Subject
    from sppkit.recording import Recording

_MOVED = 1


@with_flags
def baseline(
    context: typer.Context,
    measuring: MeasuringEvidence,
    talking: Talking,
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="TARGET",
            help=f"Model: {TARGET_FORMS}. Without one, all configured models with a baseline.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="The baseline, a .parquet file.",
            show_default="as configured, else NAME-baseline.parquet",
        ),
    ] = None,
    update: Annotated[
        bool, typer.Option("--update", help="Write it; without this flag it is compared.")
    ] = False,
) -> None:
    """Write or compare the golden recording of a network.

    Compare a check with it by --baseline FILE. Leaves with 1 where a layer moved from it.
    """
    from sppkit.cli.subjects import find_subjects

    subjects = find_subjects([target] if target else None, measuring, output, context)
    said = [line for subject in subjects for line in _handled(subject, target, update, talking)]
    for line, _ in said:
        results(talking.color).print(Text(log_line(line)), soft_wrap=True)
    if any(moved for _, moved in said):
        raise typer.Exit(_MOVED)


def _handled(
    subject: "Subject", typed: str | None, update: bool, talking: Talking
) -> Iterator[tuple[str, bool]]:
    """Write or compare one baseline; yield what was done, and whether a layer moved."""
    if subject.baseline is None and typed is None:
        return  # a configured model without a baseline
    place = subject.baseline or default_place(subject)
    check_place(place)
    if update:
        yield _write(_evidence(subject, talking), place), False
    else:
        yield _compare(subject, place, talking)


def default_place(subject: "Subject") -> Path:
    """Name a baseline after what it is of."""
    from sppkit.cli.plot import default_path

    name = subject.name.rpartition(":")[2].removesuffix(".py")
    return Path(f"{default_path([name]).stem.removesuffix('-spp')}-baseline.parquet")


def check_place(place: Path) -> None:
    """Refuse a path before the work is done.

    Raises:
        OutputError: it does not end in .parquet, cannot be written, or holds something else.
    """
    from sppkit.cli.recording_file import check_recording_destination

    if place.parent.is_dir() or place.suffix != ".parquet":
        check_recording_destination(place, force=False)


def _write(recording: "Recording", place: Path) -> str:
    from sppkit.baselines import check_comparable, read_baseline, write_baseline
    from sppkit.baselines.baseline import same_numbers
    from sppkit.errors import BaselineError

    if place.exists():
        try:
            golden = read_baseline(place)
            check_comparable(recording, golden)
        except BaselineError:
            pass  # of another architecture or version: that is what --update is for
        else:
            if same_numbers(recording, golden):
                return f"{place}: unchanged"
    write_baseline(recording, place)
    layers, seeds = recording.table()["layer"].nunique(), recording.table()["seed"].nunique()
    return f"{place}: written ({layers} layers, {seeds} seeds)"


def _compare(subject: "Subject", place: Path, talking: Talking) -> tuple[str, bool]:
    from sppkit.baselines import BaselineDrift, check_comparable, read_baseline

    golden = read_baseline(place)
    recording = _evidence(subject, talking)
    check_comparable(recording, golden)
    outcome = BaselineDrift().judge_against(golden, recording)
    if outcome.findings:
        return f"{place}: {outcome.findings[0].message} If that is meant: --update.", True
    return f"{place}: {outcome.skipped or 'no layer moved'}", False


def _evidence(subject: "Subject", talking: Talking) -> "Recording":
    from sppkit.cli.checking import evidence_of

    return evidence_of(subject, talking)
