"""What a run is measured with."""

import platform
import sys
from typing import Any

import torch
from torch import nn

from sppkit.capture.planning.options import Options
from sppkit.capture.tensors.sharding import user_class
from sppkit.table import SCHEMA_VERSION
from sppkit.version import __version__


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
