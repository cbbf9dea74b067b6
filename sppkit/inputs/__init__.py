"""The batch that a probe sends through a network: noise, digits, a file, or a function's result."""

from sppkit.inputs.batch import SOURCES, example_batch, make_batch
from sppkit.inputs.contents import ProbeBatch

__all__ = ["SOURCES", "ProbeBatch", "example_batch", "make_batch"]
