"""Reference networks and layers whose signal propagation is known, for comparison and for tests.

`REFERENCES` lists the networks and `build(name)` makes one. The factory of each can be taken from
here by its name (all but `mlp`, which lives in the module of that name), and so can the layers of
`sppkit.models.layers`. Importing this package does not import torch: names are resolved when used.
"""

import importlib
from typing import Any

from sppkit.models.registry import REFERENCES, Reference, build, find_reference

__all__ = ["REFERENCES", "Reference", "build", "find_reference"]

_MODULES = frozenset({"mlp"})
"""References whose names are those of modules in this package, which come first."""


def __getattr__(name: str) -> Any:
    if not name.startswith("_") and name not in _MODULES:
        for reference in REFERENCES:
            if reference.name == name:
                return reference.factory()
        layers = importlib.import_module(f"{__name__}.layers")
        if name in layers.__all__:
            return getattr(layers, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    layers = importlib.import_module(f"{__name__}.layers")
    factories = {reference.name for reference in REFERENCES} - _MODULES
    return sorted({*__all__, *layers.__all__, *factories})
