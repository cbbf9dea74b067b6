"""The application: its commands, and what stands before them."""

from typing import Annotated

import typer

from sppkit.cli.baseline import baseline
from sppkit.cli.check import check
from sppkit.cli.commands import Commands, ReportingCommand
from sppkit.cli.compare import compare
from sppkit.cli.diff import diff
from sppkit.cli.doctor import doctor
from sppkit.cli.export import export
from sppkit.cli.flags import TARGET_FORMS
from sppkit.cli.models import models
from sppkit.cli.plot import plot
from sppkit.cli.report import report
from sppkit.cli.rules import rules
from sppkit.cli.train import train
from sppkit.version import __version__

app = typer.Typer(
    name="sppkit",
    cls=Commands,
    help="Show how signals travel through a PyTorch network, forward and backward.",
    epilog=f"TARGET: {TARGET_FORMS}.",
    add_completion=False,
    rich_markup_mode=None,  # boxes leave too little room for the words; see ReportingCommand
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"sppkit {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _before_commands(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(2)


for command, example in (
    (plot, "sppkit plot ref:nf_resnet20 --seeds 1"),
    (check, "sppkit check ref:nf_resnet20 --activate --seeds 3"),
    (train, "sppkit train ref:mlp ref:sn_mlp --data digits --epochs 1"),
    (compare, "sppkit compare ref:mlp ref:sn_mlp --seeds 1"),
    (report, "sppkit report ref:nf_resnet20 --seeds 1 -o report.html"),
    (baseline, "sppkit baseline ref:mlp --update -o mlp.parquet"),
    (diff, "sppkit diff before.parquet after.parquet"),
    (export, "sppkit export before.parquet -o table.csv --long"),
    (rules, "sppkit rules SPP902"),
    (models, "sppkit models nf_resnet20"),
    (doctor, "sppkit doctor ref:mlp"),
):
    app.command(cls=ReportingCommand, epilog=f"Example: {example}")(command)


def main() -> None:
    """Run the command line; `python -m sppkit` and `cli.py` call this."""
    app(prog_name="sppkit")
