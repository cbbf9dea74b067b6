"""Import the library that an integration is for, or say how to get it."""

from importlib import import_module
from typing import Any

from sppkit.errors import LibraryError


def library(module: str, extra: str) -> Any:
    """Import a module of another library.

    Args:
        module: dotted name; its first part is the library's.
        extra: of sppkit, which installs it.

    Raises:
        LibraryError: it is not installed, or fails to import.
    """
    name = module.partition(".")[0]
    try:
        import_module(name)
        return import_module(module)
    except ImportError as error:
        absent = isinstance(error, ModuleNotFoundError) and error.name == name
        cause = "is not installed" if absent else f"fails to import: {error}"
        raise LibraryError(
            f"sppkit.integrations.{extra} needs {name}, which {cause}. "
            f"Try: pip install 'sppkit[{extra}]'"
        ) from error
