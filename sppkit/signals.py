"""The vocabulary: which signals exist, which places of a network have a name, and what they mean.

Every column, axis label and command-line word is taken from here, so that the table, the plots and
the help speak one language.
"""

from enum import StrEnum


class Signal(StrEnum):
    """Which tensor a row of the table speaks of."""

    ACTIVATION = "activation"
    GRADIENT = "gradient"
    WEIGHT = "weight"
    EFFECTIVE_WEIGHT = "effective weight"
    WEIGHT_GRADIENT = "weight gradient"
    CLIPPED_WEIGHT_GRADIENT = "clipped weight gradient"
    UPDATE = "update"


OPT_IN = frozenset({Signal.UPDATE})
"""Signals that are recorded only where they are asked for: they cost a copy of the parameters."""

DEFAULT_SIGNALS = tuple(signal for signal in Signal if signal not in OPT_IN)


class Role(StrEnum):
    """What kind of thing carries the signal."""

    LEAF = "leaf"
    CONTAINER = "container"
    OPERATION = "operation"
    PARAMETER = "parameter"


class Tap(StrEnum):
    """The place of a row in a residual network; `NONE` elsewhere."""

    NONE = ""
    STEM = "stem"
    BLOCK = "block"
    RESIDUAL_BRANCH = "residual branch"
    SKIP_PATH = "skip path"


OF_OUTPUTS = frozenset({Signal.ACTIVATION, Signal.GRADIENT})
"""The signals of the outputs of layers; the others are of parameters."""


class Phase(StrEnum):
    """Under which circumstances a step was captured.

    A check probes twice: PROBE starts the backward pass from a unit gradient, LOSS from a loss that
    training would have.
    """

    PROBE = "probe"
    LOSS = "loss"
    TRAIN = "train"
    EVAL = "eval"


GLOSSARY: dict[str, str] = {
    "activation": "the output of a layer",
    "gradient": "the derivative of the loss with respect to a layer's output",
    "weight": "a parameter as it is stored",
    "effective weight": "a parameter as the layer uses it: standardised, parametrised, binarised",
    "weight gradient": "the derivative of the loss with respect to a parameter, before clipping",
    "clipped weight gradient": "the same as the optimiser saw it, where something had changed it",
    "update": "what a step of the optimiser added to a parameter",
    "stem": "the signal that enters the first residual block",
    "block": "the output of a residual block, behind its merge",
    "residual branch": (
        "the end of a residual branch, before dropout, one constant factor and one learned gain"
    ),
    "skip path": "the end of a skip path that is more than the identity",
    "merge": "an addition of two tensors that both descend from an earlier one, its fork",
    "stage": "a maximal run of blocks with equal channels and spatial size",
}


def label(name: str) -> str:
    """Give the axis label of a column.

    >>> label("average_channel_variance")
    'Average channel variance'
    """
    return name.replace("_", " ").capitalize()
