"""Where a finding is shown in the user's own code."""

from dataclasses import replace
from pathlib import Path

import pandas as pd

from sppkit.rules import Diagnosis, Finding
from sppkit.rules.places import own_source


def with_places(diagnosis: Diagnosis, structure: pd.DataFrame, fallback: Path | None) -> Diagnosis:
    """Give findings that have no place yet one: of the layer, or else the file of the target.

    Args:
        diagnosis: of one run.
        structure: of that run.
        fallback: the file that the target names, where no class of the user's is found.
    """
    placed = tuple(_placed(finding, structure, fallback) for finding in diagnosis.findings)
    return replace(diagnosis, findings=placed)


def _placed(finding: Finding, structure: pd.DataFrame, fallback: Path | None) -> Finding:
    if finding.file:
        return finding
    file, line = own_source(structure, finding.layer)
    if not file and fallback is not None:
        file, line = str(fallback.resolve()), 1
    return replace(finding, file=file, line=line)
