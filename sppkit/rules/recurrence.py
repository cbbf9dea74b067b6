"""A rule about layers that are called again and again: what their calls multiply."""

from dataclasses import dataclass

import numpy as np

from sppkit.rules.curve import Array, compare, curve_of, median, middle
from sppkit.rules.evidence import Evidence
from sppkit.rules.finding import Fix, Severity
from sppkit.rules.rule import Outcome, Rule, threshold
from sppkit.signals import Role, Signal


@dataclass(frozen=True)
class ExplodingOverCalls(Rule):
    """Lower the gain of the recurrent layer: every step multiplies the gradient.

    Gradients explode where the recurrent weights' largest singular value is well above 1 (Pascanu,
    Mikolov and Bengio, 2013, On the difficulty of training recurrent neural networks, arXiv
    1211.5063, section 2.1). Draw them orthogonal, or scale them down. Gradients that vanish over
    calls are no error: what is learned from the last steps may be enough.
    """

    code = "SPP206"
    title = "gradients exploding over calls"
    severity = Severity.ERROR

    decades: float = threshold(
        4.0, "of g² over the calls; benchmarks/verdict: most that trained 2.3"
    )
    calls: float = threshold(4.0, "of one layer, at least; ours")

    def judge(self, evidence: Evidence) -> Outcome:
        """Compare the growth of the gradient over the calls of each layer with the limit."""
        if evidence.has_blocks:
            return Outcome(skipped="layers that residual blocks share are no recurrence")
        growths = growth_over_calls(evidence, int(self.calls))
        if not growths:
            return Outcome(skipped="no layer is called again and again")
        compared = {layer: compare(growth, self.decades) for layer, growth in growths.items()}
        worst = max(compared, key=lambda layer: np.nan_to_num(compared[layer].margin, nan=-np.inf))
        if not compared[worst].exceeded:
            return Outcome(margin=compared[worst].margin)
        first = next(layer for layer, comparison in compared.items() if comparison.exceeded)
        growth = middle(growths[first])
        calls = self._calls_of(evidence, first)
        factor = 10 ** (-growth / (2 * (calls - 1)))
        finding = self.finding(
            evidence,
            first,
            signal=Signal.GRADIENT,
            statistic="second_moment at the first call / at the last",
            measured=10**growth,
            expected=f"below {10**self.decades:.3g}",
            message=f"the squared gradient grows by a factor of {10**growth:.3g} over the {calls} "
            f"calls of {first!r}",
            advice=f"Multiply the recurrent weights by {factor:.3g}.",
            fix=Fix("scale initialisation", (first,), factor),
        )
        return Outcome((finding,), margin=compared[worst].margin)

    def _calls_of(self, evidence: Evidence, layer: str) -> int:
        return len(set(evidence.curves.where(layer=layer, signal=Signal.ACTIVATION)["call"]))


def growth_over_calls(evidence: Evidence, fewest: int) -> dict[str, Array]:
    """Give the change of log10 g² from the last call to the first, by layer, (S,).

    The median change from call to call, times their number: a layer that several blocks share may
    differ at one of them. Layers that are called at several sizes are left out.
    """
    weighted = set(evidence.weighted["layer"])
    rows = evidence.curves.where(role=Role.LEAF, signal=Signal.GRADIENT).among("layer", weighted)
    found = {}
    for layer in dict.fromkeys(rows.by("place")["layer"]):
        of_layer = rows.where(layer=layer)
        curve = curve_of(of_layer, "second_moment")
        if len(curve) >= fewest and len(set(of_layer["samples"])) == 1:
            # the first call of a recurrent layer may see a state of zeros
            steps = -np.diff(curve.log[:, 1:], axis=1)
            found[layer] = median(steps, axis=1) * (len(curve) - 1)
    return found
