"""For the log of GitHub's Actions, which turns these lines into annotations.

Syntax: docs.github.com, "Workflow commands for GitHub Actions".
"""

from collections.abc import Iterator

from sppkit.escaping import printable
from sppkit.formats.places import place_of
from sppkit.formats.results import CheckResults, Report
from sppkit.rules import Finding, Severity

_COMMANDS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "notice"}


def as_github(results: CheckResults) -> str:
    """Write an annotation for each finding that counts, and a line of the log that sums up."""
    lines = [line for report in results for line in _annotations(report)]
    return "\n".join([*lines, results.summary]) + "\n"


def _annotations(report: Report) -> Iterator[str]:
    if report.verdict == "error":
        yield _command("error", {"title": f"sppkit: {report.target}"}, report.error)
    elif report.nothing_judged:
        yield _command("error", {"title": f"sppkit: {report.target}"}, report.nothing_judged)
    for finding in report.counted:
        yield _annotation(report, finding)


def _annotation(report: Report, finding: Finding) -> str:
    place = place_of(finding)
    properties = {"file": place.path, "line": str(place.line)} if place else {}
    at = f" at {finding.layer}" if finding.layer else ""
    properties["title"] = f"{finding.code} in {report.target}{at}"
    texts = [finding.message, finding.advice and f"Advice: {finding.advice}"]
    return _command(_COMMANDS[finding.severity], properties, "\n".join(filter(None, texts)))


def _command(name: str, properties: dict[str, str], message: str) -> str:
    written = ",".join(f"{key}={_property(value)}" for key, value in properties.items())
    return f"::{name} {written}::{_data(message)}"


def _data(text: str) -> str:
    escaped = printable(text.replace("\r", "\n"))
    return escaped.replace("%", "%25").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
