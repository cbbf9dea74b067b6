"""What a run is measured with, and what of the model never ran."""

import platform
import sys
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from sppkit import __version__
from sppkit.capture.planning.options import Options
from sppkit.capture.planning.plan import Plan
from sppkit.capture.tensors.sharding import user_class
from sppkit.table import SCHEMA_VERSION

_SCRIPTED = "a scripted module runs no Python hooks: use the module that it was made from"
_ROOT_NEVER_CALLED = (
    "the model itself was never called, only modules inside of it: each of their calls counts as "
    "a forward pass of its own"
)
_NEVER_CALLED = (
    "the module was never called, or by its .forward(), which runs no hooks; its parameters may "
    "be used by another one, as nn.MultiheadAttention does with out_proj"
)


def environment(model: nn.Module, options: Options) -> dict[str, Any]:
    """Describe with what a run is measured."""
    tensor = next((t for t in (*model.parameters(), *model.buffers())), None)
    return {
        "schema": SCHEMA_VERSION,
        "model": user_class(model).__name__,
        "versions": {
            "sppkit": __version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
        "platform": sys.platform,
        "device": str(tensor.device) if tensor is not None else "cpu",
        "mode": "train" if model.training else "eval",
        "signals": sorted(str(signal) for signal in options.signals),
        "extended": options.extended,
        "max_elements": options.max_elements,
        "remarks": [],
        "not_captured": [],
    }


def never_called(model: nn.Module, plan: Plan) -> Iterable[tuple[str, str]]:
    """Name the modules that no pass has called, with the reason."""
    called = {row["layer"] for row in plan.structure if row["calls"]}
    scripted: set[str] = set()
    for name, module in model.named_modules() if plan.is_made else ():
        if name in called or "parametrizations" in name.split("."):
            continue
        if isinstance(module, torch.jit.ScriptModule):
            scripted.add(name)
            if name.rpartition(".")[0] not in scripted:
                yield name, _SCRIPTED
        elif not name:
            yield name, _ROOT_NEVER_CALLED
        elif any(p is not None for p in module._parameters.values()):
            yield name, _NEVER_CALLED
