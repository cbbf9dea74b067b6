"""`sppkit models`: the bundled reference networks."""

import inspect
import itertools
import json
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.table import Table

from sppkit.cli.console import Color, print_remark, results
from sppkit.cli.flag_groups import with_flags
from sppkit.cli.flags import Talking
from sppkit.models.registry import REFERENCES, Reference, find_reference


class Format(StrEnum):
    """For whom to print."""

    TEXT = "text"
    JSON = "json"


@with_flags
def models(
    talking: Talking,
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Network to describe.")] = None,
    form: Annotated[Format, typer.Option("--output-format", help="Text, or json for machines.")] = (
        Format.TEXT
    ),
) -> None:
    """List the bundled reference networks, or describe one."""
    if name is None:
        found = [_brief(reference) for reference in REFERENCES]
        _print_json(found) if form is Format.JSON else _print_list(found, talking.color)
    else:
        described = describe_reference(find_reference(name.removeprefix("ref:")))
        _print_json(described) if form is Format.JSON else _print_one(described, talking.color)


def describe_reference(reference: Reference) -> dict[str, Any]:
    """Say everything about a reference, with the arguments of its factory."""
    parameters = inspect.signature(reference.factory()).parameters.values()
    return _brief(reference) | {
        "arguments": {parameter.name: parameter.default for parameter in parameters},
    }


def _brief(reference: Reference) -> dict[str, Any]:
    return {
        "name": reference.name,
        "family": reference.family,
        "summary": reference.summary,
        "paper": reference.paper,
        "parameters": reference.parameters,
        "input_size": list(reference.input_size),
        "expectation": reference.expectation,
        "dead_at_initialization": reference.dead_at_initialization,
    }


def _print_json(content: Any) -> None:
    typer.echo(json.dumps(content, indent=2, default=str))


def _print_list(found: list[dict[str, Any]], color: Color) -> None:
    """Print families one below the other; what their networks share is said once."""
    console = results(color)
    for family, members in itertools.groupby(found, key=lambda entry: str(entry["family"])):
        console.print(family, style="bold")
        for paper, written in itertools.groupby(members, key=lambda entry: str(entry["paper"])):
            console.print(paper, style="dim")
            for expectation, alike in itertools.groupby(written, key=_expectation):
                console.print(f"Expect: {expectation}")
                console.print(_members(list(alike)))
        console.print()
    print_remark("Plot one with: sppkit plot ref:NAME. See its arguments with: sppkit models NAME")


def _expectation(entry: dict[str, Any]) -> str:
    return str(entry["expectation"])


def _members(entries: list[dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, justify="right")
    table.add_column(no_wrap=True)
    table.add_column()
    for entry in entries:
        table.add_row(entry["name"], f"{entry['parameters']:,}", _size(entry), entry["summary"])
    return table


def _print_one(described: dict[str, Any], color: Color) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(no_wrap=True, style="bold")
    table.add_column()
    for key in ("name", "family", "summary", "paper"):
        table.add_row(key, described[key])
    table.add_row("input size", _size(described))
    table.add_row("parameters", f"{described['parameters']:,}")
    table.add_row("expect", described["expectation"])
    for number, (key, default) in enumerate(described["arguments"].items()):
        table.add_row("" if number else "arguments", f"-k {key}={default}")
    results(color).print(table)


def _size(entry: dict[str, Any]) -> str:
    return ",".join(map(str, entry["input_size"]))
