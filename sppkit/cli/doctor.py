"""`sppkit doctor`: what can be observed in a model, and what this machine has."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from sppkit.cli.console import print_remark, results
from sppkit.cli.flag_groups import with_flags
from sppkit.cli.flags import TARGET_FORMS, Measuring, Seeds, Talking
from sppkit.escaping import printable
from sppkit.limits import SITUATIONS

if TYPE_CHECKING:
    from sppkit.cli.diagnosis import Fact


@dataclass(frozen=True)
class MeasuringOnce(Measuring):
    """The flags of measuring, with as many seeds as a look takes."""

    seeds: Seeds = 1


@with_flags
def doctor(
    measuring: MeasuringOnce,
    talking: Talking,
    target: Annotated[
        str | None, typer.Argument(metavar="TARGET", help=f"Model to look at: {TARGET_FORMS}.")
    ] = None,
    limits: Annotated[
        bool, typer.Option("--limits", help="Print what is known to break collectors, and stop.")
    ] = False,
) -> None:
    """Tell what can be observed in a model, and what this machine has."""
    if limits:
        _print_limits(talking)
        return
    from sppkit.cli.diagnosis import facts_of_machine, facts_of_recording
    from sppkit.cli.remarks import remarks_on
    from sppkit.cli.sources import open_source, record_all

    _print(facts_of_machine(), talking)
    if target is None:
        return
    recording = record_all([open_source(target, measuring)], talking)
    _print(facts_of_recording(recording), talking)
    for remark in () if talking.quiet else remarks_on(recording, all_names=talking.verbose):
        print_remark(f"note: {remark}", talking.color)


def _print_limits(talking: Talking) -> None:
    console = results(talking.color)
    for group, situations in SITUATIONS.items():
        console.print(Text(f"\n{group}", style="bold"))
        for situation in situations:
            console.print(Text(f"  {situation.title}"))
            console.print(Padding(Text(situation.answer), (0, 0, 0, 6)))


def _print(facts: "list[Fact]", talking: Talking) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(no_wrap=True, style="bold", min_width=17)
    table.add_column(overflow="fold")
    for name, said in facts:
        table.add_row(name, Text(printable(said)))
    results(talking.color).print(table)
