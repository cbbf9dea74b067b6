"""`sppkit check`: the gate. Does the signal travel well enough for the network to train?"""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from sppkit.cli.check_flags import (
    Asking,
    Checking,
    MeasuringEvidence,
    OutputFormat,
    Writing,
)
from sppkit.cli.console import print_remark, results
from sppkit.cli.flag_groups import with_flags
from sppkit.cli.flags import TARGET_FORMS, Talking

if TYPE_CHECKING:
    from sppkit.formats import CheckResults

_FINDINGS = 1


@with_flags
def check(
    context: typer.Context,
    asking: Asking,
    checking: Checking,
    writing: Writing,
    measuring: MeasuringEvidence,
    talking: Talking,
    targets: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TARGET",
            help=f"Model to check: {TARGET_FORMS}. Without one, all configured models.",
        ),
    ] = None,
) -> None:
    """Check whether networks will train: the gate.

    Leaves with 0 where all passed, 1 for findings, 2 where a target or a setting is broken, and 5
    where nothing was observed. Settings may also stand in SPPKIT_* variables, in sppkit.toml or in
    pyproject.toml.
    """
    from sppkit.cli.checking import Check
    from sppkit.cli.output_file import check_output_file
    from sppkit.cli.rulebook import every_rule, open_rulebook
    from sppkit.cli.subjects import find_subjects
    from sppkit.formats import CheckResults

    _remark_on_environment(context, talking)
    if writing.show_settings:
        _print_settings(context, talking)
        return
    if writing.place:
        check_output_file(writing.place, force=writing.force)
    check_statistics(writing)
    rulebook = open_rulebook(asking, context.obj)
    subjects = find_subjects(targets, measuring, checking.baseline, context)
    each = Check(rulebook, checking, talking)
    reports = tuple(report for subject in subjects for report in each.reports(subject))
    found = CheckResults(reports, every_rule(), verbose=talking.verbose)
    _write(found, writing, talking)
    code = found.exit_code
    if code and not (checking.exit_zero and code == _FINDINGS):
        raise typer.Exit(code)


def check_statistics(writing: Writing) -> None:
    """Refuse to count in a format that has no place for counts.

    Raises:
        ValueError: it has none.
    """
    if writing.statistics and writing.output_format not in (OutputFormat.TEXT, OutputFormat.JSON):
        raise ValueError(
            f"--statistics is written as text or json, and --output-format is "
            f"{writing.output_format.value}. Leave one of them out."
        )


def _remark_on_environment(context: typer.Context, talking: Talking) -> None:
    from sppkit.cli.configuration.origins import unread_variables

    for remark in () if talking.quiet else unread_variables(context):
        print_remark(f"note: {remark}", talking.color)


def _print_settings(context: typer.Context, talking: Talking) -> None:
    from sppkit.cli.configuration.origins import settings_in_force
    from sppkit.escaping import one_line

    rows = list(settings_in_force(context, context.obj))
    width = max(len(key) for key, _, _ in rows)
    for key, value, origin in rows:
        line = one_line(f"{key:{width}} = {value}    # {origin}")
        results(talking.color).print(Text(line), soft_wrap=True)


def _write(found: "CheckResults", writing: Writing, talking: Talking) -> None:
    from sppkit.cli.output_file import write_results
    from sppkit.formats import FORMATS, statistics

    as_json = writing.output_format is OutputFormat.JSON
    text = (
        statistics(found, as_json=as_json)
        if writing.statistics
        else FORMATS[writing.output_format](found)
    )
    if writing.place is None:
        _print(text, writing.output_format, talking)
        return
    write_results(writing.place, text)
    if not talking.quiet:
        print_remark(f"{found.summary} Written to {writing.place}", talking.color)


_COLOURED = (OutputFormat.TEXT, OutputFormat.CONCISE)
_STYLES = {
    r"\berror SPP\d+|: (fail|error|nothing observed)(?= \()": "bold red",
    r"\bwarning SPP\d+": "bold yellow",
    r"(?m): pass(?= \()": "bold green",
}


def _print(text: str, form: OutputFormat, talking: Talking) -> None:
    if form not in _COLOURED:
        typer.echo(text, nl=False)
        return
    shown = Text(text)
    for pattern, style in _STYLES.items():
        shown.highlight_regex(pattern, style)
    results(talking.color).print(shown, soft_wrap=True, end="")
