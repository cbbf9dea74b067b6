"""Groups of flags: a command takes a dataclass, and typer sees its fields.

@with_flags
def plot(targets: list[str], measuring: Measuring, talking: Talking) -> None: ...
"""

import functools
import inspect
from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, get_type_hints


def with_flags(command: Callable[..., None]) -> Callable[..., None]:
    """Spell out each parameter that is a dataclass of flags as the flags themselves."""
    hints = get_type_hints(command, include_extras=True)
    own = list(inspect.signature(command, eval_str=True).parameters.values())
    groups: dict[str, Any] = {p.name: p.annotation for p in own if is_dataclass(p.annotation)}
    spelled = [p for p in own if p.name not in groups]
    for group in groups.values():
        spelled += _parameters(group)

    @functools.wraps(command)
    def run(**given: Any) -> None:
        for name, group in groups.items():
            taken = {field.name: given.pop(field.name) for field in fields(group)}
            given[name] = group(**taken)
        command(**given)

    named = {p.name: p.annotation for p in spelled}
    run.__signature__ = inspect.Signature(spelled)  # type: ignore[attr-defined]  # typer reads it
    run.__annotations__ = named | {"return": hints.get("return")}
    return run


def _parameters(group: Any) -> list[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    return [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if field.default is MISSING else field.default,
            annotation=hints[field.name],
        )
        for field in fields(group)
    ]
