"""Find and read the files that hold settings."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sppkit.errors import ConfigurationError


@dataclass(frozen=True)
class ConfigurationFile:
    """The settings of one file.

    Attributes:
        path: of the file.
        table: the name of the table that holds them, "" where that is the whole file.
        values: what it says.
    """

    path: Path
    table: str
    values: dict[str, Any]

    @property
    def name(self) -> str:
        """The path as one would type it."""
        here = Path.cwd()
        return str(self.path.relative_to(here) if self.path.is_relative_to(here) else self.path)

    def section(self, *keys: str) -> str:
        """Name a table of the file as it is written there: "[tool.sppkit.check]"."""
        whole = ".".join(part for part in (self.table, *keys) if part)
        return f"[{whole}]" if whole else "the top level"


def find_files(start: Path) -> tuple[ConfigurationFile, ...]:
    """Read the nearest folder, from `start` upwards, that holds settings; the strongest file first.

    Raises:
        ConfigurationError: a file cannot be read.
    """
    for folder in (start, *start.parents):
        candidates = (_own_file(folder / "sppkit.toml"), _project_file(folder / "pyproject.toml"))
        if found := tuple(file for file in candidates if file is not None):
            return found
    return ()


def _own_file(path: Path) -> ConfigurationFile | None:
    return ConfigurationFile(path, "", _read(path)) if path.is_file() else None


def _project_file(path: Path) -> ConfigurationFile | None:
    if not path.is_file():
        return None
    values = _read(path).get("tool", {}).get("sppkit")
    if values is None:
        return None
    if not isinstance(values, dict):
        raise ConfigurationError(f"{path}: tool.sppkit is {values!r}; expected a table.")
    return ConfigurationFile(path, "tool.sppkit", values)


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_bytes().decode())
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path} is not UTF-8, as TOML must be: {error}.") from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigurationError(f"{path} is no TOML: {error or 'nested too deeply'}.") from error
