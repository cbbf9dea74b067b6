"""The bundled reference networks by name; listing them needs no torch, building one does."""

import difflib
import inspect
from typing import TYPE_CHECKING

from sppkit.errors import TargetError
from sppkit.models.references.binary import BINARY
from sppkit.models.references.efficientnet import EFFICIENTNET
from sppkit.models.references.normalizer_free import NORMALIZER_FREE
from sppkit.models.references.plain import PLAIN
from sppkit.models.references.reference import Reference
from sppkit.models.references.rescaling import RESCALING
from sppkit.models.references.residual import RESIDUAL
from sppkit.models.references.residual_initialization import RESIDUAL_INITIALIZATION

if TYPE_CHECKING:
    from torch import nn

__all__ = ["REFERENCES", "Reference", "build", "find_reference"]

REFERENCES: tuple[Reference, ...] = (
    *PLAIN,
    *RESIDUAL,
    *NORMALIZER_FREE,
    *RESIDUAL_INITIALIZATION,
    *RESCALING,
    *EFFICIENTNET,
    *BINARY,
)


def find_reference(name: str) -> Reference:
    """Return the reference of that name.

    Raises:
        TargetError: no such reference; the message names the nearest.
    """
    references = {reference.name: reference for reference in REFERENCES}
    if name in references:
        return references[name]
    raise TargetError(
        f"no reference network is called {name!r}{_nearest(name, list(references))}. "
        f"sppkit models lists all {len(references)} of them."
    )


def build(name: str, **arguments: object) -> "nn.Module":
    """Build a reference network.

    Args:
        name: a name of `REFERENCES`.
        **arguments: keywords of its factory, such as classes=100 or skip_gain=1.0.

    Returns:
        The network, initialised from torch's global generator.

    Raises:
        TargetError: an unknown name or keyword; the message names the nearest.
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
    nearest = difflib.get_close_matches(word, words, n=3)
    return f" (did you mean {' or '.join(map(repr, nearest))}?)" if nearest else ""
