"""The flags of `sppkit plot`."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from sppkit.cli.flags import Force, Theory
from sppkit.signals import Signal

_FIGURE = "The figure"


class Kind(StrEnum):
    """What is drawn of a recording; `sppkit.cli.figures` draws it."""

    SPP = "spp"
    GRADIENT_FLOW = "gradient-flow"
    WEIGHTS = "weights"
    OVER_TRAINING = "over-training"
    DISTRIBUTION = "distribution"
    ANIMATION = "animation"


class ThemeChoice(StrEnum):
    """The ground of a figure."""

    LIGHT = "light"
    DARK = "dark"


@dataclass(frozen=True)
class Drawing:
    """What is drawn, and where to."""

    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="Where to write the plot; ends in .png, .svg, .pdf or .html, or for an animation "
            "in .gif or .mp4.",
            show_default="NAME-spp.png",
        ),
    ] = None
    kind: Annotated[
        Kind | None,
        typer.Option(
            "--kind",
            metavar="KIND",
            help="What is drawn: spp, gradient-flow or weights; of a recorded training also "
            "over-training, distribution or animation.",
            show_default="spp",
            rich_help_panel=_FIGURE,
        ),
    ] = None
    theory: Theory = True
    gradient: Annotated[bool, typer.Option("--gradient", help="Add a row for the gradients.")] = (
        False
    )
    step: Annotated[
        int | None,
        typer.Option(
            "--step", metavar="N", help="Step of a recording to draw.", show_default="the first"
        ),
    ] = None
    signal: Annotated[
        Signal | None,
        typer.Option(
            "--signal",
            metavar="SIGNAL",
            help="Signal that over-training and distribution show: a word of the table, such as "
            "gradient or 'weight gradient'.",
            show_default="activation",
            rich_help_panel=_FIGURE,
        ),
    ] = None
    statistic: Annotated[
        str | None,
        typer.Option(
            "--statistic",
            metavar="COLUMN",
            help="Column of the table that over-training shows.",
            show_default="second_moment",
            rich_help_panel=_FIGURE,
        ),
    ] = None
    layers: Annotated[
        list[str] | None,
        typer.Option(
            "--layers",
            metavar="GLOB",
            help="Layers that over-training and distribution show, by name; re:... is a regular "
            "expression.",
            show_default="all, and twelve",
            rich_help_panel=_FIGURE,
        ),
    ] = None
    relative: Annotated[
        bool,
        typer.Option(
            "--relative",
            help="Let over-training show values over each layer's first.",
            rich_help_panel=_FIGURE,
        ),
    ] = False
    theme: Annotated[
        ThemeChoice, typer.Option("--theme", help="Ground of the figure.", rich_help_panel=_FIGURE)
    ] = ThemeChoice.LIGHT
    width: Annotated[
        str,
        typer.Option(
            "--width",
            metavar="WIDTH",
            help="screen, column (3.25 inches) or page (6.75 inches) of a paper, or inches.",
            rich_help_panel=_FIGURE,
        ),
    ] = "screen"
    save_recording: Annotated[
        Path | None,
        typer.Option(
            "--save-recording", metavar="FILE", help="Write what was measured, as .parquet."
        ),
    ] = None
    force: Force = False
