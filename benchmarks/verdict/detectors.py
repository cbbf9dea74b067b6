"""Three earlier detectors, as they are published, on the evidence of one network.

Each looks at one seed; a network is flagged where most of its seeds are.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd

from sppkit.recording import Recording
from sppkit.signals import Phase, Signal

VARIANCE_RATIO = 10.0
"""SageMaker Debugger, PoorWeightInitialization: its default `activation_inputs_range`."""

LEAST_RATIO, LEAST_NORM, MOST_RATIO = 1e-3, 1e-4, 70.0
"""AutoTrainer (Zhang et al., ICSE 2021): beta_1, beta_2 of vanishing, beta_3 of exploding."""

LEAST_GRADIENT = 1e-7
"""DeepDiagnosis (Wardat et al., ICSE 2022): mean |g| below which a gradient has vanished."""

Detector = Callable[[pd.DataFrame], bool]


def variance_ratio(rows: pd.DataFrame) -> bool:
    """Compare the largest with the least output variance of the weighted layers before the head."""
    weighted = set(rows.loc[rows["signal"] == Signal.WEIGHT, "layer"])
    outputs = rows[
        (rows["signal"] == Signal.ACTIVATION)
        & (rows["role"] == "leaf")
        & rows["layer"].isin(weighted)
    ].sort_values("depth")
    variances = outputs["variance"].to_numpy()[:-1]
    with np.errstate(all="ignore"):
        ratio = variances.max() / variances.min() if len(variances) else 1.0
    return not ratio <= VARIANCE_RATIO


def gradient_ratio(rows: pd.DataFrame) -> bool:
    """Compare the first kernel's gradient with the last's: below 1e-3 (and small), or above 70.

    Numbers that are not finite, in weights or gradients, are flagged too.
    """
    kernels = _kernel_gradients(rows)
    values = rows[rows["signal"].isin([Signal.WEIGHT, Signal.WEIGHT_GRADIENT])]
    if (values["nonfinite_fraction"] > 0).any():
        return True
    if not len(kernels):
        return False
    size = kernels["second_moment"] * kernels["channels"] * kernels["samples"]
    first, last = np.sqrt(size.iloc[[0, -1]])
    with np.errstate(all="ignore"):
        ratio = np.divide(first, last)
    vanishes = (ratio < LEAST_RATIO or last == 0) and first < LEAST_NORM
    return bool(vanishes or ratio > MOST_RATIO)


def mean_gradient(rows: pd.DataFrame) -> bool:
    """Say whether any kernel's mean |g| is below 1e-7."""
    return bool((_kernel_gradients(rows)["mean_absolute"] < LEAST_GRADIENT).any())


def _kernel_gradients(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of the gradients of weight matrices and kernels under the loss, first layer first."""
    kernels = rows[
        (rows["phase"] == Phase.LOSS)
        & (rows["signal"] == Signal.WEIGHT_GRADIENT)
        & (rows["channels"] > 1)
        & (rows["samples"] > 1)
    ]
    return kernels.sort_values("depth")


DETECTORS: dict[str, Detector] = {
    "SageMaker Debugger: variance ratio > 10": variance_ratio,
    "AutoTrainer: gradient ratio < 1e-3 or > 70": gradient_ratio,
    "DeepDiagnosis: mean |g| < 1e-7": mean_gradient,
}


def flagged_by(recording: Recording) -> dict[str, bool]:
    """Ask each detector about the only run of a recording of evidence."""
    table = recording.table()
    seeds = [rows for _, rows in table.groupby("seed")]
    return {
        name: sum(detector(rows) for rows in seeds) * 2 > len(seeds)
        for name, detector in DETECTORS.items()
    }
