"""`sppkit plot`: the signal propagation plot of one or several networks."""

import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sppkit.cli.console import print_remark, printable, results
from sppkit.cli.flag_groups import with_flags
from sppkit.cli.flags import Force, Measuring, Talking, Targets, Theory

if TYPE_CHECKING:
    from rich.console import RenderableType

_LONGEST_NAME = 120  # of a file, in characters; file systems allow 255 bytes


@with_flags
def plot(
    targets: Targets,
    measuring: Measuring,
    talking: Talking,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="Where to write the plot; ends in .png, .svg, .pdf or .html.",
            show_default="NAME-spp.png",
        ),
    ] = None,
    theory: Theory = True,
    gradient: Annotated[
        bool, typer.Option("--gradient", help="Add a row for the gradients.")
    ] = False,
    save_recording: Annotated[
        Path | None,
        typer.Option(
            "--save-recording", metavar="FILE", help="Write what was measured, as .parquet."
        ),
    ] = None,
    force: Force = False,
) -> None:
    """Draw the signal propagation plot of one or several networks.

    Models are measured at initialisation, and recordings are drawn as they are; several overlay
    in one figure.
    """
    from sppkit.cli.recording_file import check_recording_destination
    from sppkit.cli.remarks import remarks_on
    from sppkit.cli.sources import open_source, record_all
    from sppkit.cli.summary import numerical_remarks, summarize_runs, summary_table
    from sppkit.plots import plot_signal_propagation
    from sppkit.plots.files import check_destination, save_figure

    sources = [open_source(text, measuring) for text in targets]
    place = output or default_path([source.name for source in sources])
    check_destination(place, force=force)
    if save_recording:
        check_recording_destination(save_recording, force=force)
    recording = record_all(sources, talking)
    figure = plot_signal_propagation(recording, theory=theory, gradient=gradient)
    summaries = summarize_runs(recording)
    remarks = [*numerical_remarks(summaries), *remarks_on(recording, all_names=talking.verbose)]
    if measuring != Measuring() and not all(source.seeds for source in sources):
        remarks.append("recordings are drawn as they are: flags of measuring apply to models alone")
    description = "\n".join([_as_text(summary_table(summaries)), *remarks])
    save_figure(figure, place, force=force, description=description)
    if save_recording:
        recording.save(save_recording)
    _print(place, summary_table(summaries), remarks, talking)


def default_path(names: Sequence[str]) -> Path:
    r"""Name the file after what it shows, without what a file name must not hold.

    >>> str(default_path(["net", "other/net\n"]))
    'net-vs-other_net_-spp.png'
    """
    safe = [re.sub(r"[^\w.+-]", "_", name).lstrip(".-") or "model" for name in names]
    return Path(f"{'-vs-'.join(safe)[:_LONGEST_NAME]}-spp.png")


def _print(place: Path, table: "RenderableType", remarks: Sequence[str], talking: Talking) -> None:
    console = results(talking.color)
    console.print(printable(str(place)), soft_wrap=True)
    if talking.quiet:
        return
    console.print(table)
    for remark in remarks:
        print_remark(f"note: {remark}", talking.color)


def _as_text(table: "RenderableType") -> str:
    from rich.console import Console

    buffer = io.StringIO()
    Console(file=buffer, width=100, force_terminal=False, no_color=True).print(table)
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines())
