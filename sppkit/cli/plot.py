"""`sppkit plot`: the signal propagation plot of one or several networks, and other figures."""

import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sppkit.cli.console import print_remark, results
from sppkit.cli.flag_groups import with_flags
from sppkit.cli.flags import Measuring, Talking, Targets
from sppkit.cli.plot_flags import Drawing
from sppkit.escaping import printable

if TYPE_CHECKING:
    from rich.console import RenderableType

    from sppkit.cli.summary import RunSummary

_LONGEST_NAME = 180  # bytes; file systems allow 255
_WIDTH_IN_FILES = 100


@with_flags
def plot(targets: Targets, drawing: Drawing, measuring: Measuring, talking: Talking) -> None:
    """Draw the signal propagation plot of one or several networks.

    Models are measured at initialisation, and recordings are drawn as they are; several overlay
    in one figure. --kind draws gradients, weights, or a training over its steps instead.
    """
    from sppkit.cli import figures
    from sppkit.cli.recording_file import check_recording_destination
    from sppkit.cli.remarks import remarks_on
    from sppkit.cli.sources import open_source, record_all
    from sppkit.cli.summary import numerical_remarks, summarize_runs, summary_table

    kind = figures.kind_of(drawing.kind, drawing.output)
    flags = figures.flags_of(kind, drawing)
    sources = [open_source(text, measuring) for text in targets]
    names = [source.name for source in sources]
    place = drawing.output or default_path(names, figures.ending_of(kind))
    figures.check_figure_place(kind, place, force=drawing.force)
    if drawing.save_recording:
        check_recording_destination(drawing.save_recording, force=drawing.force)
    recording = record_all(sources, talking)
    drawn = figures.draw(kind, recording, flags)
    summaries = summarize_runs(recording, drawing.step)
    remarks = [*numerical_remarks(summaries), *remarks_on(recording, all_names=talking.verbose)]
    if measuring != Measuring() and not all(source.seeds for source in sources):
        remarks.append("recordings are drawn as they are: flags of measuring apply to models alone")
    table = _as_text(summary_table(summaries, _WIDTH_IN_FILES))
    title, description = " vs ".join(recording.runs), "\n".join([table, *remarks])
    figures.save(kind, drawn, place, force=drawing.force, title=title, description=description)
    if drawing.save_recording:
        recording.save(drawing.save_recording)
    _print(place, summaries, remarks, talking)


def default_path(names: Sequence[str], ending: str = "-spp.png") -> Path:
    r"""Name the file after what it shows, without what a file name must not hold.

    >>> str(default_path(["net", "other/net\n"]))
    'net-vs-other_net_-spp.png'
    """
    safe = [re.sub(r"[^\w.+-]", "_", name).lstrip(".-") or "model" for name in names]
    bounded = "-vs-".join(safe).encode()[:_LONGEST_NAME].decode(errors="ignore")
    return Path(f"{bounded}{ending}")


def _print(
    place: Path, summaries: "Sequence[RunSummary]", remarks: Sequence[str], talking: Talking
) -> None:
    from sppkit.cli.summary import summary_table

    console = results(talking.color)
    console.print(printable(str(place)), soft_wrap=True)
    if talking.quiet:
        return
    console.print(summary_table(summaries, console.width))
    for remark in remarks:
        print_remark(f"note: {remark}", talking.color)


def _as_text(table: "RenderableType") -> str:
    from rich.console import Console

    buffer = io.StringIO()
    Console(file=buffer, width=_WIDTH_IN_FILES, force_terminal=False, no_color=True).print(table)
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines())
