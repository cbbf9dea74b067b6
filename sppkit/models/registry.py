"""The bundled reference networks by name; listing them needs no torch, building one does."""

import difflib
import importlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sppkit.errors import TargetError

if TYPE_CHECKING:
    from torch import nn

_NF_PAPER = (
    "Characterizing signal propagation to close the performance gap in unnormalized ResNets, "
    "Brock, De, Smith, 2021, arXiv 2101.08692"
)
_RESNET_PAPER = (
    "Identity mappings in deep residual networks, He, Zhang, Ren, Sun, 2016, arXiv 1603.05027"
)
_SN_PAPER = (
    "Self-Normalizing Neural Networks, Klambauer, Unterthiner, Mayr, Hochreiter, 2017, "
    "arXiv 1706.02515"
)
_HE_PAPER = "Delving deep into rectifiers, He, Zhang, Ren, Sun, 2015, arXiv 1502.01852"


@dataclass(frozen=True)
class Reference:
    """A reference network.

    Attributes:
        name: what people type, as in `ref:nf_resnet26`.
        build: where its factory is, "module:function"; all arguments have defaults.
        paper: title, authors, year, arXiv number.
        summary: one line.
        input_size: a size of one sample that suits it, without the batch.
    """

    name: str
    build: str
    paper: str
    summary: str
    input_size: tuple[int, ...]

    def factory(self) -> "Callable[..., nn.Module]":
        """Import the factory (and, with it, torch)."""
        module, function = self.build.split(":")
        factory: Callable[..., nn.Module] = getattr(importlib.import_module(module), function)
        return factory


REFERENCES: tuple[Reference, ...] = (
    Reference(
        "mlp",
        "sppkit.models.mlp:mlp",
        _HE_PAPER,
        "8 hidden layers of 256, ReLU, He initialisation; norm= batch or layer",
        (64,),
    ),
    Reference(
        "sn_mlp",
        "sppkit.models.mlp:sn_mlp",
        _SN_PAPER,
        "8 hidden layers of 256, SELU, LeCun initialisation",
        (64,),
    ),
    Reference(
        "bn_resnet20",
        "sppkit.models.bn_resnet:bn_resnet20",
        _RESNET_PAPER,
        "basic blocks, 3 stages of 3, batch normalisation; order= bn-relu, relu-bn or post",
        (3, 32, 32),
    ),
    Reference(
        "bn_resnet26",
        "sppkit.models.bn_resnet:bn_resnet26",
        _RESNET_PAPER,
        "bottleneck blocks, stages of 2 2 2 2, batch normalisation",
        (3, 128, 128),
    ),
    Reference(
        "bn_resnet50",
        "sppkit.models.bn_resnet:bn_resnet50",
        _RESNET_PAPER,
        "bottleneck blocks, stages of 3 4 6 3, batch normalisation",
        (3, 128, 128),
    ),
    Reference(
        "nf_resnet20",
        "sppkit.models.nf_resnet:nf_resnet20",
        _NF_PAPER,
        "normalizer-free twin of bn_resnet20",
        (3, 32, 32),
    ),
    Reference(
        "nf_resnet26_cifar",
        "sppkit.models.nf_resnet:nf_resnet26_cifar",
        _NF_PAPER,
        "normalizer-free, bottleneck blocks, stages of 2 2 2 2, a quarter of the width, small stem",
        (3, 32, 32),
    ),
    Reference(
        "nf_resnet26",
        "sppkit.models.nf_resnet:nf_resnet26",
        _NF_PAPER,
        "normalizer-free, bottleneck blocks, stages of 2 2 2 2",
        (3, 128, 128),
    ),
    Reference(
        "nf_resnet50",
        "sppkit.models.nf_resnet:nf_resnet50",
        _NF_PAPER,
        "normalizer-free, bottleneck blocks, stages of 3 4 6 3",
        (3, 128, 128),
    ),
    Reference(
        "sn_resnet20",
        "sppkit.models.sn_resnet:sn_resnet20",
        _SN_PAPER,
        "SELU twin of bn_resnet20, merges (a + b) / sqrt 2",
        (3, 32, 32),
    ),
)


def find_reference(name: str) -> Reference:
    """Return the reference of that name.

    Raises:
        TargetError: no such reference; the message names the nearest and lists all.
    """
    references = {reference.name: reference for reference in REFERENCES}
    if name in references:
        return references[name]
    raise TargetError(
        f"no reference network is called {name!r}{_nearest(name, list(references))}; "
        f"there are: {', '.join(references)}"
    )


def build(name: str, **arguments: object) -> "nn.Module":
    """Build a reference network.

    Args:
        name: a name of `REFERENCES`.
        **arguments: keywords of its factory, such as classes=100 or skip_gain=1.0.

    Returns:
        The network, initialised from torch's global generator.

    Raises:
        TargetError: an unknown name or keyword; the message names the nearest and lists all.
    """
    factory = find_reference(name).factory()
    accepted = list(inspect.signature(factory).parameters)
    for argument in arguments:
        if argument not in accepted:
            raise TargetError(
                f"{name} takes no argument {argument!r}{_nearest(argument, accepted)}; "
                f"it takes: {', '.join(accepted)}"
            )
    return factory(**arguments)


def _nearest(word: str, words: list[str]) -> str:
    nearest = difflib.get_close_matches(word, words, n=1)
    return f" (did you mean {nearest[0]!r}?)" if nearest else ""
