"""Which flag a key of a configuration file stands for, and whether its value suits that flag.

A key is the long flag without its dashes; a variable of the environment is the same in capitals
behind SPPKIT_.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from sppkit.cli.flags import parse_size
from sppkit.cli.usage import UsageError
from sppkit.errors import ConfigurationError
from sppkit.user_code import did_you_mean

PREFIX = "SPPKIT_"

_SIZE = "input_size"

_OF_THE_COMMAND_LINE = frozenset({"help", "force", "show-settings", "update", "limits", "list"})


def key_of(parameter: Any) -> str | None:
    """Return the key of an option of a command; None where it has none."""
    long = [flag[2:] for flag in parameter.opts if flag.startswith("--")]
    if parameter.param_type_name != "option" or not long or long[0] in _OF_THE_COMMAND_LINE:
        return None
    return str(long[0])


def measures(command: Any) -> bool:
    """Say whether a command measures networks: those share the settings of a file."""
    return any(parameter.name == "seeds" for parameter in command.params)


def trains(command: Any) -> bool:
    """Say whether a command trains networks: files have a table for it, and nothing shared."""
    return any(parameter.name == "number_of_seeds" for parameter in command.params)


def variable_of(key: str) -> str:
    """Name the variable of the environment.

    >>> variable_of("input-size")
    'SPPKIT_INPUT_SIZE'
    """
    return PREFIX + key.upper().replace("-", "_")


def options_by_key(parameters: Iterable[Any]) -> dict[str, Any]:
    """Find the options of a command by their keys."""
    return {key: p for p in parameters if (key := key_of(p)) is not None}


def require_known(place: str, given: Iterable[str], known: Iterable[str], advice: str = "") -> None:
    """Refuse keys that nobody reads.

    Raises:
        ConfigurationError: with the nearest known one.
    """
    names = sorted(known)
    for key in given:
        if key not in names:
            hint = advice or did_you_mean(key, names)
            raise ConfigurationError(
                f"{place} has the key {key!r}, which is no setting there.{hint} "
                f"Known: {', '.join(names)}."
            )


def require_table(place: str, value: object) -> Mapping[str, Any]:
    """Refuse what is no table.

    Raises:
        ConfigurationError: it is none.
    """
    if not isinstance(value, Mapping):
        raise ConfigurationError(f"{place} is {value!r}; expected a table of settings.")
    return value


def checked_value(place: str, key: str, value: Any, parameter: Any, context: Any) -> Any:
    """Bring a value of TOML into the form that a flag takes, and let the flag judge it.

    Raises:
        ConfigurationError: the flag refuses it.
    """
    given = _as_flag(value, parameter)
    if given is None:
        kind = "true or false" if getattr(parameter, "is_flag", False) else "one value"
        kind = "a list" if getattr(parameter, "multiple", False) else kind
        raise ConfigurationError(f"{place}: {key} = {value!r}; expected {kind}.")
    try:
        parameter.process_value(context, given)
        if parameter.name == _SIZE:
            [parse_size(text) for text in given]
    except ValueError as error:
        raise ConfigurationError(f"{place}: {key} = {value!r}: {error}") from error
    except Exception as error:
        if not isinstance(error, UsageError):
            raise
        said = getattr(error, "message", "") or str(error)
        raise ConfigurationError(f"{place}: {key} = {value!r}: {said}") from error
    return given


def _as_flag(value: Any, parameter: Any) -> Any:
    """Return None for a value of another kind than the flag's."""
    if getattr(parameter, "is_flag", False):
        return value if isinstance(value, bool) else None
    if getattr(parameter, "multiple", False):
        if _takes_numbers(parameter):
            return _as_numbers(value)
        return _as_texts(value, sizes=parameter.name == _SIZE)
    return value if _is_scalar(value) else None


def _is_scalar(value: Any) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def _takes_numbers(parameter: Any) -> bool:
    return parameter.type_descriptor.annotation in (list[int], list[float])


def _as_numbers(value: Any) -> list[Any] | None:
    """Read a list of numbers, or one; the flag judges each of them."""
    values = value if isinstance(value, list) else [value]
    return values if all(map(_is_scalar, values)) else None


def _as_texts(value: Any, *, sizes: bool) -> list[str] | None:
    """Read a list of texts, or one text; a size may be a list of numbers.

    >>> _as_texts([3, 64, 64], sizes=True), _as_texts([[3, 8], [10]], sizes=True)
    (['3,64,64'], ['3,8', '10'])
    """
    if isinstance(value, str):
        return [value]
    if sizes and isinstance(value, int) and not isinstance(value, bool):
        return [str(value)]
    if not isinstance(value, list):
        return None
    if sizes and value and all(isinstance(n, int) for n in value):
        return [",".join(map(str, value))]
    parts = [",".join(map(str, v)) if sizes and isinstance(v, list) else v for v in value]
    return parts if all(isinstance(part, str) for part in parts) else None
