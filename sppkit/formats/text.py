"""For people, in full: what is wrong, where, by how much, and what to do."""

from collections.abc import Iterator

from sppkit.escaping import log_line
from sppkit.formats.places import place_of
from sppkit.formats.results import (
    CheckResults,
    Report,
    counts,
    fix_in_words,
    number,
    subject,
)
from sppkit.rules import Diagnosis, Finding, TriedFix

_FEW = 3


def as_text(results: CheckResults) -> str:
    """Write a paragraph for each target, and a line that sums up."""
    paragraphs = [
        "\n".join(map(log_line, _paragraph(report, verbose=results.verbose))) for report in results
    ]
    return "\n\n".join([*paragraphs, results.summary]) + "\n"


def _paragraph(report: Report, *, verbose: bool) -> Iterator[str]:
    diagnosis = report.diagnosis
    if diagnosis is None:
        yield f"{report.target}: error"
        yield from (f"  {line}" for line in report.error.splitlines())
        return
    yield f"{report.target}: {report.verdict} ({_brief(diagnosis)})"
    if diagnosis.nothing_judged:
        yield f"  {diagnosis.nothing_judged}"
    for finding in diagnosis.findings:
        yield from _finding(finding)
    for tried in diagnosis.tried_fixes:
        yield from _tried(tried)
    yield from (f"  note: {remark}" for remark in report.remarks)
    if verbose:
        yield from _in_full(diagnosis)


def _brief(diagnosis: Diagnosis) -> str:
    parts = [
        counts(diagnosis.counted),
        f"{len(diagnosis.passed)} rules passed",
        f"{len(diagnosis.skipped)} skipped",
    ]
    if diagnosis.probability_of_training is not None:
        parts.append(f"trains with probability {diagnosis.probability_of_training:.2f}")
    if diagnosis.seeds:
        parts.append(f"{len(diagnosis.seeds)} seed{'s' * (len(diagnosis.seeds) != 1)}")
    return ", ".join(parts)


def _finding(finding: Finding) -> Iterator[str]:
    where = f" at {finding.layer}" if finding.layer else ""
    ignored = f" (ignored: {finding.ignored})" if finding.ignored else ""
    yield f"  {finding.severity.value} {finding.code}{where}{ignored}"
    yield f"    {finding.message}"
    if finding.ignored:
        return
    if finding.measured is not None:
        expected = f", expected {finding.expected}" if finding.expected else ""
        yield f"    {subject(finding)}: {number(finding.measured)}{expected}"
    if finding.advice:
        yield f"    advice: {finding.advice}"
    if place := place_of(finding):
        yield f"    defined in {place!s}"


def _tried(tried: TriedFix) -> Iterator[str]:
    """Say what a fix did to a copy: what was changed, and the findings before and after."""
    yield f"  tried {fix_in_words(tried)}"
    yield from (f"    {change}" for change in tried.applied[:_FEW])
    if len(tried.applied) > _FEW:
        yield f"    and {len(tried.applied) - _FEW} more"
    for code, before, after in tried.measured:
        gone = "gone" if after is None else number(after)
        yield f"    {code}: {number(before) or 'found'} -> {gone}"


def _in_full(diagnosis: Diagnosis) -> Iterator[str]:
    if diagnosis.passed:
        yield f"  passed: {', '.join(diagnosis.passed)}"
    yield from (f"  skipped {s.code}: {s.reason}" for s in diagnosis.skipped)
    yield from (f"  not captured: {missing!s}" for missing in diagnosis.not_captured)
    yield from (f"  {name}: {number(value)}" for name, value in diagnosis.evidence.items())
