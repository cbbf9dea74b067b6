"""Rules about outputs: units that die, and logits that grow."""

from dataclasses import dataclass

import numpy as np

from sppkit.early_warning.moment import Moment
from sppkit.early_warning.rule import Sight, WarningRule
from sppkit.early_warning.series import Array
from sppkit.rules.rule import threshold
from sppkit.signals import Signal


@dataclass(frozen=True)
class DyingUnits(WarningRule):
    """Lower the learning rate: units have died since training began.

    A unit that answers zero to every sample of every batch gets no gradient and stays dead. Large
    steps push biases below what the inputs can make up for. Lower the rate, warm up for longer, or
    use a leaky nonlinearity; units that are dead come back only by a new start.
    """

    code = "SPP607"
    title = "dying units"

    level: float = threshold(0.5, "of a layer's channels; SageMaker Debugger, DeadRelu")
    rise: float = threshold(0.3, "above the first recorded step; ours")
    values: float = threshold(32.0, "per channel, of which fewer may be zero by chance; ours")
    patience: float = threshold(3.0, "looks; ours")

    statistic = "dead_channel_fraction"
    unmeasured = "no activations with enough values per channel are recorded"

    def look(self, moment: Moment) -> Sight | None:
        """Compare the share of dead channels with the first recorded step."""
        enough = moment.statistic("samples") >= self.values
        rows = moment.activations & enough & ~moment.has_type("Dropout")
        if not rows.any():
            return None
        dead = moment.statistic("dead_channel_fraction")
        first = moment.first("dead_channel_fraction")
        return Sight.of(rows, dead, (dead > self.level) & (dead - first > self.rise))

    def say(self, measured: float) -> str:
        """Say how many."""
        return f"{measured:.0%} of the channels answer zero to every sample"

    @property
    def expected(self) -> str:
        """Describe the threshold."""
        return f"at most {self.level:.0%}, or at most {self.rise:.0%} more than at first"


@dataclass(frozen=True)
class LargeLogits(WarningRule):
    """Hold the logits down: they have grown to where the softmax is flat and float16 is coarse.

    Add weight decay to the head, a z-loss, label smoothing, or a lower rate. Measured is the root
    mean square of the network's output.

    References:
        Small-scale proxies for large-scale transformer training instabilities, Wortsman et al.,
        2023, arXiv 2309.14322, section 3.1.2.
    """

    code = "SPP608"
    title = "large logits"

    rms: float = threshold(100.0, "root mean square; ours")
    growth: float = threshold(10.0, "times that of the first recorded step; ours")
    patience: float = threshold(2.0, "looks; ours")

    statistic = "root mean square"
    unmeasured = "the network's output is not recorded"

    def look(self, moment: Moment) -> Sight | None:
        """Compare the output with the limit and with the first recorded step."""
        rows = moment.labels.once("output", lambda: _output(moment))
        if not rows.any():
            return None
        grown = moment.logarithms - moment.first("second_moment")
        rms = 10.0 ** (moment.logarithms / 2)
        return Sight.of(rows, rms, (rms > self.rms) & (grown / 2 > np.log10(self.growth)))

    def say(self, measured: float) -> str:
        """Say how large."""
        return f"the outputs have a root mean square of {measured:.3g}"

    @property
    def expected(self) -> str:
        """Describe the threshold."""
        return f"at most {self.rms:g}, or at most {self.growth:g} times what it was at first"


def _output(moment: Moment) -> Array:
    """Say which rows are the network's output: those of the root, else of the last leaf."""
    outputs = moment.of_signal(Signal.ACTIVATION)
    of_root: Array = outputs & (moment.labels["layer"] == "") & (moment.labels["operation"] == "")
    if of_root.any() or not moment.activations.any():
        return of_root
    depths = np.where(moment.activations, moment.labels["depth"], -np.inf)
    depths = np.where(np.isfinite(depths), depths, -np.inf)
    is_last: Array = moment.activations & (depths == depths.max())
    return is_last
