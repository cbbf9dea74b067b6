"""The models that a configuration names: what is checked where no target is typed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sppkit.cli.configuration.files import ConfigurationFile
from sppkit.cli.configuration.keys import checked_value, require_known, require_table
from sppkit.errors import ConfigurationError
from sppkit.user_code import split

_OWN_KEYS = ("name", "target", "baseline", "arguments")


@dataclass(frozen=True)
class ConfiguredModel:
    """A model with what is special about measuring it.

    Attributes:
        name: by which it may be named on a command line.
        target: as it would be typed in the current folder.
        baseline: path of its golden recording, or None.
        flags: values of flags of measuring, by the names of their parameters.
    """

    name: str
    target: str
    baseline: Path | None = None
    flags: Mapping[str, Any] = field(default_factory=dict)


def read_models(
    file: ConfigurationFile, options: Mapping[str, Any], context: Any
) -> tuple[ConfiguredModel, ...]:
    """Read the models of a file.

    Args:
        file: that names them.
        options: the flags of measuring, by key.
        context: of the command, by which flags judge values.

    Raises:
        ConfigurationError: one has no target, an unknown key, a bad value, or another one's name.
    """
    place = f"{file.name}, [{file.section('model')}]"
    entries = file.values.get("model", [])
    if not isinstance(entries, list):
        raise ConfigurationError(f"{place} is no list of tables: write {place.split()[-1]} twice.")
    models = tuple(_read_model(place, entry, file, options, context) for entry in entries)
    names = [model.name for model in models]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ConfigurationError(f"{place} names two models {twice[0]!r}. Give each its own name.")
    return models


def _read_model(
    place: str, entry: object, file: ConfigurationFile, options: Mapping[str, Any], context: Any
) -> ConfiguredModel:
    values = require_table(place, entry)
    require_known(place, values, [*_OWN_KEYS, *options])
    target = _text(place, values, "target")
    if target is None:
        raise ConfigurationError(f"{place} has a model without a target: {dict(values)!r}.")
    folder, baseline = file.path.parent, _text(place, values, "baseline")
    flags = {
        option.name: checked_value(place, key, values[key], option, context)
        for key, option in options.items()
        if key in values
    }
    if "arguments" in values:
        flags["arguments"] = _arguments(place, values["arguments"])
    return ConfiguredModel(
        _text(place, values, "name") or target,
        anchored(target, folder),
        None if baseline is None else _below(folder, baseline),
        flags,
    )


_SCHEMES_OF_PATHS = ("hf", "hub")  # what follows may be a folder


def anchored(target: str, folder: Path) -> str:
    """Write a target that a file in `folder` names as it would be typed in the current folder."""
    if folder == Path.cwd():
        return target
    scheme, _, rest = target.partition(":")
    if scheme in _SCHEMES_OF_PATHS:
        return f"{scheme}:{_anchored_path(rest, folder)}"
    parts = split(target)
    if parts is None:
        return str(_below(folder, target)) if (folder / target).exists() else target
    place, name = parts
    file = place if place.endswith(".py") else f"{place.replace('.', '/')}.py"
    if not (folder / file).exists() and not place.endswith(".py"):
        return target  # an installed package
    return ":".join(part for part in (str(_below(folder, file)), name) if part)


def _anchored_path(rest: str, folder: Path) -> str:
    """Anchor a path that a scheme names, alone or with a name behind a colon, if it is there."""
    head, colon, name = rest.rpartition(":")
    for place, tail in ((head, f"{colon}{name}"), (rest, "")):
        if place and (folder / Path(place).expanduser()).exists():
            return f"{_below(folder, place)}{tail}"
    return rest


def _below(folder: Path, path: str) -> Path:
    whole = folder / Path(path).expanduser()
    here = Path.cwd()
    return whole.relative_to(here) if whole.is_relative_to(here) else whole


def _text(place: str, values: Mapping[str, Any], key: str) -> str | None:
    value = values.get(key)
    if value is not None and (not isinstance(value, str) or not value):
        raise ConfigurationError(f"{place}: {key} = {value!r}; expected a text.")
    return value


def _arguments(place: str, value: object) -> list[str]:
    """Read the arguments of a model's class; each becomes the text of a -k flag."""
    table = require_table(f"{place}: arguments", value)
    wrong = [key for key, v in table.items() if not isinstance(v, str | int | float | Sequence)]
    if wrong:
        raise ConfigurationError(
            f"{place}: arguments.{wrong[0]} = {table[wrong[0]]!r}; expected a text, a number, "
            "true, false or a list."
        )
    return [f"{key}={v if isinstance(v, str) else repr(v)}" for key, v in table.items()]
