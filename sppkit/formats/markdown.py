"""For comments on merge requests and summaries of jobs: tables of GitHub's Markdown."""

import re
from collections.abc import Iterator, Sequence
from html import escape

from sppkit.escaping import one_line
from sppkit.formats.places import place_of
from sppkit.formats.results import CheckResults, Report, counts, fix_in_words, number
from sppkit.rules import Finding

_SIGNS = re.compile(r"([\\`*_{}\[\]#|~!$])")


def as_markdown(results: CheckResults) -> str:
    """Write a table of the targets, and one of the findings of each."""
    lines = ["## sppkit check", "", *_table(_TARGETS, map(_target, results))]
    for report in results:
        lines += _section(report)
    return "\n".join([*lines, "", f"_{_cell(results.summary)}_"]) + "\n"


_TARGETS = ("target", "verdict", "findings", "trains with probability")
_FINDINGS = ("rule", "severity", "layer", "measured", "expected", "finding", "advice", "defined in")


def _table(headings: Sequence[str], rows: Iterator[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(headings)} |"
    yield f"|{'---|' * len(headings)}"
    for row in rows:
        yield f"| {' | '.join(map(_cell, row))} |"


def _target(report: Report) -> tuple[str, ...]:
    diagnosis = report.diagnosis
    probability = diagnosis.probability_of_training if diagnosis else None
    found = counts(report.counted) if diagnosis else report.error
    return report.target, report.verdict, found, number(probability)


def _section(report: Report) -> Iterator[str]:
    if report.findings or report.remarks or report.tried_fixes:
        yield from ("", f"### {_cell(report.target)}", "")
    if report.findings:
        yield from _table(_FINDINGS, map(_finding, report.findings))
    notes = [*(f"tried {fix_in_words(each)}" for each in report.tried_fixes), *report.remarks]
    if notes:
        yield from ("", *(f"- {_cell(note)}" for note in notes))


def _finding(finding: Finding) -> tuple[str, ...]:
    place = place_of(finding)
    severity = finding.severity.value
    return (
        finding.code,
        f"{severity}, ignored: {finding.ignored}" if finding.ignored else severity,
        finding.layer,
        number(finding.measured),
        finding.expected,
        finding.message,
        "" if finding.ignored else finding.advice,
        str(place) if place else "",
    )


def _cell(text: str) -> str:
    """Keep a text from being markup, a column, a line of its own, or a mention of a person."""
    quiet = _SIGNS.sub(r"\\\1", one_line(text))
    return escape(quiet, quote=False).replace("@", "&#64;")
