"""`sppkit diff`: which layers moved between two recordings, by how much of the seeds' spread."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from sppkit.cli.console import print_remark, results
from sppkit.cli.flag_groups import with_flags
from sppkit.cli.flags import Talking
from sppkit.cli.models import Format
from sppkit.escaping import log_line

if TYPE_CHECKING:
    import pandas as pd

    from sppkit.baselines import Comparison
    from sppkit.recording import Recording

_MOVED = 1


@dataclass(frozen=True)
class Comparing:
    """What counts as moved, and how it is told."""

    sigmas: Annotated[
        float,
        typer.Option(
            "--sigmas",
            min=0,
            metavar="X",
            help="Standard deviations between seeds that a layer must move by.",
        ),
    ] = 3.0
    step: Annotated[
        int | None,
        typer.Option("--step", metavar="N", help="Step to compare.", show_default="the first"),
    ] = None
    form: Annotated[Format, typer.Option("--output-format", help="Text, or json for machines.")] = (
        Format.TEXT
    )
    exit_zero: Annotated[
        bool, typer.Option("--exit-zero", help="Leave with 0 though layers moved.")
    ] = False


@with_flags
def diff(
    comparing: Comparing,
    talking: Talking,
    before: Annotated[Path, typer.Argument(metavar="A", help="Recording or run directory.")],
    after: Annotated[Path, typer.Argument(metavar="B", help="Recording or run directory.")],
) -> None:
    """Tell which layers moved between two recordings.

    The unit is the standard deviation between seeds. Leaves with 1 where a layer moved, came or
    went.
    """
    from sppkit.cli.recordings import read_recording

    recordings = read_recording(before), read_recording(after)
    compared = _compared(*recordings, comparing)
    if comparing.form is Format.JSON:
        entries = [describe(name, each, comparing.sigmas) for name, each in compared.items()]
        typer.echo(json.dumps(entries[0] if len(entries) == 1 else entries, indent=2))
    else:
        for name, each in compared.items():
            _print(name, each, comparing, talking)
    if any(_differs(each, comparing.sigmas) for each in compared.values()):
        raise typer.Exit(0 if comparing.exit_zero else _MOVED)


def _compared(
    before: "Recording", after: "Recording", comparing: Comparing
) -> "dict[str, Comparison]":
    """Pair the runs: the only ones of both, whatever their names, else those of equal names."""
    from sppkit.baselines import compare

    pairs = [(run, run) for run in before.runs if run in after.runs]
    if len(before.runs) == len(after.runs) == 1:
        pairs = [(before.runs[0], after.runs[0])]
    if not pairs:
        named = [", ".join(map(repr, recording.runs)) or "none" for recording in (before, after)]
        raise ValueError(
            f"the recordings have no run in common: A holds {named[0]}, B holds {named[1]}. "
            "Record each of them in a file of its own to compare runs of different names."
        )
    return {
        (run if run == other else f"{run} -> {other}"): compare(
            before, after, run=run, other_run=other, step=comparing.step
        )
        for run, other in pairs
    }


def _differs(comparison: "Comparison", sigmas: float) -> bool:
    gone_or_new = comparison.only_before or comparison.only_after
    return bool(gone_or_new) or len(comparison.moved(sigmas)) > 0


def describe(name: str, comparison: "Comparison", sigmas: float) -> dict[str, Any]:
    """Give plain data for JSON; what is not finite becomes text."""
    moved = comparison.moved(sigmas).drop(columns="depth")
    rows = [{str(k): _plain(v) for k, v in row.items()} for row in moved.to_dict("records")]
    return {
        "schema": 1,
        "run": name,
        "sigmas": sigmas,
        "compared": len(comparison.shifts),
        "moved": rows,
        "only_before": list(comparison.only_before),
        "only_after": list(comparison.only_after),
    }


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(value)
    return int(value) if hasattr(value, "__index__") else value


def _print(name: str, comparison: "Comparison", comparing: Comparing, talking: Talking) -> None:
    console = results(talking.color)
    moved = comparison.moved(comparing.sigmas)
    shown = moved if talking.verbose else _worst_of_each_layer(moved)
    layers = comparison.shifts["layer"].nunique()
    console.print(
        Text(
            log_line(
                f"{name}: {moved['layer'].nunique()} of {layers} layers moved by more than "
                f"{comparison.threshold(comparing.sigmas):.3g} sigma"
            )
        ),
        soft_wrap=True,
    )
    if len(shown) and not talking.quiet:
        console.print(_table(shown))
    for word, names in (("A", comparison.only_before), ("B", comparison.only_after)):
        if names:
            listed = ", ".join(each or "(root)" for each in names)
            console.print(Text(log_line(f"only in {word}: {listed}")), soft_wrap=True)
    if not comparison.has_spread and len(comparison.shifts):
        print_remark(
            "note: neither run has two seeds, so nobody knows by how much seeds differ, and "
            "nothing counts as moved. Measure with --seeds 5.",
            talking.color,
        )


def _worst_of_each_layer(moved: "pd.DataFrame") -> "pd.DataFrame":
    ordered = moved.assign(size=moved["sigmas"].abs()).sort_values("size", ascending=False)
    return ordered.drop_duplicates("layer").sort_values(["depth", "layer"])


def _table(moved: "pd.DataFrame") -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for heading in ("layer", "what", "A", "B", "ratio", "sigma"):
        table.add_column(heading, overflow="fold")
    for row in moved.to_dict("records"):
        place = ":".join(part for part in (row["layer"], row["operation"], row["tensor"]) if part)
        what = f"{row['signal']}, {row['statistic'].replace('_', ' ')}"
        numbers = [f"{row[name]:.3g}" for name in ("before", "after", "ratio")]
        cells = [place or "(root)", what, *numbers, f"{row['sigmas']:+.3g}"]
        table.add_row(*(Text(log_line(cell)) for cell in cells))
    return table
