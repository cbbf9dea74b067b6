"""Where a layer is written in the user's own code: layers of torch are parts of classes there."""

import sysconfig
from pathlib import Path

import pandas as pd

_STANDARD_LIBRARY = Path(sysconfig.get_path("stdlib"))
_INSTALLED = {"site-packages", "dist-packages"}


def own_source(structure: pd.DataFrame, layer: str) -> tuple[str, int | None]:
    """Give file and line of the innermost class around a layer that no package provides.

    Args:
        structure: of one run.
        layer: its name; one that is not there has no place.

    Returns:
        "" and None where there is no such class, or its source is not known.
    """
    modules = structure[structure["operation"] == ""].drop_duplicates("layer").set_index("layer")
    name: str | None = layer
    while name is not None and name in modules.index:
        row = modules.loc[name]
        if isinstance(row["file"], str) and _is_own(Path(row["file"])):
            return row["file"], None if pd.isna(row["line"]) else int(row["line"])
        name = row["parent"] if isinstance(row["parent"], str) else None
    return "", None


def _is_own(file: Path) -> bool:
    return not _INSTALLED & set(file.parts) and not file.is_relative_to(_STANDARD_LIBRARY)
