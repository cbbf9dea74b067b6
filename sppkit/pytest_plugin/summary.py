"""The summary at the end of a session: what the fixture measured in all tests."""

import json
from pathlib import Path
from typing import Any

import pytest

from sppkit.pytest_plugin.options import Options

SCHEMA_VERSION = 1
DEFAULT_FOLDER = "spp-results"

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="generator" content="sppkit {{ version }}">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Signal propagation summary</title>
<style>
body { font-family: sans-serif; color: #262626; max-width: 80rem; margin: 2rem auto; }
table { border-collapse: collapse; } td, th { text-align: left; padding: .3rem .8rem; }
tr { border-bottom: 1px solid #d9d9d9; vertical-align: top; }
</style>
</head>
<body>
<h1>Signal propagation summary</h1>
<table>
<tr><th>test</th><th>outcome</th><th>call</th><th>run</th><th>verdict</th><th>findings</th></tr>
{% for entry in measured %}
<tr><td>{{ entry.test }}</td><td>{{ entry.outcome }}</td><td>{{ entry.call }}</td>
<td>{{ entry.run }}</td><td>{{ entry.verdict }}</td>
<td>{% for finding in (entry.diagnosis or {}).get("findings", []) %}
{{ finding.severity }} {{ finding.code }} {{ finding.layer }}: {{ finding.message }}<br>
{% endfor %}</td></tr>
{% endfor %}
</table>
</body>
</html>
"""


class Summary:
    """Collects the reports of a session, of all workers, and writes at its end."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._measured: list[dict[str, Any]] = []
        self._written: list[Path] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep what a test measured."""
        for entry in getattr(report, "spp_measured", ()):
            named = {"test": report.nodeid, "outcome": report.outcome}
            self._measured.append({**named, **entry})

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write the summary."""
        default = session.config.invocation_params.dir / DEFAULT_FOLDER
        folder = self._options.results or default
        folder.mkdir(parents=True, exist_ok=True)
        measured = sorted(
            self._measured, key=lambda entry: entry["test"]
        )  # workers come as they do
        for form in self._options.summaries:
            text = _as_json(measured) if form == "json" else _as_html(measured)
            place = folder / f"spp-summary.{form}"
            _write(place, text)
            self._written.append(place)

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Say where it is."""
        for place in self._written:
            terminalreporter.write_line(f"signal propagation summary: {place}")


def _as_json(measured: list[dict[str, Any]]) -> str:
    return json.dumps({"schema": SCHEMA_VERSION, "measured": measured}, indent=2) + "\n"


def _as_html(measured: list[dict[str, Any]]) -> str:
    import jinja2

    from sppkit.escaping import without_control_characters
    from sppkit.version import __version__

    page = jinja2.Environment(autoescape=True).from_string(_PAGE)
    return without_control_characters(page.render(measured=measured, version=__version__))


def _write(place: Path, text: str) -> None:
    from sppkit.files import replace

    replace(place, text.encode("utf-8", "backslashreplace"))
