"""The flags of `sppkit check`, which follow those of ruff."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from sppkit.cli.flags import CIRCUMSTANCES, Force, Measuring

_RULES = "Which rules are asked"
_OUTPUT = "What is printed"
_VERDICT = "What fails"


class OutputFormat(StrEnum):
    """For whom results are written; `sppkit.formats.FORMATS` holds the functions."""

    TEXT = "text"
    CONCISE = "concise"
    JSON = "json"
    JUNIT = "junit"
    SARIF = "sarif"
    GITHUB = "github"
    GITLAB = "gitlab"
    MARKDOWN = "markdown"


class FailOn(StrEnum):
    """The least severity that fails a check."""

    ERROR = "error"
    WARNING = "warning"


MaximumSeeds = Annotated[
    int,
    typer.Option(
        "--maximum-seeds",
        min=1,
        metavar="N",
        help="Limit of the seeds that are added where the evidence is near a threshold.",
        rich_help_panel=CIRCUMSTANCES,
    ),
]


@dataclass(frozen=True)
class MeasuringEvidence(Measuring):
    """The flags of measuring, where the unit gradient and a training loss are measured anyway."""

    loss: Annotated[
        str,
        typer.Option(
            "--loss",
            metavar="LOSS",
            help="Training loss of the second pass: module.py:function of output and labels.",
            show_default="one that fits the outputs",
            rich_help_panel=CIRCUMSTANCES,
        ),
    ] = "cross-entropy"
    rehearsal: Annotated[
        bool,
        typer.Option(
            "--rehearsal/--no-rehearsal",
            help="Train small classifiers for a moment, and put them back bit for bit. Without it "
            "more verdicts are wrong.",
            rich_help_panel=CIRCUMSTANCES,
        ),
    ] = True


@dataclass(frozen=True)
class Asking:
    """Which rules are asked."""

    select: Annotated[
        list[str] | None,
        typer.Option(
            "--select",
            metavar="CODES",
            help="Rules to ask, by code or its beginning: SPP1,SPP401.",
            show_default="all",
            rich_help_panel=_RULES,
        ),
    ] = None
    ignore: Annotated[
        list[str] | None,
        typer.Option(
            "--ignore", metavar="CODES", help="Rules to leave out.", rich_help_panel=_RULES
        ),
    ] = None
    extend_select: Annotated[
        list[str] | None,
        typer.Option(
            "--extend-select",
            metavar="CODES",
            help="Rules to ask besides those selected.",
            rich_help_panel=_RULES,
        ),
    ] = None


@dataclass(frozen=True)
class Checking:
    """What a check compares with, and what fails it."""

    fail_on: Annotated[
        FailOn,
        typer.Option(
            "--fail-on", help="Least severity that fails the check.", rich_help_panel=_VERDICT
        ),
    ] = FailOn.ERROR
    exit_zero: Annotated[
        bool,
        typer.Option(
            "--exit-zero",
            help="Leave with 0 whatever the findings; errors still count.",
            rich_help_panel=_VERDICT,
        ),
    ] = False
    baseline: Annotated[
        Path | None,
        typer.Option(
            "--baseline",
            metavar="FILE",
            help="Golden recording to compare with, by 'sppkit baseline'.",
            rich_help_panel=_VERDICT,
        ),
    ] = None
    maximum_seeds: MaximumSeeds = 20
    try_fix: Annotated[
        bool,
        typer.Option(
            "--try-fix",
            help="Apply the advice to a copy in memory, measure again, and tell both.",
            rich_help_panel=_VERDICT,
        ),
    ] = False


@dataclass(frozen=True)
class Writing:
    """How and where results are written."""

    output_format: Annotated[
        OutputFormat,
        typer.Option("--output-format", help="For whom to write.", rich_help_panel=_OUTPUT),
    ] = OutputFormat.TEXT
    output_file: Annotated[
        Path | None,
        typer.Option(
            "--output-file",
            metavar="FILE",
            help="Write to a file, whole or not at all; - is standard output.",
            show_default="standard output",
            rich_help_panel=_OUTPUT,
        ),
    ] = None
    statistics: Annotated[
        bool,
        typer.Option(
            "--statistics", help="Count findings by rule instead.", rich_help_panel=_OUTPUT
        ),
    ] = False
    show_settings: Annotated[
        bool,
        typer.Option(
            "--show-settings",
            help="Print every setting with its origin, and stop.",
            rich_help_panel=_OUTPUT,
        ),
    ] = False
    force: Force = False

    @property
    def place(self) -> Path | None:
        """The file to write; None is standard output."""
        return None if self.output_file == Path("-") else self.output_file


def codes(given: list[str] | None) -> tuple[str, ...]:
    """Read codes that are given one by one or with commas.

    >>> codes(["SPP1,SPP401", "SPP5"])
    ('SPP1', 'SPP401', 'SPP5')
    """
    split = (code.strip() for text in given or () for code in text.split(","))
    return tuple(code for code in split if code)
