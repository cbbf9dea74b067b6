"""A directory as `torch.hub` loads it from this disk: a hubconf.py, whose functions build networks.

The file is run as any other file that a person names (`sppkit.user_code`), and not by torch.hub
itself, so that two directories may each have a `models.py`.
"""

import functools
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sppkit.errors import TargetError
from sppkit.targets.libraries import WEIGHT_ARGUMENTS, refuse_weights
from sppkit.user_code import UserCode, check_arguments, did_you_mean, load

_FILE = "hubconf.py"


@dataclass(frozen=True)
class Entrypoint:
    """One of the functions of a hubconf.py.

    Attributes:
        name: of the function.
        build: calls it with the arguments, without weights.
        way: the module of the file, and the function; where an input size may be declared.
        origin: what it is and where it is from, for messages.
    """

    name: str
    build: Callable[[], object]
    way: tuple[object, ...]
    origin: str


def find_entrypoint(text: str, arguments: Mapping[str, object]) -> Entrypoint:
    """Find what `hub:DIRECTORY:ENTRYPOINT` names; alone, a directory offers its only entrypoint.

    Raises:
        TargetError: there is no such directory or entrypoint, a package that it depends on is not
            installed, or the arguments do not fit or ask for trained weights.
    """
    folder, name = _split(text)
    code = load(str(folder / _FILE))
    _check_dependencies(code, folder)
    entrypoints = _entrypoints(code, folder)
    name = name or _only(entrypoints, folder)
    if name not in entrypoints:
        raise TargetError(
            f"'{folder / _FILE}' has no entrypoint '{name}'.{did_you_mean(name, entrypoints)} "
            f"Its entrypoints: {', '.join(entrypoints) or 'none'}."
        )
    function, origin = entrypoints[name], f"{name} in {folder / _FILE}"
    refuse_weights(arguments, origin)
    check_arguments(function, arguments, origin)
    untrained = {**_without_weights(function), **arguments}
    build = functools.partial(_build, code, function, untrained, origin)
    return Entrypoint(name, build, (code.module, function), origin)


def _split(text: str) -> tuple[Path, str]:
    """Split DIRECTORY:ENTRYPOINT; the colon of a drive separates nothing."""
    head, _, name = text.rpartition(":")
    if head and Path(head).expanduser().is_dir():
        folder, name = Path(head).expanduser(), name
    else:
        folder, name = Path(text).expanduser(), ""
    if not text or not folder.is_dir():
        raise TargetError(_no_folder(text, head or text))
    if not (folder / _FILE).is_file():
        there = ", ".join(sorted(each.name for each in folder.glob("*.py"))) or "none"
        raise TargetError(
            f"hub:{text}: '{folder}' has no {_FILE}, which says what torch.hub can build. Python "
            f"files there: {there}; name one as {folder}/FILE.py:Name."
        )
    return folder, name


def _no_folder(text: str, place: str) -> str:
    said = f"hub:{text}: '{place}' is no directory here. Expected hub:DIRECTORY:ENTRYPOINT"
    if place.count("/") != 1 or place.startswith((".", "~", "/")):
        return f"{said}, of a directory with a {_FILE}."
    repository = place.partition(":")[0]
    return (
        f"{said}; sppkit downloads nothing. Of a repository on GitHub: "
        f"git clone https://github.com/{repository}, then name that directory."
    )


def _check_dependencies(code: UserCode, folder: Path) -> None:
    """Refuse a file that states packages which are not installed, as torch.hub does."""
    needed = [str(each) for each in getattr(code.module, "dependencies", None) or ()]
    with code.imports.active():
        missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        raise TargetError(
            f"'{folder / _FILE}' depends on {', '.join(missing)}, which "
            f"{'is' if len(missing) == 1 else 'are'} not installed. "
            f"Try: pip install {' '.join(missing)}"
        )


def _entrypoints(code: UserCode, folder: Path) -> dict[str, Callable[..., object]]:
    """Return the public functions of the file, those it imports from beside it among them."""
    public = {name: value for name, value in vars(code.module).items() if name[0] != "_"}
    return {
        name: value
        for name, value in public.items()
        if callable(value) and _is_of(value, code, folder.resolve())
    }


def _is_of(value: object, code: UserCode, folder: Path) -> bool:
    home = getattr(value, "__module__", None)
    if home is None or home == code.module.__name__:
        return True  # a partial of something has no home of its own
    file = getattr(sys.modules.get(home), "__file__", None)
    return file is not None and Path(file).resolve().is_relative_to(folder)


def _only(entrypoints: Mapping[str, object], folder: Path) -> str:
    if len(entrypoints) == 1:
        return next(iter(entrypoints))
    listed = ", ".join(f"hub:{folder}:{name}" for name in entrypoints) or "none"
    raise TargetError(
        f"'{folder / _FILE}' has {len(entrypoints)} entrypoints; name one of: {listed}."
    )


def _without_weights(function: Callable[..., object]) -> dict[str, Any]:
    """Switch off what asks for trained weights by default."""
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):  # of a built-in callable
        return {}
    asked = {name: parameters[name].default for name in WEIGHT_ARGUMENTS if name in parameters}
    return {
        name: False if isinstance(default, bool) else None
        for name, default in asked.items()
        if default and default is not inspect.Parameter.empty
    }


def _build(
    code: UserCode, function: Callable[..., object], arguments: Mapping[str, object], origin: str
) -> object:
    with _no_download(origin):
        return code.call(function, arguments, origin)


@contextmanager
def _no_download(origin: str) -> Iterator[None]:
    """Refuse what torch.hub would download, and put its functions back as they were."""
    from torch import hub

    def refuse(url: str, *_: object, **__: object) -> None:
        raise TargetError(
            f"{origin} would download {url}, and sppkit measures random weights and downloads "
            "nothing. Give the argument that leaves weights out, such as -k pretrained=false."
        )

    names = ("download_url_to_file", "load_state_dict_from_url", "urlopen")
    before = {name: getattr(hub, name) for name in names}
    for name in names:
        setattr(hub, name, refuse)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(hub, name, value)
