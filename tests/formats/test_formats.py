"""Every format: what it says, that it keeps to its published schema, and that names stay text."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

import sppkit
from sppkit.cli.check_flags import OutputFormat
from sppkit.formats import FORMATS, Report, statistics
from sppkit.rules import Severity
from tests.formats.samples import (
    HOSTILE,
    blind,
    broken,
    diagnosis,
    everything,
    finding,
    healthy,
    hostile,
    results,
    sick,
)
from tests.libraries import library

SCHEMAS = Path(__file__).parents[1] / "schemas"
OWN_SCHEMA = Path(sppkit.__file__).parent / "formats" / "check.schema.json"
CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f\u202e]")


def written(form, *reports, **changes):
    return FORMATS[form](results(*reports, **changes))


def test_the_command_line_offers_every_format():
    assert list(FORMATS) == list(OutputFormat)


# ----------------------------------------------------------------------------- verdict, exit code


@pytest.mark.parametrize(
    ("reports", "code"),
    [
        ((healthy(),), 0),
        ((healthy(), sick()), 1),
        ((healthy(), blind()), 5),
        ((sick(), blind()), 5),
        ((sick(), blind(), broken()), 2),
    ],
)
def test_the_worst_target_decides_the_exit_code(reports, code):
    assert results(*reports).exit_code == code


def test_a_warning_fails_where_that_is_asked():
    found = diagnosis(finding(severity=Severity.WARNING))
    assert Report("a", found).verdict == "pass"
    assert Report("a", found, fail_on="warning").verdict == "fail"


# ------------------------------------------------------------------------------------ what is said


def test_text_says_what_is_wrong_where_by_how_much_and_what_to_do():
    text = written("text", sick(), healthy())
    for part in (
        "sick.py:Net: fail (1 error, 1 warning, 1 remark, 2 rules passed, 1 skipped, trains with "
        "probability 0.12, 2 seeds)",
        "  error SPP101 at stage1.0\n    the second moment grows by a factor of 1234\n"
        "    second moment of the activation: 1.23e+03, expected between 0.1 and 10\n"
        "    advice: Multiply the initial weights by 0.5.",
        "  error SPP101 at tail (ignored: known since 2024)",
        "  tried scale initialisation by 0.5 for SPP101: helped (fail -> pass, trains with "
        "probability 0.12 -> 0.97)",
        "    SPP101: 1.23e+03 -> gone",
        "  note: one seed",
        "healthy.py: pass",
    ):
        assert part in text
    assert text.endswith(f"sppkit {sppkit.__version__}: 2 targets, 1 passed, 1 failed.\n")


def test_verbose_text_says_what_passed_and_why_rules_were_skipped():
    text = written("text", healthy(), verbose=True)
    assert "  passed: SPP201, SPP202" in text
    assert "  skipped SPP107: no SELU in this network" in text
    assert "  not captured: out_proj: the module was never called" in text


def test_text_of_a_broken_target_keeps_the_lines_of_its_message():
    text = written("text", broken(), blind())
    assert "broken.py: error\n  'broken.py' does not exist.\n    Did you mean 'model.py'?" in text
    assert "blind.py: nothing observed" in text


def test_concise_has_one_line_for_each_finding_that_counts():
    lines = written("concise", sick(), broken("b.py", "gone"), blind()).splitlines()
    assert lines[0] == (
        "sick.py:Net: error SPP101 stage1.0: the second moment grows by a factor of 1234 "
        "(1.23e+03, expected between 0.1 and 10)"
    )
    assert [line.split(":")[0] for line in lines[3:5]] == ["b.py", "blind.py"]
    assert len(lines) == 6


def test_findings_are_placed_in_files_below_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    inside = finding(file=str(tmp_path / "my nets" / "a#b.py"), line=7)
    report = Report("net", diagnosis(inside, finding(file="/elsewhere/c.py", line=3)))
    assert written("concise", report).startswith("my nets/a#b.py:7: net: error SPP101")
    assert "file=my nets/a#b.py,line=7," in written("github", report)
    places = [entry["location"] for entry in json.loads(written("gitlab", report))]
    assert places[0] == {"path": "my nets/a#b.py", "lines": {"begin": 7}}
    assert places[1]["path"] == "net"
    sarif = json.loads(written("sarif", report))["runs"][0]["results"]
    physical = sarif[0]["locations"][0]["physicalLocation"]
    assert physical["artifactLocation"] == {"uri": "my%20nets/a%23b.py", "uriBaseId": "%SRCROOT%"}
    assert physical["region"] == {"startLine": 7}
    assert "physicalLocation" not in sarif[1]["locations"][0]


def test_json_is_one_object_for_one_target_and_a_list_for_several():
    one, two = json.loads(written("json", sick())), json.loads(written("json", sick(), broken()))
    assert (one["target"], one["run"], one["verdict"]) == ("sick.py:Net", "Net", "fail")
    assert two[0] == one
    assert (two[1]["verdict"], two[1]["findings"]) == ("error", [])
    assert one["findings"][0]["measured"] == 1234.5
    assert one["findings"][1]["measured"] == "inf"
    assert one["schema"] == 1


def test_junit_counts_a_case_for_each_rule_and_finding():
    root = ElementTree.fromstring(written("junit", healthy(), sick(), broken(), blind()))
    totals = {k: int(root.get(k)) for k in ("tests", "failures", "errors")}
    assert totals == {"tests": 3 + 7 + 1 + 1, "failures": 1, "errors": 2}
    suite = root.findall("testsuite")[1]
    assert (suite.get("name"), suite.get("skipped")) == ("sick.py:Net", "1")
    failure = suite.find("testcase/failure")
    assert "advice: Multiply the initial weights by 0.5." in failure.text
    assert "ignored: known since 2024" in suite.findall("testcase/system-out")[-1].text


def test_sarif_names_rules_levels_and_suppressions():
    run = json.loads(written("sarif", sick(), broken()))["runs"][0]
    levels = [result["level"] for result in run["results"]]
    assert levels == ["error", "warning", "note", "error"]
    assert run["results"][3]["suppressions"][0]["justification"] == "known since 2024"
    rules = run["tool"]["driver"]["rules"]
    assert all(rules[r["ruleIndex"]]["id"] == r["ruleId"] for r in run["results"])
    assert run["invocations"][0]["executionSuccessful"] is False
    assert len(run["invocations"][0]["toolExecutionNotifications"]) == 1


def test_github_annotates_what_counts_by_severity():
    lines = written("github", sick(), broken("b", "one\ntwo"), blind()).splitlines()
    commands = [re.match(r"::(\w+) ", line)[1] for line in lines[:-1]]
    assert commands == ["error", "warning", "notice", "error", "error"]
    assert lines[3] == "::error title=sppkit%3A b::one%0Atwo"


def test_gitlab_fingerprints_outlive_measured_values():
    def fingerprints(measured):
        entries = json.loads(written("gitlab", Report("a", diagnosis(finding(measured=measured)))))
        return [entry["fingerprint"] for entry in entries]

    assert fingerprints(1.0) == fingerprints(2.0)
    both = json.loads(written("gitlab", sick()))
    assert len({entry["fingerprint"] for entry in both}) == len(both) == 3
    assert {entry["severity"] for entry in both} == {"critical", "minor", "info"}


def test_gitlab_is_an_empty_list_where_all_is_well():
    assert json.loads(written("gitlab", healthy())) == []


def test_markdown_is_a_table_of_targets_and_one_of_findings():
    text = written("markdown", sick(), healthy())
    assert "| sick.py:Net | fail | 1 error, 1 warning, 1 remark | 0.12 |" in text
    assert "| healthy.py | pass | no findings | 0.99 |" in text
    assert "| SPP101 | error | stage1.0 | 1.23e+03 | between 0.1 and 10 |" in text
    assert "tried scale initialisation by 0.5" in text


def test_statistics_count_the_findings_that_count():
    found = results(sick(), sick("other"))
    assert statistics(found).splitlines()[0].startswith("2  SPP101  ")
    counted = json.loads(statistics(found, as_json=True))
    assert [entry["count"] for entry in counted] == [2, 2, 2]


# ------------------------------------------------------------------------------------------ schemas


def test_json_keeps_to_its_schema():
    schema = json.loads(OWN_SCHEMA.read_text())
    validator = library("jsonschema").Draft202012Validator(schema)
    validator.check_schema(schema)
    for found in (everything(), results(sick()), results(broken())):
        validator.validate(json.loads(FORMATS["json"](found)))
    wrong = json.loads(FORMATS["json"](results(sick()))) | {"verdict": "perhaps"}
    assert not validator.is_valid(wrong)


def test_sarif_keeps_to_the_schema_of_oasis():
    schema = json.loads((SCHEMAS / "sarif-2.1.0.json").read_text())
    validator = library("jsonschema").Draft7Validator(schema)
    for found in (everything(), results(healthy())):
        validator.validate(json.loads(FORMATS["sarif"](found)))
    wrong = json.loads(FORMATS["sarif"](everything()))
    wrong["runs"][0]["results"][0]["level"] = "fatal"
    assert not validator.is_valid(wrong)


@pytest.mark.parametrize("form", ["sarif", "json", "gitlab"])
def test_programs_get_json_without_the_nan_that_only_python_reads(form):
    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    json.loads(FORMATS[form](everything()), parse_constant=refuse)


def test_junit_keeps_to_the_schema_of_jenkins():
    schema = library("xmlschema").XMLSchema(SCHEMAS / "junit-10.xsd")
    for found in (everything(), results(healthy())):
        schema.validate(ElementTree.fromstring(FORMATS["junit"](found).encode()))
    assert not schema.is_valid(ElementTree.fromstring("<testsuites><testsuite/></testsuites>"))


def test_gitlab_has_the_fields_that_its_documentation_asks_for():
    for entry in json.loads(FORMATS["gitlab"](everything())):
        assert set(entry) == {"description", "check_name", "fingerprint", "severity", "location"}
        assert entry["severity"] in ("info", "minor", "major", "critical", "blocker")
        assert entry["location"]["path"]
        assert entry["location"]["lines"]["begin"] >= 1


# ------------------------------------------------------------------------------------ hostile names


@pytest.mark.parametrize("form", FORMATS)
def test_no_format_steers_a_terminal(form):
    text = FORMATS[form](everything())
    assert not CONTROL.search(text)
    text.encode("utf-8")  # a lone surrogate would not go into a file


@pytest.mark.parametrize("form", ["text", "concise", "markdown"])
def test_no_line_of_a_log_is_a_command_to_github(form):
    text = FORMATS[form](everything())
    assert "##[" not in text
    assert not [line for line in text.splitlines() if line.lstrip().startswith("::")]


def test_a_name_makes_no_annotation_of_its_own():
    lines = written("github", hostile(), broken(HOSTILE, HOSTILE)).splitlines()
    assert len(lines) == 3  # a finding, a broken target, the line that sums up
    for line in lines[:-1]:
        command = re.fullmatch(r"::error title=([^:,]*)::(.*)", line)
        assert command, line
        assert "%250A" in command[1]  # the name's own "%0A", not a new line


def test_a_name_is_no_markup_in_xml():
    root = ElementTree.fromstring(written("junit", hostile()))
    assert len(root.findall("testsuite/testcase")) == 5
    name = root.find("testsuite").get("name")
    assert "<script>x</script>" in name
    assert "\\x1b[2J" in name


def test_a_name_stays_in_its_cell_of_a_markdown_table():
    text = written("markdown", hostile())
    rows = [line for line in text.splitlines() if line.startswith("| SPP101")]
    (row,) = rows
    assert len(re.findall(r"(?<!\\)\|", row)) == 9
    assert "<script>" not in text
    assert "@" not in text  # it would notify a team
    assert "\\`c\\`" in text
    assert "\\[f\\]" in text
    parser = _Tags()
    parser.feed(text)
    assert parser.tags == []


class _Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags = []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)


def test_a_name_is_no_link_and_no_placeholder_in_sarif():
    (result, _) = json.loads(written("sarif", hostile()))["runs"][0]["results"]
    message = result["message"]["text"]
    assert "](" not in message
    assert "{{0}}" in message
    location = result["locations"][0]["logicalLocations"][0]
    assert "\x1b" not in location["fullyQualifiedName"]
