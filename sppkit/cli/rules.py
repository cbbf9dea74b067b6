"""`sppkit rules`: what a check and a training ask, with thresholds and their sources."""

import json
import math
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from sppkit.cli.console import Color, print_remark, results
from sppkit.cli.flag_groups import with_flags
from sppkit.cli.flags import Talking
from sppkit.cli.models import Format

if TYPE_CHECKING:
    from sppkit.rules.rule import RuleBase


@with_flags
def rules(
    talking: Talking,
    code: Annotated[
        str | None,
        typer.Argument(metavar="CODE", help="Rule to explain, or the beginning of its code."),
    ] = None,
    form: Annotated[Format, typer.Option("--output-format", help="Text, or json for machines.")] = (
        Format.TEXT
    ),
) -> None:
    """List the rules of a check and of the early warning in training (SPP6), or explain one."""
    from sppkit.cli.rulebook import every_rule
    from sppkit.early_warning.catalogue import WARNING_RULES
    from sppkit.rules.selection import selected

    known: tuple[RuleBase, ...] = (*every_rule(), *WARNING_RULES)
    found = known if code is None else selected(known, [code.upper()])
    if form is Format.JSON:
        typer.echo(json.dumps([describe_rule(rule) for rule in found], indent=2, allow_nan=False))
    elif code is None:
        _print_list(found, talking.color)
    else:
        text = "\n\n".join("\n".join(_explained(rule)) for rule in found)
        results(talking.color).print(Text(text), soft_wrap=True)


def describe_rule(rule: "RuleBase") -> dict[str, Any]:
    """Say everything about a rule."""
    sources = rule.sources
    return {
        "code": rule.code,
        "title": rule.title,
        "severity": rule.severity.value,
        "advice": rule.advice,
        "thresholds": [
            {"name": name, "value": _plain(value), "source": sources[name]}
            for name, value in rule.thresholds.items()
        ],
        **_weights(rule),
    }


def _plain(value: float) -> float | str:
    """Give a threshold as JSON has it; one that is not set is that which was fitted."""
    return "as fitted" if math.isnan(value) else value


def _weights(rule: "RuleBase") -> dict[str, Any]:
    """Add the fitted model of the rule that weighs everything."""
    from sppkit.rules.weighing import WeighedEvidence, fitted

    if not isinstance(rule, WeighedEvidence):
        return {}
    model = fitted()
    return {"weighing": None if model is None else dict(model.content)}


def _print_list(found: "tuple[RuleBase, ...]", color: Color) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for heading in ("code", "severity", "title"):
        table.add_column(heading)
    for rule in found:
        table.add_row(rule.code, rule.severity.value, Text(rule.title))
    results(color).print(table)
    print_remark("Explain one with: sppkit rules CODE")


def _explained(rule: "RuleBase") -> Iterator[str]:
    described = describe_rule(rule)
    yield f"{rule.code}: {rule.title} ({rule.severity.value})"
    yield ""
    for line in textwrap.dedent(rule.advice).splitlines():
        yield f"  {line.strip()}".rstrip()
    for threshold in described["thresholds"]:
        yield ""
        value = threshold["value"]
        yield f"  {threshold['name']} = {value if isinstance(value, str) else f'{value:g}'}"
        yield from textwrap.wrap(
            threshold["source"], 74, initial_indent="    source: ", subsequent_indent="    "
        )
    if "weighing" in described:
        yield ""
        yield from (f"  {line}" for line in _formula(described["weighing"]))


def _formula(model: dict[str, Any] | None) -> Iterator[str]:
    """Write out the fitted model: what each statistic adds to the logit of training."""
    if model is None:
        yield "no coefficients are fitted: the rule is skipped"
        return
    if "fitted_on" in model:
        yield from textwrap.wrap(f"fitted on {model['fitted_on']}", 76)
    if "rehearsed" in model:
        yield f"probability after a rehearsal that succeeded: {model['rehearsed']:g}; otherwise"
    if "threshold" in model:
        yield f"fails below a probability of {model['threshold']:g}"
    if model["kind"] == "tree":
        yield from json.dumps(model["tree"], indent=2).splitlines()
        return
    yield "logit of training ="
    yield f"{model['intercept']:+.4g}"
    for name, entry in model["statistics"].items():
        yield from _terms(name, entry)
    if "unrehearsed" in model:
        yield ""
        yield "without a rehearsal:"
        yield from _formula(model["unrehearsed"])


def _terms(name: str, entry: dict[str, Any]) -> Iterator[str]:
    """Write out what a statistic adds: a line, and bends on one side of a point."""
    if "coefficient" in entry:
        line = f"({name} - {entry['mean']:.4g}) / {entry['scale']:.4g}"
        yield f"{entry['coefficient']:+.4g} {line}"
    for bend in entry.get("bends", ()):
        below = bend["side"] == "below"
        distance = f"{bend['at']:.4g} - {name}" if below else f"{name} - {bend['at']:.4g}"
        yield f"{bend['coefficient']:+.4g} max(0, {distance})"
