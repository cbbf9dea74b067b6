"""Tell the settings in force, and where each of them came from."""

import difflib
import json
import os
from collections.abc import Iterator, Mapping
from typing import Any

from sppkit.cli.configuration.configuration import Configuration
from sppkit.cli.configuration.keys import PREFIX, key_of, options_by_key, variable_of

FROM_COMMAND_LINE, FROM_ENVIRONMENT, FROM_FILE = "COMMANDLINE", "ENVIRONMENT", "DEFAULT_MAP"


def source_of(context: Any, name: str) -> str:
    """Say where the value of a parameter came from, in the words of typer's `ParameterSource`."""
    source = context.get_parameter_source(name)
    return source.name if source else "DEFAULT"


def is_typed(context: Any, name: str) -> bool:
    """Say whether a flag was given on the command line or in the environment."""
    return source_of(context, name) in (FROM_COMMAND_LINE, FROM_ENVIRONMENT)


def settings_in_force(context: Any, configuration: Configuration) -> Iterator[tuple[str, str, str]]:
    """Yield key, value and origin of each setting of a command."""
    for parameter in context.command.params:
        if key := key_of(parameter):
            value = _written(context.params.get(parameter.name))
            yield key, value, _origin(context, key, parameter.name, configuration)
    where = ", ".join(configuration.files)
    for model in configuration.models:
        yield f"model {model.name}", _written(_described(model)), where
    for pattern, entry in configuration.per_layer_ignores.items():
        yield f"per-layer-ignores {pattern}", _written(entry), where
    for code, values in configuration.thresholds.items():
        yield f"thresholds {code}", _written(values), where


def unread_variables(context: Any) -> Iterator[str]:
    """Yield a remark on each variable of the environment that looks like a setting and is none."""
    commands = context.parent.command.commands.values()
    keys = {key for command in commands for key in options_by_key(command.params)}
    known = {variable_of(key) for key in keys}
    for name in sorted(os.environ):
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.8)
        if name.startswith(PREFIX) and name not in known and near:
            yield f"the variable {name} is no setting of sppkit. Did you mean {near[0]}?"


def _origin(context: Any, key: str, name: str, configuration: Configuration) -> str:
    source = source_of(context, name)
    if source == FROM_COMMAND_LINE:
        return "command line"
    if source == FROM_ENVIRONMENT:
        return f"environment, {variable_of(key)}"
    return configuration.flags[name].origin if source == FROM_FILE else "default"


def _described(model: Any) -> Mapping[str, Any]:
    baseline = {"baseline": str(model.baseline)} if model.baseline else {}
    return {"target": model.target, **baseline, **model.flags}


def _written(value: Any) -> str:
    if value is None or (isinstance(value, list | tuple) and not value):
        return "(not set)"
    return json.dumps(value, default=str, ensure_ascii=True)
