"""Rules about gradients: vanishing, exploding, unlike the activations, missing; the first loss."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sppkit.rules.curve import FLOOR, Array, compare, logarithm, middle
from sppkit.rules.evidence import Evidence
from sppkit.rules.finding import Finding, Fix, Severity
from sppkit.rules.named import (
    growth_of_energy,
    largest_relative_gradient,
    median_relative_gradient,
)
from sppkit.rules.offender import DRIFTED, Offender, first_offender, steps_of, uniform_drift
from sppkit.rules.rows import Rows
from sppkit.rules.rule import Outcome, Rule, threshold
from sppkit.signals import DEFAULT_SIGNALS, Role, Signal

BOUNDING = frozenset(
    {
        *("softmax", "sigmoid", "relu", "tanh", "relu6", "hardsigmoid"),
        *("hardtanh", "softsign"),
    }
)

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
    offender = first_offender(evidence) or _drift(evidence)
    if offender:
        return offender.layer, f": {offender.why}", offender.advice, offender.fix
    fix = Fix("LSUV", evidence.hidden)
    return otherwise, "", "Rescale the weights layer by layer to unit variance (LSUV).", fix


def _drift(evidence: Evidence) -> Offender | None:
    """Blame all layers alike where the signal drifts by the same factor at most places."""
    steps = steps_of(evidence.activation("second_moment"))
    known = np.count_nonzero(~np.isnan(steps)) > 1
    drifts = known and abs(middle(steps)) * len(steps) > 2 * DRIFTED
    return uniform_drift(evidence) if drifts else None


@dataclass(frozen=True)
class VanishingGradient(Rule):
    """Let gradients arrive: at every layer they are next to nothing beside the weights.

    In healthy networks the largest ratio of gradient to weight lies within a few decades of 1;
    below 3e-5 hardly any network of the benchmark trained, with any optimiser. Keep the gain of
    every layer near the one that preserves the second moment, add skip paths, or normalise.
    """

    code = "SPP201"
    title = "vanishing gradients"
    severity = Severity.ERROR

    relative: float = threshold(
        3e-5, "largest |G|/|W|; benchmarks/verdict: all but one that trained 9e-5 or more"
    )

    def judge(self, evidence: Evidence) -> Outcome:
        """Compare the largest ratio of gradient to weight with the limit."""
        reason = without_loss(evidence)
        if reason:
            return Outcome(skipped=reason)
        ratios = largest_relative_gradient(evidence)
        comparison = compare(ratios, math.log10(self.relative), below=True)
        if not comparison.exceeded:
            return Outcome(margin=comparison.margin)
        return Outcome((self._report(evidence, ratios),), margin=comparison.margin)

    def _report(self, evidence: Evidence, ratios: Array) -> Finding:
        largest = middle(ratios)
        layers = evidence.relative_gradients.layers
        layer, why, advice, fix = _blame(evidence, layers[0])
        return self.finding(
            evidence,
            layer,
            signal=Signal.WEIGHT_GRADIENT,
            statistic="norm_to_weight_ratio",
            measured=10**largest,
            expected=f"above {self.relative:g} at some layer",
            message=f"gradients do not arrive: |gradient| / |weight| is {_power(largest)} at each "
            f"of {len(layers)} layers{why}",
            advice=advice,
            fix=fix,
        )


def _power(log: float) -> str:
    return "zero" if log <= FLOOR + 0.1 else f"at most {10**log:.2g}"


@dataclass(frozen=True)
class ExplodingGradient(Rule):
    """Make gradients smaller: at the median layer they are hundreds of times its weights.

    Gradients this much larger than their weights leave no learning rate that suits all layers.
    Lower the gain of the layers, divide residual branches by the root of their number, normalise,
    or scale down what stands behind the network's output.
    """

    code = "SPP202"
    title = "exploding gradients"
    severity = Severity.ERROR

    relative: float = threshold(
        600.0, "median |G|/|W|; benchmarks/verdict: all but one that trained 250 or less"
    )

    def judge(self, evidence: Evidence) -> Outcome:
        """Compare the median ratio of gradient to weight with the limit."""
        reason = without_loss(evidence)
        if reason:
            return Outcome(skipped=reason)
        ratios = median_relative_gradient(evidence)
        comparison = compare(ratios, math.log10(self.relative))
        if not comparison.exceeded:
            return Outcome(margin=comparison.margin)
        return Outcome((self._report(evidence, ratios),), margin=comparison.margin)

    def _report(self, evidence: Evidence, ratios: Array) -> Finding:
        curve = evidence.relative_gradients
        worst = curve.layers[int(np.nanargmax(curve.typical))]
        layer, why, advice, fix = _blame(evidence, worst)
        median = 10 ** middle(ratios)
        return self.finding(
            evidence,
            layer,
            signal=Signal.WEIGHT_GRADIENT,
            statistic="norm_to_weight_ratio",
            measured=median,
            expected=f"below {self.relative:g} at the median layer",
            message="gradients explode: at the median layer |gradient| / |weight| is "
            f"{median:.3g}, the most at {worst!r}{why}",
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
    severity = Severity.ERROR

    chaos: float = threshold(2.75, "decades of energy; benchmarks/verdict: most that trained 2.6")
    forgetting: float = threshold(6.5, "decades; benchmarks/verdict: most that trained 6.1")

    def judge(self, evidence: Evidence) -> Outcome:
        """Compare the growth of the energy towards the input with the limit, both ways."""
        change = growth_of_energy(evidence)
        if np.isnan(change).all():
            return Outcome(skipped="no gradients of first layer and head, or branches silence them")
        chaos = compare(change, self.chaos)
        forgetting = compare(change, -self.forgetting, below=True)
        margin = max(chaos.margin, forgetting.margin)
        if margin <= 0:
            return Outcome(margin=margin)
        return Outcome((self._report(evidence, middle(change)),), margin=margin)

    def _report(self, evidence: Evidence, change: float) -> Finding:
        first = str(evidence.weighted["layer"].iloc[0])
        layer, why, advice, fix = _blame(evidence, first)
        verb = "exceeds" if change > 0 else "falls short of"
        return self.finding(
            evidence,
            layer,
            signal=Signal.GRADIENT,
            statistic="second_moment",
            measured=10**change,
            expected=f"between 1e-{self.forgetting:g} and 1e{self.chaos:g}",
            message=f"gradient times activation at {first!r} {verb} that at "
            f"{evidence.head or 'the output'!r} by a factor of {10 ** abs(change):.3g}{why}",
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

    over_chance: float = threshold(30.0, "loss / that of chance; TheDeepChecker asks for 2; ours")
    hopeless: float = threshold(
        1000.0, "an error; benchmarks/verdict: all but two that trained 700"
    )

    def judge(self, evidence: Evidence) -> Outcome:
        """Compare the loss of the untrained network with that of chance."""
        ratio = evidence.loss_over_chance()
        if np.isnan(ratio).all():
            return Outcome(skipped="the loss at initialisation was not recorded")
        error = compare(logarithm(ratio), math.log10(self.hopeless))
        if not compare(logarithm(ratio), math.log10(self.over_chance)).exceeded:
            return Outcome(margin=error.margin)
        measured = middle(ratio)
        offender = first_offender(evidence) or _drift(evidence) or _head_of(evidence)
        return Outcome((
            self.finding(
                evidence,
                offender.layer,
                statistic="loss / loss of chance",
                severity=Severity.ERROR if error.exceeded else Severity.WARNING,
                measured=measured,
                expected=f"below {self.over_chance:g}",
                message=f"the untrained network's loss is {measured:.3g} times that of chance: "
                f"{offender.why}",
                advice=offender.advice,
                fix=offender.fix,
            ),
        ), margin=error.margin)  # fmt: skip


def _head_of(evidence: Evidence) -> Offender:
    """Blame the scale of the outputs, and say what to multiply the head by."""
    moment = middle(evidence.output("second_moment"))
    if math.isnan(moment):
        why = "no layer differs from its peers, and the scale of the outputs was not recorded"
        return Offender(evidence.head, why, "Make the head's initial weights smaller.")
    factor = max(moment, 1e-30) ** -0.5
    return Offender(
        evidence.head,
        f"the outputs have a root mean square of {1 / factor:.3g}",
        f"Multiply the head's initial weights by {factor:.3g} to give the outputs unit scale.",
        Fix("scale initialisation", (evidence.head,), factor),
    )


@dataclass(frozen=True)
class BoundedLogits(Rule):
    """Give cross-entropy the head's output as it is: it takes the softmax itself.

    Probabilities in place of logits lie between 0 and 1, so that the loss can hardly fall and its
    gradients are small; a ReLU cuts half of the logits off. Where the loss takes probabilities
    (NLLLoss of their logarithm, BCELoss), ignore this rule.
    """

    code = "SPP205"
    title = "nonlinearity between head and loss"
    severity = Severity.WARNING

    def judge(self, evidence: Evidence) -> Outcome:
        """Look for a nonlinearity behind the last weighted layer."""
        loss = evidence.metadata.get("loss")
        kind = loss.get("kind", "") if isinstance(loss, Mapping) else ""
        if kind != "cross-entropy" or not evidence.head:
            return Outcome(skipped="the loss was no cross-entropy, or there is no head")
        head = evidence.weighted[evidence.weighted["layer"] == evidence.head].iloc[-1]
        behind = head["nonlinearity"] if isinstance(head["nonlinearity"], str) else ""
        if behind not in BOUNDING:
            return Outcome()
        return Outcome((
            self.finding(
                evidence,
                evidence.head,
                signal=Signal.ACTIVATION,
                statistic="nonlinearity",
                measured=None,
                expected="none, or log_softmax",
                message=f"a {behind} stands between the head and the loss: cross-entropy takes "
                "logits",
                advice=f"Return the output of {evidence.head!r} as it is, and apply the {behind} "
                "only to predict.",
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
    foretells = False

    share: float = threshold(0.9, "of all weights: error; below it a warning; benchmarks/verdict")

    def judge(self, evidence: Evidence) -> Outcome:
        """Look for weights of called layers that have no gradient under a real loss."""
        if not evidence.has_loss:
            return Outcome(skipped=NO_LOSS)
        stored = evidence.curves.where(role=Role.PARAMETER, signal=Signal.WEIGHT)
        stored = stored.keep((stored["place"] >= 0) & (stored["seed_number"] == 0)).by("place")
        if not len(stored):
            return Outcome(skipped="no weights were recorded")
        if Signal.WEIGHT_GRADIENT not in evidence.metadata.get("signals", DEFAULT_SIGNALS):
            return Outcome(skipped="gradients of weights were not recorded")
        gradients = evidence.under_loss.where(signal=Signal.WEIGHT_GRADIENT)
        reached = set(zip(gradients["layer"], gradients["tensor"], strict=True))
        names = zip(stored["layer"], stored["tensor"], strict=True)
        missing = np.array([name not in reached for name in names])
        if not missing.any():
            return Outcome()
        values = stored["channels"] * stored["samples"]
        share = float(values[missing].sum() / values.sum())
        # where all up to some layer lack a gradient, it stops behind that layer
        stops = missing[: int(np.flatnonzero(missing)[-1]) + 1].all()
        at = Rows(stored.column, stored.number[missing][-1:]) if stops else stored.keep(missing)
        layer, count = str(at["layer"][0]), int(missing.sum())
        return Outcome((self._report(evidence, layer, count, share, bool(stops)),))

    def _report(
        self, evidence: Evidence, layer: str, count: int, share: float, stops: bool
    ) -> Finding:
        where = f"it stops behind {layer!r}" if stops else f"the first belongs to {layer!r}"
        return self.finding(
            evidence,
            layer,
            signal=Signal.WEIGHT_GRADIENT,
            statistic="share of weights without gradient",
            measured=share,
            expected="0",
            severity=Severity.ERROR if share > self.share else Severity.WARNING,
            message=f"{count} parameters, {share:.0%} of all values, get no gradient from the "
            f"loss; {where}",
            advice="Set requires_grad, and look for detach(), no_grad() or .data on the way to the "
            "loss. Where they are frozen on purpose, ignore this rule for these layers.",
        )
