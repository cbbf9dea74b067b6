"""Rules about gradients: vanishing, exploding, unlike the activations, missing; the first loss."""

import math
from dataclasses import dataclass

import numpy as np

from sppkit.rules.curve import FLOOR, Array, Comparison, Curve, compare, logarithm
from sppkit.rules.evidence import Evidence
from sppkit.rules.finding import Finding, Fix, Severity
from sppkit.rules.named import growth_of_energy, largest_relative_gradient
from sppkit.rules.offender import DRIFTED, first_offender, steps_of, uniform_drift
from sppkit.rules.rule import Outcome, Rule, threshold
from sppkit.signals import Role, Signal

NO_LOSS = (
    "no gradients under a real loss were recorded (sppkit check records them; a probe has those of "
    "the unit gradient)"
)
ZERO_HEAD = "the head's weights are zero: until its first update no gradient passes it"


def without_loss(evidence: Evidence) -> str:
    """Say why gradients cannot be judged; "" where they can."""
    if not len(evidence.gradient_norms):
        return NO_LOSS
    return ZERO_HEAD if evidence.zero_head else ""


def _blame(evidence: Evidence, otherwise: str) -> tuple[str, str, str, Fix | None]:
    """Give layer, reason, advice and fix of the first offender, or of the layer measured."""
    steps = steps_of(evidence.activation("second_moment"))
    drifts = len(steps) > 1 and abs(float(np.median(steps))) * len(steps) > 2 * DRIFTED
    offender = first_offender(evidence) or (uniform_drift(evidence) if drifts else None)
    if offender:
        return offender.layer, f": {offender.why}", offender.advice, offender.fix
    fix = Fix("LSUV", evidence.hidden)
    return otherwise, "", "Rescale the weights layer by layer to unit variance (LSUV).", fix


@dataclass(frozen=True)
class VanishingGradient(Rule):
    """Let gradients arrive: none of the hidden layers gets one that an optimiser can use.

    Below its epsilon (1e-8), even Adam cannot rescale a gradient. Keep the gain of every layer near
    the one that preserves the second moment, add skip paths, or normalise.
    """

    code = "SPP201"
    title = "vanishing gradients"
    severity = Severity.ERROR

    root_mean_square: float = threshold(1e-8, "Adam's epsilon, arXiv 1412.6980, algorithm 1")

    def judge(self, evidence: Evidence) -> Outcome:
        """Compare the largest root mean square of a hidden layer's gradient with the limit."""
        reason = without_loss(evidence)
        sizes = hidden_gradients(evidence)
        if reason or not len(sizes):
            return Outcome(skipped=reason or "no hidden layer with weights")
        largest = _largest(sizes)
        comparison = compare(largest, math.log10(self.root_mean_square), below=True)
        if not comparison.exceeded:
            return Outcome(margin=comparison.margin)
        return Outcome(
            (self._report(evidence, sizes, float(np.median(largest))),), margin=comparison.margin
        )

    def _report(self, evidence: Evidence, sizes: Curve, largest: float) -> Finding:
        layer, why, advice, fix = _blame(evidence, sizes.layers[0])
        return self.finding(
            evidence,
            layer,
            signal=Signal.WEIGHT_GRADIENT,
            statistic="root mean square",
            measured=10**largest,
            expected=f"above {self.root_mean_square:g} in some hidden layer",
            message=f"no gradient arrives: in all {len(sizes)} hidden layers its root mean square "
            f"is {_power(largest)}{why}",
            advice=advice,
            fix=fix,
        )


def hidden_gradients(evidence: Evidence) -> Curve:
    """Give the root mean square of each hidden layer's weight gradient under a real loss."""
    rows = evidence.weight_gradients
    rows = rows.keep(rows["layer"] != evidence.head)
    return evidence.audible(rows, np.sqrt(rows["second_moment"]))


def _largest(curve: Curve) -> Array:
    known = np.where(np.isnan(curve.log), -np.inf, curve.log)
    return np.where(np.isnan(curve.log).all(axis=1), np.nan, known.max(axis=1))


def _power(log: float) -> str:
    return "zero" if log <= FLOOR + 0.1 else f"at most {10**log:.2g}"


@dataclass(frozen=True)
class ExplodingGradient(Rule):
    """Make gradients smaller than the weights they change by many orders.

    Gradients this much larger than their weights leave no learning rate that suits all layers.
    Lower the gain of the layers, divide residual branches by the root of their number, normalise,
    or scale down what stands behind the network's output.
    """

    code = "SPP202"
    title = "exploding gradients"
    severity = Severity.ERROR

    relative: float = threshold(1e6, "largest |G|/|W|; benchmarks/verdict")

    def judge(self, evidence: Evidence) -> Outcome:
        """Compare the largest ratio of gradient to weight with the limit."""
        reason = without_loss(evidence)
        if reason:
            return Outcome(skipped=reason)
        largest = largest_relative_gradient(evidence)
        comparison = compare(largest, math.log10(self.relative))
        if not comparison.exceeded:
            return Outcome(margin=comparison.margin)
        return Outcome((self._report(evidence),), margin=comparison.margin)

    def _report(self, evidence: Evidence) -> Finding:
        curve = evidence.relative_gradients
        worst = int(np.nanargmax(curve.typical))
        layer, why, advice, fix = _blame(evidence, curve.layers[worst])
        return self.finding(
            evidence,
            layer,
            signal=Signal.WEIGHT_GRADIENT,
            statistic="norm_to_weight_ratio",
            measured=10 ** float(curve.typical[worst]),
            expected=f"below {self.relative:g}",
            message=f"the gradient of {curve.layers[worst]!r} is "
            f"{10 ** float(curve.typical[worst]):.3g} times as large as its weights{why}",
            advice=advice,
            fix=fix,
        )


@dataclass(frozen=True)
class Imbalance(Rule):
    """Bring forward and backward gains together: the output feels the first layers wrongly.

    Energy is the squared gradient times the mean square of the activation. Where it grows towards
    the input, small changes grow on their way (chaos: weights too large for a bounded nonlinearity,
    a normalisation after every layer without skip paths). Where it falls, the network forgets its
    input: saturation, biases that outweigh the signal, a mean shift.
    """

    code = "SPP203"
    title = "imbalance between forward and backward signal"
    severity = Severity.WARNING

    decades: float = threshold(3.0, "of energy over the stream; benchmarks/verdict")

    def judge(self, evidence: Evidence) -> Outcome:
        """Compare the growth of the energy towards the input with the limit, both ways."""
        change = growth_of_energy(evidence)
        if np.isnan(change).all():
            return Outcome(skipped="no activation gradients along the stream")
        chaos = compare(change, self.decades)
        forgetting = compare(change, -self.decades, below=True)
        if not (chaos.exceeded or forgetting.exceeded):
            return Outcome()
        return Outcome((self._report(evidence, chaos, float(np.nanmedian(change))),))

    def _report(self, evidence: Evidence, chaos: Comparison, change: float) -> Finding:
        curve = evidence.energy
        layer, why, advice, fix = _blame(evidence, curve.layers[0])
        verb = "exceeds" if chaos.exceeded else "falls short of"
        return self.finding(
            evidence,
            layer,
            signal=Signal.GRADIENT,
            statistic="second_moment",
            measured=10**change,
            expected=f"between 1e-{self.decades:g} and 1e{self.decades:g}",
            message=f"gradient times activation at {curve.layers[0]!r} {verb} that at "
            f"{curve.layers[-1]!r} by a factor of {10 ** abs(change):.3g}{why}",
            advice=advice,
            fix=fix,
        )


@dataclass(frozen=True)
class FirstLoss(Rule):
    """Start near chance: make the head's initial weights smaller.

    A network that knows nothing should say so: ln(classes) of cross-entropy. A larger loss is spent
    on unlearning, and its gradients are out of scale.
    """

    code = "SPP204"
    title = "loss at initialisation"
    severity = Severity.WARNING

    over_chance: float = threshold(
        10.0, "loss / that of chance; TheDeepChecker asks within 2; ours"
    )

    def judge(self, evidence: Evidence) -> Outcome:
        """Compare the loss of the untrained network with that of chance."""
        ratio = evidence.loss_over_chance()
        if np.isnan(ratio).all():
            return Outcome(skipped="the loss at initialisation was not recorded")
        if not compare(logarithm(ratio), math.log10(self.over_chance)).exceeded:
            return Outcome()
        measured = float(np.nanmedian(ratio))
        factor = 1.0 / max(float(np.nanmedian(evidence.output("second_moment"))), 1e-30) ** 0.5
        return Outcome((
            self.finding(
                evidence,
                evidence.head,
                statistic="loss / loss of chance",
                measured=measured,
                expected=f"below {self.over_chance:g}",
                message=f"the untrained network's loss is {measured:.3g} times that of chance",
                advice=f"Multiply the head's initial weights by {factor:.3g} to give the outputs "
                "unit scale.",
                fix=Fix("scale initialisation", (evidence.head,), factor),
            ),
        ))  # fmt: skip


@dataclass(frozen=True)
class NoGradient(Rule):
    """Connect these weights to the loss: their gradient does not exist.

    They are frozen (requires_grad), cut off (detach, no_grad, an integer or argmax on the way), or
    not used by the output.
    """

    code = "SPP302"
    title = "weights without gradient"
    severity = Severity.ERROR

    share: float = threshold(0.9, "of all weights: error; below it a warning; benchmarks/verdict")

    def judge(self, evidence: Evidence) -> Outcome:
        """Look for weights of called layers that have no gradient under a real loss."""
        if not evidence.has_loss:
            return Outcome(skipped=NO_LOSS)
        stored = evidence.curves.where(role=Role.PARAMETER, signal=Signal.WEIGHT)
        stored = stored.keep((stored["place"] >= 0) & (stored["seed_number"] == 0)).by("place")
        if not len(stored):
            return Outcome(skipped="no weights were recorded")
        gradients = evidence.under_loss.where(signal=Signal.WEIGHT_GRADIENT)
        reached = set(zip(gradients["layer"], gradients["tensor"], strict=True))
        names = zip(stored["layer"], stored["tensor"], strict=True)
        missing = np.array([name not in reached for name in names])
        if not missing.any():
            return Outcome()
        values = stored["channels"] * stored["samples"]
        share = float(values[missing].sum() / values.sum())
        first = stored.keep(missing).first()
        return Outcome((self._report(evidence, str(first["layer"]), int(missing.sum()), share),))

    def _report(self, evidence: Evidence, layer: str, count: int, share: float) -> Finding:
        return self.finding(
            evidence,
            layer,
            signal=Signal.WEIGHT_GRADIENT,
            statistic="share of weights without gradient",
            measured=share,
            expected="0",
            severity=Severity.ERROR if share > self.share else Severity.WARNING,
            message=f"{count} parameters, {share:.0%} of all values, get no gradient from the "
            f"loss; the first belongs to {layer!r}",
            advice="Set requires_grad, and look for detach(), no_grad() or .data on the way to the "
            "loss. Where they are frozen on purpose, ignore this rule for these layers.",
        )
