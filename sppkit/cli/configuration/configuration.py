"""What the files of a folder say, and what of it applies to a command."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from sppkit.cli.configuration.files import ConfigurationFile, find_files
from sppkit.cli.configuration.keys import (
    checked_value,
    measures,
    options_by_key,
    require_known,
    require_table,
    trains,
)
from sppkit.cli.configuration.models import ConfiguredModel, anchored, read_models
from sppkit.cli.flags import Measuring, Talking
from sppkit.errors import ConfigurationError

_TABLES = ("model", "per-layer-ignores", "thresholds")
_NAMES_OF_FILES = ("input", "example-input", "loss", "baseline", "data")
_SHARED = frozenset(field.name for group in (Measuring, Talking) for field in fields(group))


@dataclass(frozen=True)
class Setting:
    """A value for a flag, and the file it stands in."""

    value: Any
    origin: str


@dataclass(frozen=True)
class Configuration:
    """The settings of a folder.

    Attributes:
        flags: values for the flags of one command, by the names of its parameters.
        models: the configured models.
        per_layer_ignores: pattern of layer names -> codes, or a table with `codes` and `reason`.
        thresholds: code of a rule -> name of a threshold -> value.
        files: where all that stands, by their names.
    """

    flags: Mapping[str, Setting]
    models: tuple[ConfiguredModel, ...]
    per_layer_ignores: Mapping[str, Any]
    thresholds: Mapping[str, Mapping[str, float]]
    files: tuple[str, ...]


def read_configuration(context: Any, start: Path | None = None) -> Configuration:
    """Read the settings that apply to the command of a context; all are checked.

    Raises:
        ConfigurationError: a file cannot be read, holds an unknown key or a value of no meaning.
    """
    files = find_files(start or Path.cwd())
    readers = [_Reader(file, context) for file in files]
    for reader in readers:
        reader.check()
    return Configuration(
        flags=_strongest(reader.flags(context.info_name) for reader in readers),
        models=next((reader.models() for reader in readers if "model" in reader.values), ()),
        per_layer_ignores=_strongest(reader.ignores() for reader in readers),
        thresholds=_strongest(reader.thresholds() for reader in readers),
        files=tuple(file.name for file in files),
    )


class _Reader:
    """Reads one file, in the light of the commands there are."""

    def __init__(self, file: ConfigurationFile, context: Any) -> None:
        self.values = file.values
        self._file = file
        self._context = context
        commands = context.parent.command.commands.items()
        options = {n: options_by_key(c.params) for n, c in commands if measures(c) or trains(c)}
        self._options = options
        self._training = {name for name, command in commands if trains(command)}
        measuring = [options[name] for name in options if name not in self._training]
        everything = {key: o for each in measuring for key, o in each.items()}
        self._shared = {key: o for key, o in everything.items() if o.name in _SHARED}

    def check(self) -> None:
        """Refuse unknown keys and bad values anywhere in the file, whatever the command."""
        for key in self.values:
            self._check_place_of(key)
        place = self._place()
        require_known(place, self.values, [*self._shared, *_TABLES, *self._options])
        for command in self._options:
            self.flags(command)
        self.models()
        self.ignores()
        self.thresholds()

    def flags(self, command: str) -> dict[str, Setting]:
        """Give the values for the flags of a command: its own table before the shared one."""
        own = require_table(self._place(command), self.values.get(command, {}))
        options = self._options[command]
        require_known(self._place(command), own, options)
        shared = {k: v for k, v in self.values.items() if k in self._shared_with(command)}
        return {
            **{options[key].name: self._setting(key, v, options[key]) for key, v in shared.items()},
            **{
                options[key].name: self._setting(key, v, options[key], command)
                for key, v in own.items()
            },
        }

    def _shared_with(self, command: str) -> set[str]:
        """Give the shared keys that a command reads.

        Training reads those of talking alone: `seeds` and `batch-size` of a probe are other things.
        """
        keys = self._shared.keys() & self._options[command].keys()
        if command not in self._training:
            return keys
        return {key for key in keys if self._shared[key].name in _TALKING}

    def models(self) -> tuple[ConfiguredModel, ...]:
        measuring = {k: o for k, o in self._shared.items() if o.name not in _TALKING}
        return read_models(self._file, measuring, self._context)

    def ignores(self) -> dict[str, Any]:
        place = self._place("per-layer-ignores")
        table = require_table(place, self.values.get("per-layer-ignores", {}))
        return {pattern: _ignore(place, pattern, entry) for pattern, entry in table.items()}

    def thresholds(self) -> dict[str, dict[str, float]]:
        place = self._place("thresholds")
        table = require_table(place, self.values.get("thresholds", {}))
        return {code: _numbers(f"{place}: {code}", entry) for code, entry in table.items()}

    def _setting(self, key: str, value: Any, option: Any, *section: str) -> Setting:
        place = self._place(*section)
        checked = checked_value(place, key, value, option, self._context)
        if key in _NAMES_OF_FILES:
            checked = _anchored(checked, self._file.path.parent)
        return Setting(checked, place)

    def _place(self, *section: str) -> str:
        return f"{self._file.name}, {self._file.section(*section)}"

    def _check_place_of(self, key: str) -> None:
        """Say of a flag of one command in the shared table where it belongs."""
        owners = [name for name, options in self._options.items() if key in options]
        if owners and key not in self._shared and key not in (*_TABLES, *self._options):
            owner = "check" if "check" in owners else owners[0]
            raise ConfigurationError(
                f"{self._place()} has the key {key!r}, which belongs into "
                f"{self._file.section(owner)}."
            )


def _anchored(text: str, folder: Path) -> str:
    """Write the name of a file, or folder:DIR, as it would be typed in the current folder."""
    scheme, colon, path = text.partition(":")
    if scheme in _SCHEMES and (folder / path).is_dir():
        return f"{scheme}:{anchored(path, folder)}"
    return text if scheme in _SCHEMES and colon else anchored(text, folder)


_SCHEMES = ("folder", "hf")
_TALKING = frozenset(field.name for field in fields(Talking))


def _strongest(of_files: Iterator[Mapping[str, Any]]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for values in of_files:
        merged = {**values, **merged}
    return merged


def _ignore(place: str, pattern: str, entry: object) -> Mapping[str, Any]:
    """Read a per-layer ignore: codes, or codes with a reason."""
    table = entry if isinstance(entry, Mapping) else {"codes": entry}
    require_known(f"{place}: {pattern!r}", table, ("codes", "reason"))
    codes, reason = table.get("codes"), table.get("reason", "")
    codes = [codes] if isinstance(codes, str) else codes
    if not isinstance(codes, list) or not all(isinstance(c, str) for c in codes) or not codes:
        raise ConfigurationError(
            f'{place}: {pattern!r} = {entry!r}; expected a list of codes such as ["SPP101"], or '
            '{ codes = ["SPP101"], reason = "..." }.'
        )
    if not isinstance(reason, str):
        raise ConfigurationError(f"{place}: {pattern!r} has reason {reason!r}; expected a text.")
    return {"codes": codes, "reason": reason}


def _numbers(place: str, entry: object) -> dict[str, float]:
    table = require_table(place, entry)
    for name, value in table.items():
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise ConfigurationError(f"{place}: {name} = {value!r}; expected a number.")
    return {name: float(value) for name, value in table.items()}
