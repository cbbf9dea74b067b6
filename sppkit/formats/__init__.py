"""Formats of the results of a check: one small file each, from `CheckResults` to text.

Names of targets and layers are text of others; each format escapes what would be read as more than
text where it is shown.
"""

from collections.abc import Callable

from sppkit.formats.concise import as_concise
from sppkit.formats.github import as_github
from sppkit.formats.gitlab import as_gitlab
from sppkit.formats.json_text import as_json
from sppkit.formats.junit import as_junit
from sppkit.formats.markdown import as_markdown
from sppkit.formats.results import CheckResults, Report
from sppkit.formats.sarif import as_sarif
from sppkit.formats.statistics import statistics
from sppkit.formats.text import as_text

__all__ = ["FORMATS", "CheckResults", "Report", "statistics"]


FORMATS: dict[str, Callable[[CheckResults], str]] = {
    "text": as_text,
    "concise": as_concise,
    "json": as_json,
    "junit": as_junit,
    "sarif": as_sarif,
    "github": as_github,
    "gitlab": as_gitlab,
    "markdown": as_markdown,
}
"""The formats, by the words of `--output-format`."""
