"""From what a person types, such as `model.py` or `ref:nf_resnet26`, to a function that builds it.

`resolve` decides which factory is meant and what it needs; nothing is built until `Target.build`
is called, once per seed. What a user wrote is loaded and run by `sppkit.user_code`.
"""

import ast
import functools
import re
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from sppkit.errors import TargetError
from sppkit.inputs import NamedSizes
from sppkit.targets.hub_directory import find_entrypoint
from sppkit.targets.libraries import configured_size, find_in_library
from sppkit.targets.model_search import MODEL_NAMES, find_model
from sppkit.user_code import (
    UserCode,
    check_arguments,
    check_is_file,
    describe_exception,
    did_you_mean,
    load,
    split,
)

if TYPE_CHECKING:
    from torch import nn

Sizes = tuple[tuple[int, ...], ...]

FORMS = (
    "model.py, model.py:Name, package.module:name, ref:NAME, timm:NAME, torchvision:NAME, "
    "hf:TYPE or hf:DIRECTORY, or hub:DIRECTORY:ENTRYPOINT"
)


@dataclass(frozen=True)
class Target:
    """A model that can be built.

    Attributes:
        name: the name of its run.
        build: returns the network; parameters are drawn from torch's global generator.
        fresh: False if `build` returns one ready instance, whose weights all seeds share.
        input_size: a size per input without the batch, if one is declared; by name where they are
            keyword arguments. What only an instance declares is not in here: see
            `declared_input_size`.
        origin: what it is and where it is from, for messages.
        lacking: inputs that it cannot do without and whose size nothing states, by name.
    """

    name: str
    build: "Callable[[], nn.Module]"
    fresh: bool
    input_size: Sizes | NamedSizes | None
    origin: str
    lacking: tuple[str, ...] = ()


def resolve(text: str, arguments: Mapping[str, object] | None = None) -> Target:
    """Find the model that `text` names.

    A file alone offers `build_model()`, `get_model()` or `model` (an instance, a class or a
    function), or else the only `nn.Module` subclass that it defines, that is no part of another
    one, and that can be constructed with the given arguments.

    Args:
        text: one of the `FORMS`. Libraries build with random weights; nothing is downloaded.
        arguments: keyword arguments of the class or function.

    Raises:
        TargetError: if there is no such model, more than one, or if the arguments do not fit.
    """
    given = dict(arguments or {})
    scheme, _, name = text.partition(":")
    if scheme in _SCHEMES:
        return _SCHEMES[scheme](name, given)
    parts = split(text)
    if parts is None or (not parts[0].endswith(".py") and Path(parts[0]).is_file()):
        raise TargetError(_not_a_target(text))
    return _resolve_code(*parts, given)


def parse_arguments(pairs: Iterable[str]) -> dict[str, object]:
    """Read `key=value` texts; a value is a Python literal, `true`, `false`, or else a text.

    >>> parse_arguments(["depth=3", "activation=relu", "sizes=3,64", "bias=false"])
    {'depth': 3, 'activation': 'relu', 'sizes': (3, 64), 'bias': False}

    Raises:
        TargetError: if a pair has no `=`, its key is no name, or a key is given twice.
    """
    arguments: dict[str, object] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key.isidentifier():
            raise TargetError(f"'-k {pair}' is no argument; expected key=value, such as depth=3.")
        if key in arguments:
            raise TargetError(f"'-k {key}=' is given twice; keep one of the two values.")
        arguments[key] = _parse_value(value)
    return arguments


def declared_input_size(holder: object) -> Sizes | None:
    """Return the input size that a network, class, function or module declares.

    It is looked for in `INPUT_SIZE`, `input_size`, and the `"input_size"` of `pretrained_cfg` or
    `default_cfg` (timm's configurations); in a module only in `INPUT_SIZE`.

    Raises:
        TargetError: if `INPUT_SIZE` is there and is no size.
    """
    written = getattr(holder, "INPUT_SIZE", None)
    if written is not None:
        return _as_sizes((written,) if isinstance(written, int) else written) or _bad_size(written)
    if isinstance(holder, ModuleType):
        return None
    configurations = (getattr(holder, name, None) for name in ("pretrained_cfg", "default_cfg"))
    found = (getattr(holder, "input_size", None), *map(configured_size, configurations))
    return next((sizes for sizes in map(_as_sizes, found) if sizes), None)


# ----------------------------------------------------------------------------------- user's code


def _resolve_code(place: str, name: str, arguments: dict[str, object]) -> Target:
    from torch import nn

    code = _load(place)
    name = name or find_model(code, arguments)
    way = code.look_up(name)
    found, origin = way[-1], f"{name} in {place}"
    sizes = next((size for size in map(declared_input_size, reversed(way)) if size), None)
    run = _stem(place) if name in MODEL_NAMES else name
    if isinstance(found, nn.Module):
        if arguments:
            raise TargetError(
                f"{origin} is a network that is built already; it takes no argument "
                f"'{next(iter(arguments))}'. Name its class or a function instead."
            )
        return Target(run, lambda: found, False, sizes, origin)
    if not callable(found):
        raise TargetError(f"{origin} is {_a(found)}; expected a class, a function or a network.")
    check_arguments(found, arguments, origin)
    return Target(
        run, functools.partial(_call, code, found, arguments, origin), True, sizes, origin
    )


def _stem(place: str) -> str:
    if place.endswith(".py"):
        return re.split(r"[\\/]", place)[-1].removesuffix(".py")
    return place.rpartition(".")[-1]


def _load(place: str) -> UserCode:
    try:
        return load(place)
    except TargetError as error:
        if place.endswith(".py") or not isinstance(error.__cause__, ModuleNotFoundError):
            raise
        hint = did_you_mean(place, _SCHEMES)
        raise TargetError(f"{error}{hint} Expected {FORMS}.") from error.__cause__


def _call(
    code: UserCode, factory: Callable[..., object], arguments: dict[str, object], origin: str
) -> "nn.Module":
    return _checked(code.call(factory, arguments, origin), origin)


def _checked(built: object, origin: str) -> "nn.Module":
    from torch import nn

    if isinstance(built, nn.Module):
        return built
    hint = "is its `return` missing?" if built is None else "return the network alone."
    raise TargetError(f"{origin} returned {_a(built)}; expected a torch.nn.Module: {hint}")


def _a(thing: object) -> str:
    """Say what a thing is: "a str ('resnet')", "the class Net (not an instance of it)"."""
    if thing is None:
        return "None"
    if isinstance(thing, type):
        return f"the class {thing.__name__} (not an instance of it)"
    kind = type(thing).__name__
    if isinstance(thing, tuple | list):
        return f"a {kind} of ({', '.join(type(part).__name__ for part in thing[:5])})"
    quoted = f" ({thing!r:.60})" if isinstance(thing, str | int | float | dict) else ""
    return f"a {kind}{quoted}"


# ------------------------------------------------------------------------------ prepared networks


def _resolve_reference(name: str, arguments: dict[str, object]) -> Target:
    from sppkit import models

    reference = models.find_reference(name)
    origin = f"ref:{name}"
    check_arguments(reference.factory(), arguments, origin)
    build = functools.partial(models.build, name, **arguments)
    return Target(name, build, True, _as_sizes(reference.input_size), origin)


def _resolve_library(scheme: str, name: str, arguments: dict[str, object]) -> Target:
    found = find_in_library(scheme, name, arguments)
    origin = f"{scheme}:{name}"
    factory = functools.partial(found.factory, **arguments)
    build = functools.partial(_built, factory, arguments, origin)
    return Target(name, build, True, _as_sizes(found.input_size), origin)


def _built(
    factory: Callable[[], object], arguments: Mapping[str, object], origin: str
) -> "nn.Module":
    """Build a library's network; its failure becomes a `TargetError` with what was asked for."""
    try:
        built = factory()
    except TargetError:
        raise
    except Exception as error:
        given = ", ".join(f"{key}={value!r}" for key, value in arguments.items()) or "none"
        raise TargetError(
            f"{origin} cannot be built (arguments: {given}): "
            f"{describe_exception(error).removesuffix('.')}."
        ) from error
    return _checked(built, origin)


def _resolve_hugging_face(name: str, arguments: dict[str, object]) -> Target:
    from sppkit.targets import hugging_face

    stated = hugging_face.find_stated(name)
    configuration = hugging_face.make_configuration(stated, arguments)
    kind = hugging_face.network_class(configuration, stated.origin)
    inputs = hugging_face.infer_inputs(kind, configuration)
    check = functools.cache(
        functools.partial(hugging_face.check_memory, kind, configuration, stated.origin)
    )

    def build() -> object:
        check()  # before the first seed
        return hugging_face.build_network(kind, configuration)

    build_one = functools.partial(_built, build, arguments, stated.origin)
    return Target(stated.name, build_one, True, inputs.sizes, stated.origin, inputs.lacking)


def _resolve_hub_directory(text: str, arguments: dict[str, object]) -> Target:
    found = find_entrypoint(text, arguments)
    sizes = next((size for size in map(declared_input_size, reversed(found.way)) if size), None)
    build = functools.partial(_checked_result, found.build, found.origin)
    return Target(found.name, build, True, sizes, found.origin)


def _checked_result(build: Callable[[], object], origin: str) -> "nn.Module":
    return _checked(build(), origin)


_SCHEMES: dict[str, Callable[[str, dict[str, object]], Target]] = {
    "ref": _resolve_reference,
    "timm": functools.partial(_resolve_library, "timm"),
    "torchvision": functools.partial(_resolve_library, "torchvision"),
    "hf": _resolve_hugging_face,
    "hub": _resolve_hub_directory,
}


# ------------------------------------------------------------------------------- texts and sizes


def _not_a_target(text: str) -> str:
    place = re.sub(r"(?<=..):[^:\\/]*$", "", text)  # a drive's colon stays
    path = Path(place).expanduser()
    if path.is_dir() and place:
        check_is_file(path, place)
    if path.is_file():
        return f"'{place}' is not a Python file; expected {FORMS}."
    if re.match(r"[A-Za-z_]\w*=", text):
        return f"'{text}' is no target. Each argument has a flag of its own: -k {text}."
    folder = path.absolute().parent
    near = [f.name for f in folder.glob("*.py")] if folder.is_dir() else []
    return f"'{text}' is no target.{did_you_mean(path.name, near)} Expected {FORMS}."


def _parse_value(value: str) -> object:
    if value.lower() in ("true", "false"):
        return value.lower() == "true"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a text need not be good Python
        try:
            return ast.literal_eval(value)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return value


def _as_sizes(value: object) -> Sizes | None:
    """Return one size per input for (3, 64, 64) or ((3, 64, 64), (10,)); None for other things."""
    if not isinstance(value, tuple | list) or not value:
        return None
    sizes = tuple(value) if isinstance(value[0], tuple | list) else (tuple(value),)
    if not all(isinstance(size, tuple | list) and all(map(_is_length, size)) for size in sizes):
        return None
    return tuple(tuple(size) for size in sizes)


def _is_length(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _bad_size(written: object) -> Sizes:
    raise TargetError(
        f"INPUT_SIZE = {written!r} is no input size; expected positive integers without the "
        "batch, such as (3, 64, 64), or a tuple of such sizes for several inputs."
    )
