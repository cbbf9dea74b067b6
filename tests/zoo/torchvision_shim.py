"""Import torchvision beside a build of torch that its compiled operators do not fit.

The wheel's operators are linked against CUDA. Beside a CPU build of torch they do not load, and
the import fails where their shapes are registered. Once the operators have a schema it succeeds,
and every network works that calls none of them in training (two-stage detectors call `nms`).
"""

import importlib
import sys
from types import ModuleType

import torch

_SCHEMAS = tuple(
    f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor" for name in ("nms", "qnms")
)
_library: torch.library.Library | None = None  # the schemas live as long as this does


def import_torchvision() -> ModuleType:
    """Import torchvision, with operators that are declared and not implemented where need be.

    Raises:
        ImportError: it is not installed.
        RuntimeError: it fails to import for another reason.
    """
    global _library
    try:
        return importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::nms does not exist" not in str(error) or _library is not None:
            raise
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
    _library = torch.library.Library("torchvision", "DEF")
    for schema in _SCHEMAS:
        _library.define(schema)
    return importlib.import_module("torchvision")
