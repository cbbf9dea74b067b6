"""Where a finding is shown in the user's own code: layers of torch are parts of classes there."""

import sysconfig
from dataclasses import replace
from pathlib import Path

import pandas as pd

from sppkit.rules import Diagnosis, Finding

_STANDARD_LIBRARY = Path(sysconfig.get_path("stdlib"))
_INSTALLED = {"site-packages", "dist-packages"}


def with_places(diagnosis: Diagnosis, structure: pd.DataFrame, fallback: Path | None) -> Diagnosis:
    """Give each finding the file and line of the innermost class that no package provides.

    Args:
        diagnosis: of one run.
        structure: of that run.
        fallback: the file that the target names, where no such class is found.
    """
    modules = structure[structure["operation"] == ""].drop_duplicates("layer").set_index("layer")
    placed = tuple(_placed(finding, modules, fallback) for finding in diagnosis.findings)
    return replace(diagnosis, findings=placed)


def _placed(finding: Finding, modules: pd.DataFrame, fallback: Path | None) -> Finding:
    name: str | None = finding.layer
    while name is not None and name in modules.index:
        row = modules.loc[name]
        if isinstance(row["file"], str) and _is_own(Path(row["file"])):
            line: int | None = None if pd.isna(row["line"]) else int(row["line"])
            return replace(finding, file=row["file"], line=line)
        name = row["parent"] if isinstance(row["parent"], str) else None
    if fallback is not None:
        return replace(finding, file=str(fallback.resolve()), line=1)
    return finding


def _is_own(file: Path) -> bool:
    return not _INSTALLED & set(file.parts) and not file.is_relative_to(_STANDARD_LIBRARY)
