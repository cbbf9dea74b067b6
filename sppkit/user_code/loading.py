"""Load and run the code that a person named: `model.py:Net` or `package.module:factory`.

No other module executes a user's code. `load` reads a file afresh each time, under a private
module name and with the import path that `python model.py` would have given it; what it defines
runs later through `UserCode.call`, under the same path, because a function may import its
neighbours only then.
"""

import importlib
import importlib.util
import itertools
import re
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import BuiltinFunctionType, FunctionType, ModuleType

from sppkit.errors import TargetError
from sppkit.user_code.arguments import check_arguments
from sppkit.user_code.explain import describe_exception, did_you_mean
from sppkit.user_code.import_path import ImportPath

_FILE = re.compile(r"(?P<place>.+\.py)(?::(?P<name>[^:\\/]*))?")
_MODULE = re.compile(r"(?P<place>[^\W\d]\w*(?:\.[^\W\d]\w*)*):(?P<name>[^:\\/]+)")
_RELATIVE_IMPORT = re.compile(rb"^\s*from\s*\.", re.MULTILINE)
_counter = itertools.count(1)


def split(text: str) -> tuple[str, str] | None:
    r"""Split `model.py:Name` or `package.module:name` into place and name; None if it is neither.

    The name is empty where a file stands alone. A drive's colon separates nothing.

    >>> split("nets/model.py:Net"), split(r"C:\nets\model.py"), split("model.txt")
    (('nets/model.py', 'Net'), ('C:\\nets\\model.py', ''), None)
    """
    match = _FILE.fullmatch(text) or _MODULE.fullmatch(text)
    return (match["place"], match["name"] or "") if match else None


def check_is_file(path: Path, typed: str) -> None:
    """Raise a `TargetError` that names the nearest file unless `path` is a file."""
    if path.is_file():
        return
    if path.is_dir():
        inside = ", ".join(sorted(p.name for p in path.glob("*.py"))) or "none"
        raise TargetError(
            f"'{typed}' is a folder; name a file in it. Python files there: {inside}."
        )
    folder = path.absolute().parent
    if not folder.is_dir():
        raise TargetError(f"'{typed}' does not exist, nor does its folder {folder}.")
    names = [p.name for p in folder.iterdir() if p.suffix == path.suffix]
    raise TargetError(
        f"'{typed}' does not exist in {folder}.{did_you_mean(path.name, names)} "
        f"Files there that end in '{path.suffix}': {', '.join(sorted(names)[:20]) or 'none'}."
    )


@dataclass(frozen=True)
class UserCode:
    """A user's module, as it was named, with the import path that its functions need."""

    place: str
    module: ModuleType
    imports: ImportPath

    @property
    def file(self) -> Path | None:
        """The file of the module, if it has one."""
        return Path(self.module.__file__) if self.module.__file__ else None

    def look_up(self, dotted: str) -> list[object]:
        """Return the objects on the way to `dotted`: the module first, the one named last."""
        found: list[object] = [self.module]
        for name in dotted.split("."):
            if not hasattr(found[-1], name):
                raise TargetError(self._missing_name(dotted, name, found[-1]))
            found.append(getattr(found[-1], name))
        return found

    def _missing_name(self, dotted: str, name: str, holder: object) -> str:
        where = self.place if holder is self.module else f"{holder!r:.60}"
        return (
            f"'{self.place}:{dotted}' leads nowhere: {where} has no '{name}'."
            f"{did_you_mean(name, (n for n in dir(holder) if not n.startswith('_')))} "
            f"Defined there: {', '.join(own_callables(holder)) or 'nothing to call'}."
        )

    def call(
        self, function: Callable[..., object], arguments: Mapping[str, object], subject: str
    ) -> object:
        """Call a function of this code; its failure becomes a `TargetError` with its line."""
        check_arguments(function, arguments, subject)
        try:
            with self.imports.active():
                return function(**arguments)
        except (Exception, SystemExit) as error:
            raise TargetError(
                f"{subject} raised {describe_exception(error, self.file)}. "
                "Correct it, then try again."
            ) from error


def load(place: str) -> UserCode:
    """Run a file (`model.py`) or import a module (`package.module`).

    Raises:
        TargetError: if there is no such file or module, or if it fails while it runs.
    """
    importlib.invalidate_caches()  # a file that was written a moment ago is found
    return _load_file(place) if place.endswith(".py") else _load_module(place)


def own_callables(holder: object) -> list[str]:
    """List the public names of `holder` that can be called and were not merely imported."""
    names = vars(holder) if hasattr(holder, "__dict__") else {}
    return [n for n, value in names.items() if not n.startswith("_") and _is_own(value, holder)]


def _is_own(value: object, holder: object) -> bool:
    if not isinstance(value, type | FunctionType | BuiltinFunctionType):
        return callable(value)
    home = getattr(holder, "__module__", None) or getattr(holder, "__name__", "")
    return _package_of(value.__module__) == _package_of(home)


def _package_of(module_name: object) -> str:
    return str(module_name).partition(".")[0]


def _load_file(place: str) -> UserCode:
    typed = Path(place).expanduser()
    check_is_file(typed, place)
    path = typed.resolve()
    name, imports = _private_name(path), _import_path(path)
    spec = importlib.util.spec_from_loader(name, SourceFileLoader(name, str(path)))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses, pickle and inspect look a class's module up there
    try:
        with imports.active():
            spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        sys.modules.pop(name, None)
        raise TargetError(_load_failure(place, error, path)) from error
    return UserCode(place, module, imports)


def _load_module(place: str) -> UserCode:
    imports = ImportPath([Path.cwd()])
    try:
        with imports.active():
            module = importlib.import_module(place)
    except (Exception, SystemExit) as error:
        raise TargetError(_load_failure(place, error, Path.cwd())) from error
    return UserCode(place, module, imports)


def _load_failure(place: str, error: BaseException, inside: Path) -> str:
    described = describe_exception(error, inside)
    if isinstance(error, ModuleNotFoundError) and f"{place}.".startswith(f"{error.name}."):
        return (
            f"'{place}' cannot be imported: there is no module '{error.name}' in {Path.cwd()} "
            "or among the installed packages."
        )
    if isinstance(error, SystemExit):
        return (
            f"'{place}' ended the program while it was imported: {described}. "
            "Move what only a script does below `if __name__ == '__main__':`."
        )
    return f"'{place}' cannot be imported: {described}. Correct it, then try again."


def _private_name(path: Path) -> str:
    """Name the module so that it hides no other one, inside its package if it needs that."""
    name = f"_sppkit_{next(_counter)}_{re.sub(r'[^0-9a-zA-Z_]', '_', path.stem)}"
    with suppress(OSError):  # the loader says better what is wrong with the file
        if _RELATIVE_IMPORT.search(path.read_bytes()):
            return ".".join([*path.parent.relative_to(_package_root(path)).parts, name])
    return name


def _package_root(path: Path) -> Path:
    """Return the folder that holds the outermost package of a file."""
    return next(f for f in path.parents if not (f / "__init__.py").is_file())


def _import_path(path: Path) -> ImportPath:
    root = _package_root(path)
    # modules of a package often carry a library's name (types.py): its folder comes last
    last = [Path.cwd()] if root == path.parent else [path.parent, Path.cwd()]
    return ImportPath([root], last)
