"""For the test reports of CI servers: a suite for each target, a case for each rule or finding.

The elements are those of the schema `junit-10.xsd` of Jenkins' xUnit plug-in.
"""

from collections.abc import Sequence
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from sppkit.escaping import printable
from sppkit.formats.results import SIGNATURE, CheckResults, Report, number, subject
from sppkit.rules import Finding

_COUNTED = {"failures": "failure", "errors": "error", "skipped": "skipped"}


def as_junit(results: CheckResults) -> str:
    """Write the results as XML."""
    suites = [_suite(report) for report in results]
    cases = [case for suite in suites for case in suite]
    totals = _totals(cases)
    del totals["skipped"]  # the schema knows it of a suite only
    root = Element("testsuites", {"name": SIGNATURE, **totals})
    root.extend(suites)
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="utf-8"?>\n{printable(text)}\n'


def _totals(cases: Sequence[Element]) -> dict[str, str]:
    counted = {
        name: sum(case.find(tag) is not None for case in cases) for name, tag in _COUNTED.items()
    }
    return {"tests": str(len(cases)), **{name: str(count) for name, count in counted.items()}}


def _suite(report: Report) -> Element:
    cases = _cases(report)
    suite = Element("testsuite", {"name": report.target, **_totals(cases)})
    suite.extend(cases)
    return suite


def _cases(report: Report) -> list[Element]:
    diagnosis = report.diagnosis
    if diagnosis is None:
        return [_case(report, "measured", "error", report.error)]
    if report.nothing_judged:
        return [_case(report, "observed", "error", report.nothing_judged)]
    return [
        *(_case_of_finding(report, finding) for finding in diagnosis.findings),
        *(_case(report, code) for code in diagnosis.passed),
        *(_case(report, s.code, "skipped", s.reason) for s in diagnosis.skipped),
    ]


def _case(report: Report, name: str, tag: str = "", message: str = "") -> Element:
    case = Element("testcase", {"name": name, "classname": report.target})
    if tag:
        SubElement(case, tag, {"message": message})
    return case


def _case_of_finding(report: Report, finding: Finding) -> Element:
    name = " ".join(part for part in (finding.code, finding.layer) if part)
    if report.fails(finding):
        case = _case(report, name, "failure", finding.message)
        case[0].text = _in_full(finding)
    else:
        case = _case(report, name)
        SubElement(case, "system-out").text = f"{finding.severity.value}: {_in_full(finding)}"
    return case


def _in_full(finding: Finding) -> str:
    lines = [finding.message]
    if finding.measured is not None:
        measured = f"{subject(finding)}: {number(finding.measured)}"
        lines.append(f"{measured}, expected {finding.expected}")
    lines += [f"advice: {finding.advice}"] if finding.advice else []
    lines += [f"defined in {finding.file}, line {finding.line}"] if finding.file else []
    lines += [f"ignored: {finding.ignored}"] if finding.ignored else []
    return "\n".join(lines)
