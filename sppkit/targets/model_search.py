"""Choose the model in a file that was named alone, as in `sppkit plot model.py`."""

import ast
import inspect
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from sppkit.errors import TargetError
from sppkit.user_code import UserCode, describe_signature, missing_arguments, own_callables

MODEL_NAMES = ("build_model", "get_model", "model")


def find_model(code: UserCode, given: Iterable[str]) -> str:
    """Return the name of the model that a file offers.

    That is the first of `MODEL_NAMES` which can be called (an instance of `nn.Module` can), or
    the only network of the file: a subclass of `nn.Module` that is defined there and is no part
    of another one. Of several, it is the only one that the `given` arguments suffice for.

    Raises:
        TargetError: if there is none, or more than one; the message lists how to name each.
    """
    for name in MODEL_NAMES:
        if callable(getattr(code.module, name, None)):
            return name
    networks = _whole_networks(code)
    ready = [name for name, cls in networks.items() if not missing_arguments(cls, given)]
    for names in (list(networks), ready):
        if len(names) == 1:
            return names[0]
    raise TargetError(_several_networks(code, networks) if networks else _no_network(code))


def _whole_networks(code: UserCode) -> dict[str, type]:
    networks = {name: cls for name, cls in vars(code.module).items() if _is_network(cls, code)}
    networks = {name: cls for name, cls in networks.items() if cls.__name__ == name}  # no aliases
    parts = _parts(code, set(networks))
    return {name: cls for name, cls in networks.items() if name not in parts} or networks


def _is_network(thing: object, code: UserCode) -> bool:
    from torch import nn

    return (
        isinstance(thing, type)
        and issubclass(thing, nn.Module)
        and thing.__module__ == code.module.__name__
        and thing.forward is not nn.Module.forward  # a base without a forward is no model
        and not inspect.isabstract(thing)
    )


def _parts(code: UserCode, networks: set[str]) -> set[str]:
    """Return the networks that another one mentions in its body, directly or through a helper."""
    tree = ast.parse(Path(str(code.file)).read_bytes())
    mentions = {name: _mentioned(node) for node in tree.body for name in _bound(node)}
    return {part for name in networks for part in _reachable(name, mentions) & networks - {name}}


def _bound(node: ast.stmt) -> list[str]:
    """Return the names that a top-level statement defines."""
    if isinstance(node, ast.ClassDef | ast.FunctionDef):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    return [target.id for target in targets if isinstance(target, ast.Name)]


def _mentioned(node: ast.stmt) -> set[str]:
    roots = node.body if isinstance(node, ast.ClassDef) else [node]  # a base is not a part
    inner = (child for root in roots for child in ast.walk(root))
    return {child.id for child in inner if isinstance(child, ast.Name)}


def _reachable(start: str, mentions: Mapping[str, set[str]]) -> set[str]:
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        new = mentions.get(waiting.pop(), set()) - seen
        seen |= new
        waiting += new
    return seen


def _several_networks(code: UserCode, networks: Mapping[str, type]) -> str:
    choices: dict[str, Callable[..., object]] = {**networks, **_own_functions(code)}
    lines = [_choice(f"{code.place}:{name}", value) for name, value in choices.items()]
    return "\n  ".join([f"'{code.place}' defines several networks; name one of:", *lines])


def _choice(target: str, function: Callable[..., object]) -> str:
    missing = missing_arguments(function, ())
    hint = " ".join(f"-k {name}=VALUE" for name in missing)
    return f"{target} {hint}  (takes {describe_signature(function)})" if missing else target


def _own_functions(code: UserCode) -> dict[str, Callable[..., object]]:
    found = {name: getattr(code.module, name) for name in own_callables(code.module)}
    return {name: value for name, value in found.items() if not isinstance(value, type)}


def _no_network(code: UserCode) -> str:
    others = [f"{code.place}:{name}" for name in _own_functions(code)]
    return (
        f"'{code.place}' holds no model that sppkit can find: it has no build_model(), no "
        "get_model(), no model, and defines no subclass of torch.nn.Module with a forward. "
        f"Name what builds it: {', '.join(others) or f'{code.place}:NAME'}."
    )
