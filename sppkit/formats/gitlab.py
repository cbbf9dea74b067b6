"""For GitLab's merge requests: a report of "Code Quality", a part of Code Climate's format.

Fields: docs.gitlab.com, "Code Quality", "Code Quality report format".
"""

import hashlib
import json
from typing import Any

from sppkit.escaping import one_line
from sppkit.formats.places import place_of
from sppkit.formats.results import CheckResults, Report
from sppkit.rules import Finding, Severity

_SEVERITIES = {Severity.ERROR: "critical", Severity.WARNING: "minor", Severity.INFO: "info"}


def as_gitlab(results: CheckResults) -> str:
    """Write an entry for each finding that counts, and for each target without a verdict."""
    entries = [entry for report in results for entry in _entries(report)]
    return json.dumps(entries, indent=2) + "\n"


def _entries(report: Report) -> list[dict[str, Any]]:
    entries = [_entry(report, finding) for finding in report.counted]
    if report.verdict in ("error", "nothing observed"):
        message = report.error or report.nothing_judged
        whole = _described(report, message, "sppkit", "blocker", report.target, 1)
        entries.append(whole | {"fingerprint": _fingerprint(report.target, report.verdict)})
    return entries


def _entry(report: Report, finding: Finding) -> dict[str, Any]:
    place = place_of(finding)
    at = f"{finding.layer}: " if finding.layer else ""
    path, line = (place.path, place.line) if place else (report.target, 1)
    severity = _SEVERITIES[finding.severity]
    described = _described(report, f"{at}{finding.message}", finding.code, severity, path, line)
    parts = (report.target, finding.code, finding.layer, finding.signal, finding.statistic)
    return described | {"fingerprint": _fingerprint(*parts)}


def _described(
    report: Report, message: str, code: str, severity: str, path: str, line: int
) -> dict[str, Any]:
    return {
        "description": one_line(f"{report.target}: {message}"),
        "check_name": code,
        "severity": severity,
        "location": {"path": one_line(path), "lines": {"begin": line}},
    }


def _fingerprint(*parts: str) -> str:
    """Tell findings apart, and know one again when its measured value has changed."""
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()
