"""For people and editors: one line for each finding, its place first."""

from collections.abc import Iterator

from sppkit.escaping import log_line
from sppkit.formats.places import place_of
from sppkit.formats.results import CheckResults, Report, number
from sppkit.rules import Finding


def as_concise(results: CheckResults) -> str:
    """Write a line for each finding that counts, and one that sums up."""
    lines = [log_line(line) for report in results for line in _lines(report)]
    return "\n".join([*lines, results.summary]) + "\n"


def _lines(report: Report) -> Iterator[str]:
    if report.verdict == "error":
        yield f"{report.target}: error {report.error}"
    elif report.nothing_judged:
        yield f"{report.target}: error {report.nothing_judged}"
    for finding in report.counted:
        yield _line(report, finding)


def _line(report: Report, finding: Finding) -> str:
    place = place_of(finding)
    where = [str(place)] if place else []
    measured = ""
    if finding.measured is not None:
        measured = f" ({number(finding.measured)}, expected {finding.expected})"
    head = f"{finding.severity.value} {finding.code}"
    layer = f"{finding.layer}: " if finding.layer else ""
    return ": ".join([*where, report.target, f"{head} {layer}{finding.message}{measured}"])
