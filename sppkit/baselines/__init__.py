"""Baselines: recordings of how a network was, and how far another one is from it.

`comparison` says which layers moved, by how many standard deviations between seeds; `baseline`
keeps a recording with what it was measured with; `drift` is the rule that a check asks.
"""

from sppkit.baselines.baseline import (
    check_comparable,
    read_baseline,
    write_baseline,
)
from sppkit.baselines.comparison import Comparison, compare
from sppkit.baselines.drift import BaselineDrift

__all__ = [
    "BaselineDrift",
    "Comparison",
    "check_comparable",
    "compare",
    "read_baseline",
    "write_baseline",
]
