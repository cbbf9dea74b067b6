"""Residual branches: what each adds, compared with what it is added to."""

import numpy as np

from sppkit.rules.curve import Array, curve_of, logarithm, place_name
from sppkit.rules.evidence import Evidence
from sppkit.signals import Signal, Tap


def branch_ratios(evidence: Evidence) -> dict[str, Array]:
    """Give log10 of branch over entering signal for each branch end, one value per seed, (S,).

    The branch counts with its constant factor. Of a branch with a learned gain nothing is said: its
    gain is not in the frames.
    """
    rows = evidence.curves.where(signal=Signal.ACTIVATION)
    ends = evidence.structure[evidence.structure["tap"] == Tap.RESIDUAL_BRANCH]
    ends = ends[(ends["gains"].fillna("") == "") & ends["constant"].notna()]
    stream = rows.among("tap", {Tap.STEM, Tap.BLOCK})
    entering = {
        block: curve_of(stream.where(block=block), "second_moment").values[:, 0]
        for block in np.unique(stream["block"][stream["place"] >= 0])
    }
    found: dict[str, Array] = {}
    columns = ends[["layer", "operation", "block", "constant"]]
    for layer, operation, block, constant in columns.itertuples(index=False):
        at_end = curve_of(rows.where(layer=layer, operation=operation), "second_moment")
        if len(at_end) and block - 1 in entering:
            with np.errstate(all="ignore"):
                ratios = logarithm(at_end.values[:, 0] * constant**2 / entering[block - 1])
            found[place_name(layer, operation)] = ratios
    return found
