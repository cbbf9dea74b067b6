"""For GitHub's code scanning and its like: SARIF 2.1.0, a standard of OASIS.

Sections are those of docs.oasis-open.org/sarif/sarif/v2.1.0.
"""

import hashlib
import json
import math
from typing import Any

from sppkit.escaping import one_line, printable
from sppkit.formats.places import place_of
from sppkit.formats.results import CheckResults, Report, number, subject
from sppkit.rules import Finding, Rule, Severity
from sppkit.version import __version__

_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "note"}
_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def as_sarif(results: CheckResults) -> str:
    """Write one run with a result for each finding; targets that broke are notifications."""
    found = [_result(report, finding, results) for report in results for finding in report.findings]
    run = {
        "tool": {"driver": _driver(results)},
        "invocations": [_invocation(results)],
        "columnKind": "unicodeCodePoints",
        "results": found,
    }
    log = {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}
    return json.dumps(log, indent=2, allow_nan=False) + "\n"


def _driver(results: CheckResults) -> dict[str, Any]:
    return {
        "name": "sppkit",
        "version": __version__,
        "rules": [_descriptor(rule) for rule in results.rules],
    }


def _descriptor(rule: Rule) -> dict[str, Any]:
    numbers = {name: value for name, value in rule.thresholds.items() if math.isfinite(value)}
    return {
        "id": rule.code,
        "shortDescription": {"text": _message(rule.title)},
        "fullDescription": {"text": _message(rule.advice)},
        "help": {"text": _message(rule.advice)},
        "defaultConfiguration": {"level": _LEVELS[rule.severity]},
        "properties": {"thresholds": numbers},
    }


def _invocation(results: CheckResults) -> dict[str, Any]:
    """Say which targets have no verdict (section 3.20)."""
    broken = [r for r in results if r.verdict in ("error", "nothing observed")]
    texts = [f"{r.target}: {r.error or r.nothing_judged}" for r in broken]
    return {
        "executionSuccessful": not broken,
        "exitCode": results.exit_code,
        "toolExecutionNotifications": [
            {"level": "error", "message": {"text": _message(text)}} for text in texts
        ],
    }


def _result(report: Report, finding: Finding, results: CheckResults) -> dict[str, Any]:
    codes = [rule.code for rule in results.rules]
    known = {"ruleIndex": codes.index(finding.code)} if finding.code in codes else {}
    suppressed = {"kind": "external", "justification": one_line(finding.ignored)}
    return {
        "ruleId": finding.code,
        **known,
        "level": _LEVELS[finding.severity],
        "message": {"text": _message(_said(report, finding))},
        "locations": [_location(report, finding)],
        "partialFingerprints": {"sppkit/v1": _fingerprint(report, finding)},
        "suppressions": [suppressed] if finding.ignored else [],
    }


def _said(report: Report, finding: Finding) -> str:
    at = f" at {one_line(finding.layer)}" if finding.layer else ""
    measured = ""
    if finding.measured is not None:
        value = f"{subject(finding)}: {number(finding.measured)}"
        measured = f" ({value}, expected {finding.expected})"
    advice = f" Advice: {finding.advice}" if finding.advice else ""
    return f"{one_line(report.target)}{at}: {finding.message}{measured}{advice}"


def _location(report: Report, finding: Finding) -> dict[str, Any]:
    path = ".".join(part for part in (report.target, finding.layer) if part)
    layer = {"name": one_line(finding.layer or report.target), "kind": "object"}
    located: dict[str, Any] = {
        "logicalLocations": [{**layer, "fullyQualifiedName": one_line(path)}]
    }
    if place := place_of(finding):
        located["physicalLocation"] = {
            "artifactLocation": {"uri": place.uri, "uriBaseId": "%SRCROOT%"},
            "region": {"startLine": place.line},
        }
    return located


def _message(text: str) -> str:
    """Take from braces and from links the meaning they have in messages (3.11.5, 3.11.6)."""
    return printable(text).replace("{", "{{").replace("}", "}}").replace("](", "] (")


def _fingerprint(report: Report, finding: Finding) -> str:
    parts = (report.target, finding.code, finding.layer, finding.signal, finding.statistic)
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()
