"""Weight normalisation of a network that was built without it."""

from torch import nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import weight_norm

from sppkit.patterns import Patterns, matcher, require_match


def normalize_weights(model: nn.Module, layers: Patterns | None = None) -> tuple[str, ...]:
    """Put weight normalisation on linear layers and convolutions, in place.

        w[o] = g[o] * v[o] / ||v[o]||

    per output unit o, as torch's parametrization: length g and direction v are trained in place of
    w. At first g = ||w||, so the network computes what it did before. The recorder shows w as the
    effective weight. `torch.nn.utils.parametrize` takes it off again.

    Args:
        model: any module.
        layers: names or patterns; None takes all. Layers that have another parametrization of their
            weight, or standardise it themselves, are left as they are.

    Returns:
        The names of the layers that now have it.

    Raises:
        ValueError: a pattern matches no module.

    References:
        Weight normalization: a simple reparameterization to accelerate training of deep neural
        networks, Salimans, Kingma, 2016, arXiv 1602.07868, equation 2. One of the arms of Training
        deep neural networks without batch normalization, Gaur, Folz, Dengel, 2020, arXiv
        2008.07970.
    """
    chosen = [name for name in _matching(model, layers) if _takes(model.get_submodule(name))]
    for name in chosen:
        module = model.get_submodule(name)
        weight_norm(module, "weight", dim=1 if isinstance(module, _ConvTransposeNd) else 0)
    return tuple(chosen)


def _matching(model: nn.Module, layers: Patterns | None) -> list[str]:
    names = [name for name, _ in model.named_modules()]
    require_match("layers", layers, names)
    matches = matcher(layers)
    return [name for name in names if matches is None or matches(name)]


def _takes(module: nn.Module) -> bool:
    """Say whether a layer has a plain weight: parametrized ones have other classes."""
    plain = isinstance(module, (nn.Linear, _ConvNd)) and not parametrize.is_parametrized(module)
    return plain and not callable(getattr(module, "effective_weight", None))
