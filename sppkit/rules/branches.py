"""Residual branches: what each adds, compared with what it is added to."""

import numpy as np

from sppkit.rules.curve import Array, logarithm, place_name
from sppkit.rules.evidence import Evidence
from sppkit.signals import Signal, Tap


def branch_ratios(evidence: Evidence) -> dict[str, Array]:
    """Give log10 of branch over entering signal for each branch end, one value per seed.

    The branch counts with its constant factor. Of a branch with a learned gain nothing is said: its
    gain is not in the frames.
    """
    rows = evidence.curves.where(signal=Signal.ACTIVATION)
    ends = evidence.structure[evidence.structure["tap"] == Tap.RESIDUAL_BRANCH]
    ends = ends[(ends["gains"].fillna("") == "") & ends["constant"].notna()]
    stream = rows.among("tap", {Tap.STEM, Tap.BLOCK})
    keys = zip(stream["seed"], stream["block"], strict=True)
    entering = dict(zip(keys, stream["second_moment"], strict=True))
    found: dict[str, Array] = {}
    columns = ends[["layer", "operation", "block", "constant"]]
    for layer, operation, block, constant in columns.itertuples(index=False):
        at_end = rows.where(layer=layer, operation=operation)
        before = np.array([entering.get((seed, block - 1), np.nan) for seed in at_end["seed"]])
        ratios = logarithm(at_end["second_moment"] * constant**2 / before)
        if not np.isnan(ratios).all():
            found[place_name(layer, operation)] = ratios
    return found
