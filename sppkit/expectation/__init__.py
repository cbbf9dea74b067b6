"""What theory expects of a recorded network, told by its structure and its weights.

Residual networks have ladders over their blocks, plain fully connected ones a mean-field curve over
their layers. A topology that nothing describes has no expectation, and neither has one whose
residual gains are zero: then there is no line to draw.
"""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from sppkit.expectation.plain import plain_expectation, plain_layers
from sppkit.expectation.residual import residual_expectation
from sppkit.signals import Tap
from sppkit.theory import Ladder

__all__ = ["expected_ladder", "plain_layers"]


def expected_ladder(
    structure: pd.DataFrame, table: pd.DataFrame, metadata: Mapping[str, Any]
) -> Ladder | None:
    """Choose the expected curves of one run; None where nothing describes it.

    Args:
        structure, table: rows of this run only.
        metadata: of this run.
    """
    if (structure["tap"] == Tap.BLOCK).any():
        return residual_expectation(structure, table, metadata)
    return plain_expectation(structure, table, metadata)
