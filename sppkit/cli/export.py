"""`sppkit export`: a recording as a table for other programs."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sppkit.cli.console import results
from sppkit.cli.flag_groups import with_flags
from sppkit.cli.flags import Force, Talking
from sppkit.escaping import printable

if TYPE_CHECKING:
    from sppkit.recording import Recording


class Convention(StrEnum):
    """What average channel statistics are of; `sppkit.exchange.CONVENTIONS` names them."""

    CHANNELS = "channels"
    DEWYSE = "dewyse"


@dataclass(frozen=True)
class Exporting:
    """What is written, and where to."""

    output: Annotated[
        Path,
        typer.Option("-o", "--output", metavar="FILE", help="A .csv, .jsonl or .parquet file."),
    ]
    long: Annotated[
        bool, typer.Option("--long", help="One row per number instead of one per tensor.")
    ] = False
    convention: Annotated[
        Convention,
        typer.Option(
            "--convention",
            help="By channel, or as the thesis of Dewyse takes matrices and weights.",
        ),
    ] = Convention.CHANNELS
    vectors: Annotated[
        list[str] | None,
        typer.Option(
            "--vectors",
            metavar="GLOB",
            help="Layers of a training_log.txt whose outputs are matrices, which it does not say.",
        ),
    ] = None
    force: Force = False


@with_flags
def export(
    exporting: Exporting,
    talking: Talking,
    recording: Annotated[
        Path,
        typer.Argument(
            metavar="RECORDING", help="A .parquet recording, run directory or training_log.txt."
        ),
    ],
) -> None:
    """Write a recording as a table for other programs.

    A .parquet file is the recording itself, which sppkit reads again; with --long, and as .csv and
    .jsonl (a JSON object per line), it is a plain table. A training_log.txt of Dewyse's thesis is
    read too, so that it becomes a recording.
    """
    from sppkit.errors import OutputError
    from sppkit.exchange import is_export, write
    from sppkit.files import check_is_free

    place = exporting.output
    check_is_free(place)
    if place.exists() and not exporting.force and not is_export(place):
        raise OutputError(
            f"'{place}' exists and was not written by sppkit, so it is left alone. Choose another "
            "path, or replace it with --force."
        )
    found = _read(recording, exporting)
    write(found, place, long=exporting.long)
    results(talking.color).print(printable(str(place)), soft_wrap=True)


def _read(path: Path, exporting: Exporting) -> "Recording":
    from sppkit.cli.recordings import is_training_log, read_recording
    from sppkit.exchange import from_training_log, in_convention

    convention = exporting.convention.value
    if is_training_log(path):
        return from_training_log(path, vectors=exporting.vectors, convention=convention)
    if exporting.vectors:
        raise ValueError("--vectors is about a training_log.txt; a recording knows its layers.")
    return in_convention(read_recording(path), convention)
