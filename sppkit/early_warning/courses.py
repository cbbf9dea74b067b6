"""Rules about signals that leave their course: beside what the same tensor showed before."""

from abc import abstractmethod
from dataclasses import dataclass

import numpy as np

from sppkit.early_warning.history import WINDOW, robust_z
from sppkit.early_warning.moment import Moment
from sppkit.early_warning.rule import Sight, WarningRule
from sppkit.early_warning.series import Array
from sppkit.rules.rule import threshold
from sppkit.signals import Signal

_BENCHMARK = "benchmarks/early_warning"


@dataclass(frozen=True)
class Course(WarningRule):
    """A tensor's second moment rises out of what it was at the thirty looks before.

    With x = log10(second moment) and w the earlier values, at least `least` of them,

        z = (x - median(w)) / max(1.4826 median(|w - median(w)|), floor)
    """

    z: float = threshold(6.0, "robust deviations; the literature's usual 6, ours")
    floor: float = threshold(0.1, f"decades; fitted, {_BENCHMARK}")
    least: float = threshold(10.0, "earlier looks; ours")
    severe: float = threshold(3.0, f"decades above the median: an error; ours, {_BENCHMARK}")

    statistic = "second_moment"
    unmeasured = "nothing of the kind is recorded"

    @abstractmethod
    def rows(self, moment: Moment) -> Array:
        """Say of each row whether it is looked at."""

    def look(self, moment: Moment) -> Sight | None:
        """Compare each row with its window; the number is the factor above the median."""
        rows = self.rows(moment)
        if not rows.any():
            return None
        values, was = moment.logarithms, moment.usual
        z = robust_z(was, values, floor=self.floor, least=int(self.least))
        rises = values - was.median
        severe = (z > self.z) & (rises > self.severe)
        return Sight.of(rows, 10.0 ** np.minimum(rises, 300.0), z > self.z, severe=severe)

    @property
    def expected(self) -> str:
        """Describe the threshold."""
        return f"within {self.z:g} robust deviations of the {WINDOW} looks before"


@dataclass(frozen=True)
class ParameterCourse(Course):
    """Lower the learning rate: parameters grow as they did not in the steps before.

    Steps have become so large that they outweigh what was learnt: gradients turn from step to step
    where the rate exceeds what the curvature allows, and norms grow as those of a random walk.
    Lower the rate, lengthen the warm-up, clip gradients, or go back to a checkpoint of before.
    """

    code = "SPP601"
    title = "parameters leave their course"

    patience: float = threshold(1.0, f"looks; fitted, {_BENCHMARK}")
    share: float = threshold(0.15, f"of the parameters; fitted, {_BENCHMARK}")
    floor: float = threshold(0.05, f"decades; fitted, {_BENCHMARK}")
    severe: float = threshold(300.0, "none: what was next to zero may grow by any factor")

    unmeasured = "no weights are recorded (signals=[..., 'weight'])"

    def rows(self, moment: Moment) -> Array:
        """Look at parameters as they are stored."""
        return moment.of_signal(Signal.WEIGHT)

    def say(self, measured: float) -> str:
        """Say by how much."""
        return f"the mean square of the parameter is {measured:.3g} times what it was"


@dataclass(frozen=True)
class ActivationCourse(Course):
    """Find out what makes the signal larger, before it overflows or drowns the rest.

    Bound what grows: weight decay on the layers before it, a smaller gain of residual branches, a
    normalisation, a lower rate. Growth that a later normalisation hides from the loss ends in an
    overflow of float16, or in gradients that vanish.
    """

    code = "SPP602"
    title = "activations leave their course"

    floor: float = threshold(0.2, f"decades; fitted, {_BENCHMARK}")

    unmeasured = "no activations are recorded (signals=[..., 'activation'])"

    def rows(self, moment: Moment) -> Array:
        """Look at the outputs of all modules."""
        return moment.of_signal(Signal.ACTIVATION)

    def say(self, measured: float) -> str:
        """Say by how much."""
        return f"the second moment of the output is {measured:.3g} times what it was"


@dataclass(frozen=True)
class GradientCourse(Course):
    """Clip gradients or lower the learning rate: gradients grow in many layers at once.

    A single hard batch makes gradients large for a step; these stay. Look at the first layer named:
    what lies behind it in the order of execution amplifies its gradient.
    """

    code = "SPP603"
    title = "gradients leave their course"

    z: float = threshold(3.0, f"robust deviations; fitted, {_BENCHMARK}")
    patience: float = threshold(2.0, f"looks; fitted, {_BENCHMARK}")
    share: float = threshold(0.15, f"of the gradients; fitted, {_BENCHMARK}")
    floor: float = threshold(0.05, f"decades; fitted, {_BENCHMARK}")

    unmeasured = "no gradients are recorded (signals=[..., 'gradient'])"

    def rows(self, moment: Moment) -> Array:
        """Look at gradients of outputs; those of parameters vary more."""
        return moment.of_signal(Signal.GRADIENT)

    def say(self, measured: float) -> str:
        """Say by how much."""
        return f"the second moment of the gradient is {measured:.3g} times what it was"
