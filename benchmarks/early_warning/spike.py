"""When the loss spikes, from the losses alone."""

import math

import numpy as np

from sppkit.cli.runs.summary import spikes

SUSTAINED = 10
"""Steps of which half must spike: a single hard batch is no instability."""

CHANCE = math.log(10)
"""The loss of a network that gives each of the ten digits the same probability."""


def first_spike(losses: np.ndarray, onset: int = 0) -> int | None:
    """Find the step from the onset on in which the loss is lost; None where it never is.

    That is the first one of these:

    - its loss is not finite;
    - `sppkit.cli.runs.summary.spikes` names it, and half of the ten steps that it begins;
    - its loss, and the median of the ten steps that it begins, are above half of `CHANCE` and above
      twice the lowest median of ten steps before: what had been learnt is gone.

    >>> first_spike(np.array([1.0] * 20 + [9.0] + [1.0] * 20 + [9.0] * 20))
    41
    """
    found = spikes(losses)
    medians = _medians(losses)
    lowest = np.fmin.accumulate(medians)
    for step in range(onset, len(losses)):
        is_spike = found[step] and 2 * found[step : step + SUSTAINED].sum() >= SUSTAINED
        before = lowest[step - SUSTAINED] if step >= SUSTAINED else np.inf
        is_lost = min(losses[step], medians[step]) > max(CHANCE / 2, 2 * before)
        if not np.isfinite(losses[step]) or is_spike or is_lost:
            return step
    return None


def _medians(losses: np.ndarray) -> np.ndarray:
    """Give the median of the ten steps that each step begins; fewer at the end."""
    ends = [losses[step : step + SUSTAINED] for step in range(len(losses))]
    return np.array([np.median(end) for end in ends])
