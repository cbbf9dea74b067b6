"""The layers that an initialisation is about: linear maps with a weight per output unit."""

import math
from collections.abc import Iterable
from typing import cast

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.parameter import is_lazy
from torch.nn.utils import parametrize

from sppkit.patterns import Patterns, matcher, require_match

_NO_LINEAR_MAPS = (
    *(nn.Embedding, nn.EmbeddingBag, nn.LayerNorm, nn.GroupNorm, nn.PReLU),
    *((nn.RMSNorm,) if hasattr(nn, "RMSNorm") else ()),
)


def weighted_layers(model: nn.Module, layers: Patterns | None = None) -> dict[str, nn.Module]:
    """Find the layers that map their input linearly with a `weight` of two or more axes.

    Args:
        model: any module.
        layers: names or patterns of layers; those inside of a named container belong to it. None
            takes all.

    Returns:
        Layers by qualified name, in the order of `named_modules`; shared ones once. Embeddings,
        normalisations and layers that have no shape yet are no linear maps and are left out.

    Raises:
        ValueError: a pattern matches no module.
    """
    named = dict(model.named_modules())
    if layers is not None:
        require_match("layers", [p for p in _listed(layers) if p], named)
    matches = matcher(layers)
    return {
        name: module
        for name, module in named.items()
        if _is_linear_map(module) and (matches is None or any(map(matches, _with_owners(name))))
    }


def _listed(layers: Patterns) -> list[str]:
    return [layers] if isinstance(layers, str) else list(layers)


def _with_owners(name: str) -> Iterable[str]:
    """Give a name and those of the containers it is in.

    >>> list(_with_owners("a.b.c"))
    ['a.b.c', 'a.b', 'a']
    """
    parts = name.split(".")
    return (".".join(parts[:length]) for length in range(len(parts), 0, -1))


def _is_linear_map(module: nn.Module) -> bool:
    if isinstance(module, _NO_LINEAR_MAPS):
        return False
    weight: torch.Tensor | None = module._parameters.get("weight")
    if weight is None and parametrize.is_parametrized(module, "weight"):
        weight = weight_of(module)
    return weight is not None and not is_lazy(weight) and weight.dim() >= 2


@torch.no_grad()
def set_weight(module: nn.Module, values: torch.Tensor) -> None:
    """Give a layer the weights it is to use.

    Raises:
        ValueError: it has a parametrization that values cannot be assigned through.
    """
    if not parametrize.is_parametrized(module, "weight"):
        weight_of(module).copy_(values)
        return
    try:
        module.weight = values
    except (NotImplementedError, RuntimeError) as error:
        kinds = [type(part).__name__ for part in _parametrizations(module)]
        raise ValueError(
            f"the weight of {type(module).__name__} is computed by {', '.join(kinds)}, which takes "
            "no values; initialise what it is computed from"
        ) from error


def _parametrizations(module: nn.Module) -> Iterable[nn.Module]:
    assert isinstance(module.parametrizations, nn.ModuleDict)
    return module.parametrizations["weight"].children()


def weight_of(module: nn.Module) -> torch.Tensor:
    """Give the weight as the layer uses it."""
    return cast(torch.Tensor, module.weight)


def fan_in(module: nn.Module) -> float:
    """Count the weighted inputs that one output value sums up.

        convolution, linear:     fan_in = channels in / groups x positions of the kernel
        transposed convolution:  fan_in = channels in / groups x positions of the kernel / stride

    The second is an average: kernels of a transposed convolution meet an output position as often
    as the kernel is wider than the stride. `torch.nn.init` takes the channels out for it.
    """
    first, second, positions, stride = _extent(module)
    if isinstance(module, _ConvTransposeNd):
        return first // module.groups * positions / stride
    return second * positions


def fan_out(module: nn.Module) -> float:
    """Count the outputs that one input value is weighted into: the fan-in of the backward pass.

        convolution, linear:     fan_out = channels out / groups x positions of the kernel / stride
        transposed convolution:  fan_out = channels out / groups x positions of the kernel

    The first is an average. `torch.nn.init` takes all channels out, whatever the groups and stride.
    """
    first, second, positions, stride = _extent(module)
    if isinstance(module, _ConvTransposeNd):
        return second * positions
    return first // getattr(module, "groups", 1) * positions / stride


def _extent(module: nn.Module) -> tuple[int, int, float, int]:
    """Give the first two axes of a weight, and the positions of its kernel and its stride."""
    first, second, *kernel = weight_of(module).shape
    stride = module.stride if isinstance(module, _ConvNd) else ()
    return first, second, float(math.prod(kernel)), math.prod(stride)
