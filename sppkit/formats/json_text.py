"""For programs: the diagnoses in full, as `check.schema.json` in this folder describes them.

One object for one target, a list of them for several.
"""

import json
from typing import Any

from sppkit.formats.results import CheckResults, Report

SCHEMA_VERSION = 1


def as_json(results: CheckResults) -> str:
    """Write the results; everything outside ASCII is escaped."""
    content = [_entry(report) for report in results]
    return json.dumps(content[0] if len(content) == 1 else content, indent=2) + "\n"


def _entry(report: Report) -> dict[str, Any]:
    if report.diagnosis is None:
        return {
            "schema": SCHEMA_VERSION,
            "target": report.target,
            "verdict": report.verdict,
            "error": report.error,
            "findings": [],
            "skipped": [],
            "not_captured": [],
            "settings": {},
        }
    described = report.diagnosis.to_dict()
    named = {"target": report.target, "verdict": report.verdict, "run": report.diagnosis.target}
    return {**described, **named, "remarks": list(report.remarks)}
