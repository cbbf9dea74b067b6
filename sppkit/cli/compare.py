"""`sppkit compare`: runs and networks in one table and one figure."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sppkit.cli.console import print_remark, results
from sppkit.cli.flag_groups import with_flags
from sppkit.cli.flags import TARGET_FORMS, Force, Measuring, Talking
from sppkit.escaping import printable

if TYPE_CHECKING:
    from sppkit.cli.runs.summary import TrainedRun
    from sppkit.recording import Recording


class CommonAxis(StrEnum):
    """What networks of different shape are laid on."""

    AUTO = "auto"
    BLOCK = "block"
    DEPTH = "depth"


class Compared(StrEnum):
    """Signals of the outputs of layers."""

    ACTIVATION = "activation"
    GRADIENT = "gradient"


@dataclass(frozen=True)
class Overlaying:
    """What is compared, and where the figure is written."""

    output: Annotated[
        Path,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="Where to write the figure; ends in .png, .svg, .pdf or .html.",
        ),
    ] = Path("comparison.png")
    signal: Annotated[Compared, typer.Option("--signal", help="Signal of the layers' outputs.")] = (
        Compared.ACTIVATION
    )
    statistic: Annotated[
        str, typer.Option("--statistic", metavar="COLUMN", help="Column of the table to draw.")
    ] = "average_channel_variance"
    axis: Annotated[
        CommonAxis,
        typer.Option("--axis", help="Blocks, or depth from 0 to 1; auto: blocks where as many."),
    ] = CommonAxis.AUTO
    step: Annotated[
        int | None,
        typer.Option(
            "--step", metavar="N", help="Step to draw.", show_default="the last in common"
        ),
    ] = None
    force: Force = False


@with_flags
def compare(
    overlaying: Overlaying,
    measuring: Measuring,
    talking: Talking,
    targets: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN|TARGET",
            help=f"Run folder, folder of run folders, or model: {TARGET_FORMS}. The first is what "
            "others are compared with.",
        ),
    ],
) -> None:
    """Compare runs of sppkit train, or networks at initialisation.

    Prints accuracy, stability and cost of each run, and draws a statistic of all of them on one
    axis, with its ratio to the first.
    """
    from sppkit.cli.runs.summary import runs_table
    from sppkit.plots import plot_comparison
    from sppkit.plots.files import check_destination, save_figure

    check_destination(overlaying.output, force=overlaying.force)
    recordings, runs = _open_all(targets, measuring, talking)
    figure = plot_comparison(
        *recordings,
        signal=overlaying.signal.value,
        statistic=overlaying.statistic,
        step=overlaying.step,
        axis=overlaying.axis.value,
    )
    title = " vs ".join(name for recording in recordings for name in recording.runs)
    save_figure(figure, overlaying.output, force=overlaying.force, title=title, description=title)
    console = results(talking.color)
    console.print(printable(str(overlaying.output)), soft_wrap=True)
    if runs and not talking.quiet:
        console.print(runs_table(runs))
    if runs and measuring != Measuring() and not talking.quiet:
        print_remark(
            "note: runs are compared as they are: flags of measuring apply to models alone"
        )


def _open_all(
    targets: list[str], measuring: Measuring, talking: Talking
) -> tuple[list["Recording"], list["TrainedRun"]]:
    """Read run folders, seeds of one run together; measure models; read other recordings."""
    from sppkit.cli.runs.recordings import together
    from sppkit.cli.runs.summary import read_run, run_folders
    from sppkit.cli.sources import open_source, record_all

    recordings, runs = [], []
    for text in targets:
        if folders := run_folders(Path(text)):
            recordings += together(folders)
            runs += [read_run(folder) for folder in folders]
        else:
            recordings.append(record_all([open_source(text, measuring)], talking))
    return recordings, runs
