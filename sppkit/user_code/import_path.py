"""The import path of a user's code, in force while that code runs and at no other time."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

_folder_of: dict[str, str] = {}  # top-level module that user code imported -> folder it came from
_set_aside: dict[tuple[str, str], dict[str, ModuleType]] = {}


class ImportPath:
    """The folders that a piece of user code imports from.

    Two targets may each have a neighbour of the same name (`old/layers.py`, `new/layers.py`).
    Python would hand the first one to both, and a comparison would compare a network with
    itself; so modules of another folder step aside while this one is active.
    """

    def __init__(self, first: Sequence[Path], last: Sequence[Path] = ()) -> None:
        self.first = [str(folder) for folder in first]
        self.last = [str(folder) for folder in last]

    @contextmanager
    def active(self) -> Iterator[None]:
        """Make the folders importable; restore `sys.path` and leave no `__pycache__` behind."""
        outside, writes_nothing = list(sys.path), sys.dont_write_bytecode
        known = set(sys.modules)
        sys.path[:] = [*self.first, *outside, *self.last]
        sys.dont_write_bytecode = True
        self._claim_names()
        try:
            yield
        finally:
            self._remember_modules(known)
            # what the code itself put on the path is there again when it runs the next time
            self.first += [p for p in sys.path if p not in {*self.first, *outside, *self.last}]
            sys.path[:], sys.dont_write_bytecode = outside, writes_nothing

    def _provider(self, name: str) -> str | None:
        for folder in [*self.first, *self.last]:
            if Path(folder, f"{name}.py").is_file() or Path(folder, name).is_dir():
                return folder
        return None

    def _claim_names(self) -> None:
        for name, folder in list(_folder_of.items()):
            mine = self._provider(name)
            if mine is None or mine == folder:
                continue
            _set_aside[folder, name] = _take_modules(name)
            sys.modules.update(_set_aside.pop((mine, name), {}))
            _folder_of[name] = mine

    def _remember_modules(self, known: set[str]) -> None:
        for name in {module.partition(".")[0] for module in set(sys.modules) - known}:
            folder = self._provider(name)
            if folder and Path(_location(sys.modules.get(name))).is_relative_to(folder):
                _folder_of[name] = folder


def _take_modules(name: str) -> dict[str, ModuleType]:
    names = [key for key in sys.modules if key == name or key.startswith(f"{name}.")]
    return {key: sys.modules.pop(key) for key in names}


def _location(module: ModuleType | None) -> str:
    paths = list(getattr(module, "__path__", []))
    return getattr(module, "__file__", None) or (str(paths[0]) if paths else "")
