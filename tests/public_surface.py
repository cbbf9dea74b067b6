"""Everything that others may build upon, as text: names with their signatures, commands with flags.

    python -m tests.public_surface > tests/public_surface.txt

writes it anew. Callbacks of Lightning and transformers, whose classes need these libraries, are not
in it. A difference in a review is a change of the interface: it belongs in the changelog.
"""

import importlib
import inspect
import re
from collections.abc import Iterator
from enum import Enum
from types import ModuleType

ROOMS = (
    "sppkit",
    "sppkit.testing",
    "sppkit.init",
    "sppkit.rules",
    "sppkit.exchange",
    "sppkit.theory",
    "sppkit.models",
    "sppkit.errors",
    "sppkit.integrations.accelerate",
    "sppkit.integrations.tensorboard",
    "sppkit.integrations.wandb",
    "sppkit.integrations.mlflow",
)


def public_names(module: ModuleType) -> list[str]:
    """Give what a module offers: its `__all__`, or what it defines without an underscore."""
    if hasattr(module, "__all__"):
        return list(module.__all__)
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", "") == module.__name__
    ]


def lines_of(name: str, value: object) -> Iterator[str]:
    """Write one name: a function with its signature, a class with its public members."""
    if inspect.isclass(value):
        made_by_python = issubclass(value, Exception | Enum)  # which each version signs its own way
        yield f"class {name}{'' if made_by_python else _signature(value)}"
        for member, found in sorted(inspect.getmembers(value)):
            if not member.startswith("_") and _is_own(value, member):
                yield f"    {member}{_signature(found) if callable(found) else ''}"
    elif callable(value):
        yield f"{name}{_signature(value)}"
    else:
        yield f"{name}: {type(value).__name__}"


def _is_own(kind: type, member: str) -> bool:
    """Say whether a class of ours defines a member; those of torch's modules are torch's."""
    homes = (base.__module__ for base in kind.__mro__ if member in vars(base))
    return next(homes, "").partition(".")[0] == "sppkit"


def _signature(value: object) -> str:
    """Write the names and defaults of arguments; annotations are written differently by Pythons."""
    try:
        signature = inspect.signature(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return "(...)"
    bare = [
        parameter.replace(annotation=inspect.Parameter.empty)
        for parameter in signature.parameters.values()
    ]
    text = str(inspect.Signature(bare))
    return re.sub(r" at 0x[0-9a-f]+", "", text)


def commands() -> Iterator[str]:
    """Write each command with its arguments and flags, and the defaults of those that have one."""
    from typer.main import get_command

    from sppkit.cli import app

    root = get_command(app)
    context = root.make_context("sppkit", [], resilient_parsing=True)
    for name in sorted(root.list_commands(context)):  # type: ignore[attr-defined]
        command = root.get_command(context, name)  # type: ignore[attr-defined]
        yield f"sppkit {name}"
        for parameter in command.params:
            spelled = "/".join((*parameter.opts, *parameter.secondary_opts))
            yield f"    {spelled}"


def surface() -> Iterator[str]:
    """Write all of it."""
    for room in ROOMS:
        yield f"[{room}]"
        module = importlib.import_module(room)
        for name in public_names(module):
            yield from lines_of(name, getattr(module, name))
        yield ""
    yield "[commands]"
    yield from commands()


if __name__ == "__main__":
    print("\n".join(surface()))
