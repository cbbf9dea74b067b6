"""Reference networks and layers whose signal propagation is known, for comparison and for tests.

`REFERENCES` lists the networks and `build(name)` makes one; the factories and layers can be taken
from here by name too (all but `mlp`, which lives in the module of that name). Importing this
package does not import torch: names are resolved when used.
"""

import importlib
from typing import TYPE_CHECKING, Any

from sppkit.models.registry import REFERENCES, Reference, build, find_reference

if TYPE_CHECKING:
    from sppkit.models.bn_resnet import bn_resnet20, bn_resnet26, bn_resnet50
    from sppkit.models.layers import (
        GainedNonlinearity,
        ScaledStandardizedConv2d,
        StochasticDepth,
        magnitude_preserving_sum,
        make_nonlinearity,
    )
    from sppkit.models.mlp import sn_mlp
    from sppkit.models.nf_resnet import nf_resnet20, nf_resnet26, nf_resnet26_cifar, nf_resnet50
    from sppkit.models.sn_resnet import sn_resnet20

__all__ = [
    "REFERENCES",
    "GainedNonlinearity",
    "Reference",
    "ScaledStandardizedConv2d",
    "StochasticDepth",
    "bn_resnet20",
    "bn_resnet26",
    "bn_resnet50",
    "build",
    "find_reference",
    "magnitude_preserving_sum",
    "make_nonlinearity",
    "nf_resnet20",
    "nf_resnet26",
    "nf_resnet26_cifar",
    "nf_resnet50",
    "sn_mlp",
    "sn_resnet20",
]

_HOMES = {
    "bn_resnet": ("bn_resnet20", "bn_resnet26", "bn_resnet50"),
    "layers": (
        "GainedNonlinearity",
        "ScaledStandardizedConv2d",
        "StochasticDepth",
        "magnitude_preserving_sum",
        "make_nonlinearity",
    ),
    "mlp": ("sn_mlp",),
    "nf_resnet": ("nf_resnet20", "nf_resnet26", "nf_resnet26_cifar", "nf_resnet50"),
    "sn_resnet": ("sn_resnet20",),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
