"""Rules about numbers that leave their type, or are about to."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from sppkit.early_warning.moment import Moment
from sppkit.early_warning.rule import Sight, WarningRule
from sppkit.early_warning.series import Array
from sppkit.rules.finding import Severity
from sppkit.rules.rule import threshold
from sppkit.signals import Signal

LARGEST = {"float16": 65504.0, "bfloat16": 3.3895e38, "float32": 3.4028e38}
"""The largest finite numbers."""


@dataclass(frozen=True)
class LittleHeadroom(WarningRule):
    """Keep the largest values farther from the end of their type, before they overflow.

    Use bfloat16, scale the signal down in front of the layer, keep this layer out of autocast, or
    stop what makes it grow. Gradients are not looked at: their scale is the gradient scaler's.
    """

    code = "SPP609"
    title = "little headroom"

    margin: float = threshold(16.0, "below the largest number; unit scaling's lines, ours")
    patience: float = threshold(1.0, "looks; ours")
    looks_always: ClassVar[bool] = True

    statistic = "largest magnitude over the largest number of the type"
    unmeasured = "no activations or weights are recorded"

    def look(self, moment: Moment) -> Sight | None:
        """Compare the largest magnitudes with the largest numbers."""
        rows = moment.of_signal(Signal.ACTIVATION) | moment.of_signal(Signal.WEIGHT)
        if not rows.any():
            return None
        used = _magnitudes(moment) / moment.labels.once("limits", lambda: _limits(moment))
        return Sight.of(rows, used, used > 1.0 / self.margin)

    def say(self, measured: float) -> str:
        """Say how near."""
        return f"the largest value is {measured:.1%} of the largest number of its type"

    @property
    def expected(self) -> str:
        """Describe the threshold."""
        return f"at most 1/{self.margin:g} of it"


def _limits(moment: Moment) -> Array:
    return np.array([LARGEST.get(str(kind), np.inf) for kind in moment.labels["dtype"]])


def _magnitudes(moment: Moment) -> Array:
    largest: Array = np.fmax(np.abs(moment.statistic("minimum")), moment.statistic("maximum"))
    return largest


@dataclass(frozen=True)
class NumbersNotFinite(WarningRule):
    """Go back to a checkpoint before this step: there are infinities or NaN in the network.

    The layer named is the first one in the order of execution in which they appear. Gradients of
    steps that a gradient scaler skipped are left out, since it finds its scale that way.
    """

    code = "SPP610"
    title = "numbers not finite"
    severity: ClassVar[Severity] = Severity.ERROR

    patience: float = threshold(1.0, "looks; ours")
    looks_always: ClassVar[bool] = True

    statistic = "nonfinite_fraction"
    unmeasured = "nothing is recorded"

    def look(self, moment: Moment) -> Sight | None:
        """Look for numbers that are not finite."""
        is_forward = moment.of_signal(Signal.ACTIVATION) | moment.of_signal(Signal.WEIGHT)
        rows = is_forward | ~moment.is_skipped
        if not rows.any():
            return None
        share = moment.statistic("nonfinite_fraction")
        return Sight.of(rows, share, share > 0, severe=share > 0)

    def say(self, measured: float) -> str:
        """Say how many."""
        return f"{measured:.2%} of the values are infinite or NaN"

    @property
    def expected(self) -> str:
        """Describe the threshold."""
        return "finite numbers"
