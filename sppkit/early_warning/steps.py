"""Rules about steps of the optimiser: too large beside the weights, or made by the clipping."""

from dataclasses import dataclass

import numpy as np

from sppkit.early_warning.moment import Moment
from sppkit.early_warning.rule import Sight, WarningRule
from sppkit.early_warning.series import Array
from sppkit.rules.rule import threshold
from sppkit.signals import Signal


@dataclass(frozen=True)
class LargeUpdates(WarningRule):
    """Lower the learning rate: a step changes most weights by a tenth of themselves or more.

    About a thousandth is healthy. Where updates are recorded the ratio is |update| / |weight|. Else
    it is estimated from the learning rate of the layer's group,

        SGD                 rate |gradient| / |weight|       without momentum
        Adam and its kin    rate / rms(weight)               where gradients keep their sign

    for parameters with at least two values per output unit; biases and gains begin at 0 or 1.
    """

    code = "SPP604"
    title = "large updates"

    ratio: float = threshold(0.1, "TheDeepChecker, 2022: log10 in [-4, -1]")
    share: float = threshold(0.5, "of the weights; ours")

    statistic = "norm_to_weight_ratio"
    unmeasured = (
        "updates are not recorded (signals=[..., 'update']), and the recording was given no "
        "optimiser of torch's SGD or Adam family to estimate them from"
    )

    def look(self, moment: Moment) -> Sight | None:
        """Compare each weight's ratio with the threshold."""
        rows, ratios = _recorded(moment) if _has_updates(moment) else _estimated(moment)
        known = rows & np.isfinite(ratios)
        if not known.any():
            return None
        return Sight.of(known, ratios, ratios > self.ratio)

    def say(self, measured: float) -> str:
        """Say how much."""
        return f"a step of the optimiser is {measured:.2g} of the weight"

    @property
    def expected(self) -> str:
        """Describe the threshold."""
        return f"|update| / |weight| of at most {self.ratio:g} at half of the weights"


def _has_updates(moment: Moment) -> bool:
    return bool(moment.of_signal(Signal.UPDATE).any())


def _recorded(moment: Moment) -> tuple[Array, Array]:
    rows = moment.of_signal(Signal.UPDATE) & moment.matrices
    return rows, moment.statistic("norm_to_weight_ratio")


def _estimated(moment: Moment) -> tuple[Array, Array]:
    """Estimate the ratio from learning rates: at gradients for SGD, at weights for Adam."""
    rates, is_normalised = moment.rates_of_rows()
    gradients = moment.of_signal(Signal.WEIGHT_GRADIENT) & ~is_normalised
    weights = moment.of_signal(Signal.WEIGHT) & is_normalised
    with np.errstate(all="ignore"):
        by_gradient = rates * moment.statistic("norm_to_weight_ratio")
        by_weight = rates / np.sqrt(moment.statistic("second_moment"))
    rows = (gradients | weights) & moment.matrices & np.isfinite(rates)
    return rows, np.where(is_normalised, by_weight, by_gradient)


@dataclass(frozen=True)
class ClippingPressure(WarningRule):
    """Lower the learning rate or raise the limit: clipping takes away nearly all of the gradient.

    Then the clipping sets the length of each step, and gradients its direction at most. Measured is
    1 - |clipped gradient| / |gradient| of each parameter that was clipped and has at least two
    values per output unit: adaptive clipping holds biases of zero by design.
    """

    code = "SPP605"
    title = "clipping pressure"

    cut: float = threshold(0.9, "of a parameter's gradient; ours")
    share: float = threshold(0.5, "of the clipped parameters; ours")
    patience: float = threshold(5.0, "looks; ours")

    statistic = "norm of the clipped gradient over that of the gradient"
    unmeasured = "no gradient was clipped, or weight gradients are not recorded"

    def look(self, moment: Moment) -> Sight | None:
        """Compare clipped gradients with what they were."""
        clipped = moment.of_signal(Signal.CLIPPED_WEIGHT_GRADIENT) & moment.matrices
        if not clipped.any():
            return None
        cut = 1.0 - np.sqrt(_before_clipping(moment, clipped))
        return Sight.of(clipped, cut, cut > self.cut)

    def say(self, measured: float) -> str:
        """Say how much."""
        return f"clipping takes {measured:.1%} of the gradient"

    @property
    def expected(self) -> str:
        """Describe the threshold."""
        return f"at most {self.cut:.0%} of the gradient cut at half of the clipped parameters"


def _before_clipping(moment: Moment, clipped: Array) -> Array:
    """Divide the mean square of each clipped gradient by that of the same gradient before."""
    squares = moment.statistic("second_moment")
    names = moment.labels["parameter"]
    raw = np.flatnonzero(moment.of_signal(Signal.WEIGHT_GRADIENT))
    before = dict(zip(names[raw], squares[raw], strict=True))
    found = np.full(len(squares), np.nan)
    for row in np.flatnonzero(clipped):
        whole = before.get(names[row], np.nan)
        found[row] = squares[row] / whole if whole > 0 else np.nan
    return found


@dataclass(frozen=True)
class NormalisationDrift(WarningRule):
    """Look at weight decay and the rate of normalisation layers: their gains have run away.

    A gain that falls switches its branch off; one that grows amplifies what comes behind it.
    Measured is the factor by which the mean square of the gains has changed since the first
    recorded step; gains that began at zero are left out.
    """

    code = "SPP606"
    title = "drifting gains of normalisation layers"

    factor: float = threshold(16.0, "of the mean square, either way; ours")

    statistic = "second_moment"
    unmeasured = "there are no gains of normalisation layers, or no weights are recorded"

    def look(self, moment: Moment) -> Sight | None:
        """Compare the gains with those of the first recorded step."""
        rows = moment.labels.once("gains", lambda: _gains(moment))
        if not rows.any():
            return None
        change = moment.logarithms - moment.first("second_moment")
        return Sight.of(rows, 10.0**change, np.abs(change) > np.log10(self.factor))

    def say(self, measured: float) -> str:
        """Say by how much."""
        return f"the mean square of the gains is {measured:.3g} times what it was at first"

    @property
    def expected(self) -> str:
        """Describe the threshold."""
        return f"within a factor of {self.factor:g} of the first recorded step"


def _gains(moment: Moment) -> Array:
    """Say which rows are the gains of normalisation layers."""
    is_weight = moment.labels["tensor"] == "weight"
    found: Array = moment.has_type("Norm") & is_weight & moment.of_signal(Signal.WEIGHT)
    return found
