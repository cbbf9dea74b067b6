"""Sequences whose layers have names, so that what is read in them can be told apart."""

from collections import OrderedDict

from torch import nn


def in_sequence(**layers: nn.Module | None) -> nn.Sequential:
    """Put layers one behind the other, under the names given; None is left out."""
    return nn.Sequential(
        OrderedDict((name, layer) for name, layer in layers.items() if layer is not None)
    )
