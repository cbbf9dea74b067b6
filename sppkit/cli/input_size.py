"""Sizes that a person gives in place of the declared ones, and what to say when there are none."""

from dataclasses import replace
from typing import NoReturn

from torch import nn

from sppkit.cli.flags import Sizes
from sppkit.errors import ProbeError
from sppkit.inputs import NamedSizes, Tokens

_SIDE = 64  # of a guessed picture
_LENGTH = 16  # of a guessed sequence
_DIGIT = (8, 8)


def unknown_size(network: nn.Module, origin: str) -> NoReturn:
    """Say how to give the input size.

    Raises:
        ProbeError: always.
    """
    guess = next(filter(None, map(guessed_flags, network.modules())), None)
    hint = f"Its first layer would suit {guess}" if guess else "For example -s 3,64,64"
    raise ProbeError(
        f"the input size of {origin} is not known. {hint}: give the size of one sample with -s, "
        "once for each input, or let the model declare it as INPUT_SIZE = (3, 64, 64). Other "
        "arguments of its forward come from --example-input module.py:function."
    )


def lacking_inputs(names: tuple[str, ...], origin: str) -> NoReturn:
    """Say that a forward needs what nothing states the size of.

    Raises:
        ProbeError: always.
    """
    raise ProbeError(
        f"the forward of {origin} needs {' and '.join(names)}, whose size its configuration does "
        "not tell. Give the arguments with --example-input module.py:function, a function that "
        "returns them in a dict."
    )


def resized(declared: NamedSizes, given: Sizes, origin: str) -> NamedSizes:
    """Put the sizes that were given in place of the first declared ones.

    Raises:
        ProbeError: there are more of them than inputs.
    """
    if len(given) > len(declared):
        raise ProbeError(
            f"{origin} takes {len(declared)} inputs ({', '.join(declared)}), and {len(given)} "
            "sizes were given: one -s for each, in this order. Other arguments of its forward come "
            "from --example-input module.py:function."
        )
    changed = {
        name: replace(one, size=size) if isinstance(one, Tokens) else size
        for (name, one), size in zip(declared.items(), given, strict=False)
    }
    return {**declared, **changed}


def size_of_digits(network: nn.Module) -> tuple[int, ...]:
    """Return the size of the digits as a network takes them: its channels, or its features.

    >>> size_of_digits(nn.Conv2d(3, 8, 3)), size_of_digits(nn.Linear(64, 2))
    ((3, 8, 8), (64,))
    """
    for layer in network.modules():
        if isinstance(layer, nn.Linear):
            return (layer.in_features,)
        if isinstance(layer, nn.Conv2d):
            return (layer.in_channels, *_DIGIT)
    return (1, *_DIGIT)


def guessed_flags(layer: nn.Module) -> str | None:
    """Return the flags of an input that suits a layer; None for layers that take any.

    >>> guessed_flags(nn.Conv2d(3, 8, 3)), guessed_flags(nn.Linear(10, 2))
    ('-s 3,64,64', '-s 10')
    """
    if isinstance(layer, nn.Embedding):
        return f"-s {_LENGTH} --vocab {layer.num_embeddings}"
    if isinstance(layer, nn.Linear):
        return f"-s {layer.in_features}"
    if isinstance(layer, nn.modules.conv._ConvNd):
        positions = len(layer.kernel_size)
        return "-s " + ",".join(map(str, [layer.in_channels, *[_SIDE] * positions]))
    if isinstance(layer, nn.RNNBase):
        return f"-s {_LENGTH},{layer.input_size}"
    return None
