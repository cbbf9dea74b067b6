"""The batch that a probe sends through a network: noise, digits, a file, or a function's result."""

from sppkit.inputs.batch import SOURCES, example_batch, make_batch
from sppkit.inputs.contents import ProbeBatch
from sppkit.inputs.named import NamedSizes, Tokens, size_of

__all__ = [
    "SOURCES",
    "NamedSizes",
    "ProbeBatch",
    "Tokens",
    "example_batch",
    "make_batch",
    "size_of",
]
