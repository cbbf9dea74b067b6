"""Where a finding is shown in a tree of source files."""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from sppkit.rules import Finding


@dataclass(frozen=True)
class Place:
    """A file below the current folder, with "/" between its parts, and a line."""

    path: str
    line: int

    @property
    def uri(self) -> str:
        """The path as a relative reference of RFC 3986."""
        return quote(self.path)

    def __str__(self) -> str:
        """Write it as compilers do."""
        return f"{self.path}:{self.line}"


def place_of(finding: Finding) -> Place | None:
    """Find the place of a finding; None where its class is defined outside the current folder."""
    if not finding.file:
        return None
    path, here = Path(finding.file).resolve(), Path.cwd()
    if not path.is_relative_to(here):
        return None
    return Place(path.relative_to(here).as_posix(), finding.line or 1)
