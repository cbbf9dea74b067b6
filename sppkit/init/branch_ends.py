"""Which layers residual branches end with, and the variance that they are to have there."""

import math

from torch import nn

from sppkit.capture.tracing.merges import PathEnd
from sppkit.init.layers import weighted_layers
from sppkit.init.trial import Run, trace


def variances_at_branch_ends(model: nn.Module, run: Run, alpha: float) -> dict[str, float]:
    """Give each layer that a residual branch ends with the variance by which a sum grows by alpha².

    A constant c that the sum multiplies the branch with is made good for: (alpha / c)².

    Args:
        model: any module.
        run: runs it, which is needed where alpha is not 1.
        alpha: standard deviation of what a branch adds; 1 leaves branches as they are.

    Raises:
        ValueError: alpha is not a positive number, there is no residual branch, or one does not end
            with a weighted layer.
    """
    if not (alpha > 0 and math.isfinite(alpha)):
        raise ValueError(f"alpha={alpha} must be a positive number")
    if alpha == 1:
        return {}
    ends = [end for merge in trace(model, run).merges for end in merge.ends]
    if not ends:
        raise ValueError(
            f"alpha={alpha:g} is for residual branches, and no residual merge was found in "
            f"{type(model).__name__}; leave it out"
        )
    known = weighted_layers(model)
    return {_layer_of(end, known, alpha): (alpha / (end.constant or 1.0)) ** 2 for end in ends}


def _layer_of(end: PathEnd, known: dict[str, nn.Module], alpha: float) -> str:
    place = end.node.output_place
    if place.operation or place.layer not in known:
        shown = ".".join(filter(None, (place.layer, place.operation)))
        raise ValueError(
            f"alpha={alpha:g} scales the weighted layer that a residual branch ends with, and the "
            f"branch that ends with {shown!r} ({end.node.operation}) has none there. Scale it by "
            "hand (sppkit.init.scale_weights), or leave alpha out"
        )
    return place.layer
