"""`sppkit models`: the bundled reference networks."""

import inspect
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
    form: Annotated[Format, typer.Option("--format", help="Text, or json for machines.")] = (
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
    """Say everything about a reference; builds it, to count its parameters."""
    factory = reference.factory()
    parameters = inspect.signature(factory).parameters.values()
    return _brief(reference) | {
        "paper": reference.paper,
        "parameters": sum(p.numel() for p in factory().parameters()),
        "arguments": {parameter.name: parameter.default for parameter in parameters},
    }


def _brief(reference: Reference) -> dict[str, Any]:
    return {
        "name": reference.name,
        "summary": reference.summary,
        "input_size": list(reference.input_size),
    }


def _print_json(content: Any) -> None:
    typer.echo(json.dumps(content, indent=2, default=str))


def _print_list(found: list[dict[str, Any]], color: Color) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("name", no_wrap=True)
    table.add_column("input size", no_wrap=True)
    table.add_column("summary")
    for entry in found:
        table.add_row(entry["name"], _size(entry), entry["summary"])
    results(color).print(table)
    print_remark("Plot one with: sppkit plot ref:NAME. See its arguments with: sppkit models NAME")


def _print_one(described: dict[str, Any], color: Color) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(no_wrap=True, style="bold")
    table.add_column()
    table.add_row("name", described["name"])
    table.add_row("summary", described["summary"])
    table.add_row("paper", described["paper"])
    table.add_row("input size", _size(described))
    table.add_row("parameters", f"{described['parameters']:,}")
    for number, (key, default) in enumerate(described["arguments"].items()):
        table.add_row("" if number else "arguments", f"-k {key}={default}")
    results(color).print(table)


def _size(entry: dict[str, Any]) -> str:
    return ",".join(map(str, entry["input_size"]))
