"""Find the class that a configuration is for, and build it with random weights."""

import copy
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from sppkit.errors import TargetError
from sppkit.targets.hugging_face.offline import offline
from sppkit.targets.libraries import import_library, importing
from sppkit.user_code import did_you_mean

if TYPE_CHECKING:
    from torch import nn

_BYTES = 8  # of a parameter in float32, with its gradient
_LIMIT_OF_GROUP = Path("/sys/fs/cgroup/memory.max")


def network_class(configuration: Any, origin: str) -> Any:
    """Find the network's class: the first architecture that is stated, else that of AutoModel.

    Types without a base model, as those for depth estimation, have the class of the first task
    that the library knows for them.

    Raises:
        TargetError: the library has no such class.
    """
    transformers = import_library("transformers", origin)
    stated = getattr(configuration, "architectures", None) or []
    if stated:
        with importing("transformers", origin):
            found = getattr(transformers, stated[0], None)
        return found if found is not None else _no_such_class(stated[0], configuration, origin)
    with importing("transformers", origin):
        found = _class_of_type(transformers, type(configuration))
    if found is None:
        raise TargetError(
            f"transformers builds no network from the configuration of {origin} alone; it is a "
            "part of others. Name a class with -k architectures=NAME."
        )
    return found


def check_memory(kind: Any, configuration: Any, origin: str) -> None:
    """Refuse what cannot fit: many default configurations are of billions of parameters.

    Raises:
        TargetError: weights and gradients need more than this machine has.
    """
    count, available = _count_parameters(kind, configuration), _memory()
    if count * _BYTES > available:
        raise TargetError(
            f"{origin} has {count:.2g} parameters: {count * _BYTES / 2**30:.0f} GiB with their "
            f"gradients, and this machine has {available / 2**30:.0f}. Make it smaller: "
            "-k num_hidden_layers=4 -k hidden_size=256, or what its configuration calls them."
        )


def build_network(kind: Any, configuration: Any) -> "nn.Module":
    """Build a network; its parameters are drawn from torch's global generator."""
    with offline():
        network: nn.Module = kind(copy.deepcopy(configuration))
    return network


def _class_of_type(transformers: Any, kind: type) -> Any:
    auto = transformers.models.auto.modeling_auto
    tasks = sorted(name for name in vars(auto) if name.startswith("MODEL_FOR_"))
    mappings = (getattr(auto, name) for name in ("MODEL_MAPPING", *tasks))
    for mapping in mappings:
        if not isinstance(mapping, type(auto.MODEL_MAPPING)) or kind not in mapping:
            continue
        found = mapping[kind]
        return found[0] if isinstance(found, tuple | list) else found
    return None


def _no_such_class(name: str, configuration: Any, origin: str) -> Any:
    own = getattr(configuration, "auto_map", None)
    if own:
        raise TargetError(
            f"{origin} is a {name}, whose code comes with it (auto_map: "
            f"{', '.join(map(str, dict(own).values()))}). sppkit runs no such code, as "
            "trust_remote_code=True would. If you trust it, build the network in a model.py of "
            "yours, and name that."
        )
    transformers = import_library("transformers", origin)
    raise TargetError(
        f"{origin} asks for the architecture '{name}', which this transformers does not have."
        f"{did_you_mean(name, dir(transformers))} State another with -k architectures=NAME, or "
        "upgrade: pip install --upgrade transformers."
    )


def _count_parameters(kind: Any, configuration: Any) -> int:
    """Count parameters without giving them memory; 0 where that cannot be done."""
    try:
        with offline(), torch.random.fork_rng(devices=[]), torch.device("meta"):
            network = kind(copy.deepcopy(configuration))
    except Exception:  # it reads a value while it is built; building it says what is wrong
        return 0
    return sum(parameter.numel() for parameter in network.parameters())


def _memory() -> float:
    """Return the bytes that this process may have at most; infinite where nobody says."""
    try:
        physical = float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, ValueError, OSError):  # not on Windows
        physical = math.inf
    try:
        return min(physical, float(_LIMIT_OF_GROUP.read_text()))
    except (OSError, ValueError):  # no control group, or "max"
        return physical
