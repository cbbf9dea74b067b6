"""Formats of the results of a check: one small file each, from `CheckResults` to text.

Names of targets and layers are text of others; each format escapes what would be read as more than
text where it is shown.
"""

from collections.abc import Callable
from enum import StrEnum

from sppkit.formats.concise import as_concise
from sppkit.formats.github import as_github
from sppkit.formats.gitlab import as_gitlab
from sppkit.formats.json_text import as_json
from sppkit.formats.junit import as_junit
from sppkit.formats.markdown import as_markdown
from sppkit.formats.results import CheckResults, Report
from sppkit.formats.sarif import as_sarif
from sppkit.formats.text import as_text

__all__ = ["FORMATS", "CheckResults", "Format", "Report"]


class Format(StrEnum):
    """For whom the results of a check are written."""

    TEXT = "text"
    CONCISE = "concise"
    JSON = "json"
    JUNIT = "junit"
    SARIF = "sarif"
    GITHUB = "github"
    GITLAB = "gitlab"
    MARKDOWN = "markdown"


FORMATS: dict[Format, Callable[[CheckResults], str]] = {
    Format.TEXT: as_text,
    Format.CONCISE: as_concise,
    Format.JSON: as_json,
    Format.JUNIT: as_junit,
    Format.SARIF: as_sarif,
    Format.GITHUB: as_github,
    Format.GITLAB: as_gitlab,
    Format.MARKDOWN: as_markdown,
}
