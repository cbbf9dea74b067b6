"""The nonlinearity in front of each layer, read off the structure of a recording."""

import pandas as pd

from sppkit.theory import NONLINEARITIES

_NEAREST = {"prelu": "relu", "rrelu": "leaky_relu"}
"""What theory knows in place of functions with a slope that is learned or drawn."""
_OF_A_UNIT_SIGNAL = frozenset(
    {"batch_norm", "layer_norm", "group_norm", "instance_norm", "rms_norm"}
)


def nonlinearities_in_front(structure: pd.DataFrame) -> dict[str, str]:
    """Name for each layer the nonlinearity that its input has passed last, as theory spells it.

    Behind a normalisation, and behind functions that theory does not know, it is "identity".

    Args:
        structure: `recording.structure()` of a network that was probed or recorded.
    """
    layers = structure[structure["fan_in"].notna() & (structure["operation"] == "")]
    return {str(row["layer"]): _last_nonlinearity(row["before"]) for _, row in layers.iterrows()}


def spelled_by_theory(operation: str) -> str | None:
    """Give the name that `sppkit.theory` has for a functional call; None where it knows none."""
    name = _NEAREST.get(operation, operation)
    return name if name in NONLINEARITIES else None


def _last_nonlinearity(before: object) -> str:
    operations = before.split(" > ") if isinstance(before, str) else []
    for operation in reversed(operations):
        if operation in _OF_A_UNIT_SIGNAL:
            return "identity"
        if name := spelled_by_theory(operation):
            return name
    return "identity"
