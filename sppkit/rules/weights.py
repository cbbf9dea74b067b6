"""Rules about how the weights were drawn."""

import math
from dataclasses import dataclass

import numpy as np

from sppkit.rules.curve import compare, middle
from sppkit.rules.evidence import Evidence
from sppkit.rules.finding import Fix, Severity
from sppkit.rules.initialisation import (
    KNOWN,
    NEAR,
    Weights,
    ignores_groups,
    known_gains,
    tables_of_embeddings,
    weights_of,
)
from sppkit.rules.named import median_weight_size
from sppkit.rules.rule import Outcome, Rule, threshold
from sppkit.signals import Signal


@dataclass(frozen=True)
class UnknownInitialisation(Rule):
    """Draw the weights as the nonlinearity needs it, or know why not.

    The variance of the weights times fan-in fits none of LeCun's, He's (fan-in or fan-out),
    Glorot's and torch's initialisations, nor what keeps the second moment behind the nonlinearity.
    It matters where no normalisation follows. Tables of embeddings have no fan-in: not asked.
    """

    code = "SPP303"
    title = "weight variance of no known initialisation"
    severity = Severity.INFO

    factor: float = threshold(1.5, "of the variance, beside sampling error; TheDeepChecker: F-test")
    deviations: float = threshold(4.0, "standard errors of the variance of n weights; ours")

    def judge(self, evidence: Evidence) -> Outcome:
        """Compare each layer's gain with those of the known initialisations."""
        others = {evidence.head, *tables_of_embeddings(evidence)}
        weights = [w for w in weights_of(evidence) if not w.normalised and w.layer not in others]
        if not weights:
            return Outcome(skipped="a normalisation follows all weights, or none were recorded")
        unknown = [w for w in weights if not w.vanish and self._distance(w) > self._reach(w)]
        if not unknown:
            return Outcome()
        first = unknown[0]
        nearest = min(known_gains(first).items(), key=lambda known: _apart(first.gain, known[1]))
        factor = (first.needed / first.gain) ** 0.5
        return Outcome((
            self.finding(
                evidence,
                first.layer,
                signal=Signal.WEIGHT,
                statistic="fan-in x second_moment",
                measured=first.gain,
                expected=f"{first.needed:.3g} to keep the second moment",
                message=f"the weights of {len(unknown)} of {len(weights)} layers fit no known "
                f"initialisation; the first has fan-in x variance = {first.gain:.3g}, nearest is "
                f"{nearest[0]} ({KNOWN[nearest[0]]}) with {nearest[1]:.3g}",
                advice=f"Multiply the initial weights of {first.layer!r} by {factor:.3g} to keep "
                "the second moment.",
                fix=Fix("scale initialisation", (first.layer,), factor),
            ),
        ))  # fmt: skip

    def _distance(self, weights: Weights) -> float:
        return min(_apart(weights.gain, gain) for gain in known_gains(weights).values())

    def _reach(self, weights: Weights) -> float:
        """Allow for the factor, and for the sampling error of a variance, √(2/n)."""
        sampling = self.deviations * math.sqrt(2.0 / weights.values)
        return math.log(self.factor) + sampling


def _apart(first: float, second: float) -> float:
    return abs(math.log(first / second))


@dataclass(frozen=True)
class GroupsIgnored(Rule):
    """Count the inputs of one group: fan-in is channels in / groups x positions of the kernel.

    An initialisation that takes all input channels for the fan-in makes the weights of a grouped or
    depthwise convolution too small by the root of the number of groups.
    """

    code = "SPP304"
    title = "initialisation ignores groups"
    severity = Severity.WARNING

    nearness: float = threshold(
        NEAR, "factor of the variance to that of the mistake, and not to the right one; ours"
    )

    def judge(self, evidence: Evidence) -> Outcome:
        """Look for grouped layers whose gain is 1/groups of a known one, and no known one."""
        grouped = [w for w in weights_of(evidence) if w.groups > 1 and not w.normalised]
        if not grouped:
            return Outcome(skipped="no grouped convolution without a normalisation behind it")
        mistaken = [w for w in grouped if ignores_groups(w, self.nearness)]
        if not mistaken:
            return Outcome()
        first = mistaken[0]
        factor = math.sqrt(first.groups)
        layers = tuple(w.layer for w in mistaken)
        return Outcome((
            self.finding(
                evidence,
                first.layer,
                signal=Signal.WEIGHT,
                statistic="fan-in x second_moment",
                measured=first.gain,
                expected=f"{first.needed:.3g} to keep the second moment",
                message=f"fan-in x variance of {first.layer!r} is {first.gain:.3g}, "
                f"1/{first.groups} of what a known initialisation gives: its fan-in ignores the "
                f"{first.groups} groups, in {len(mistaken)} of {len(grouped)} grouped layers",
                advice=f"Multiply the initial weights by √groups = {factor:.3g}.",
                fix=Fix("group-aware fan", layers, factor),
            ),
        ))  # fmt: skip


@dataclass(frozen=True)
class LargeWeights(Rule):
    """Draw smaller weights: steps of a usual size cannot turn them.

    A normalisation hides the scale of the weights from the outputs, not from the optimiser: their
    gradient falls with their size, and a step of Adam moves them by a fixed amount. What counts is
    the step relative to the weight (van Laarhoven, 2017, L2 regularization versus batch and weight
    normalization, arXiv 1706.05350, section 2).
    """

    code = "SPP305"
    title = "weights too large to turn"
    severity = Severity.ERROR

    root_mean_square: float = threshold(
        6.0, "median over layers; benchmarks/verdict: most that trained 2.7"
    )

    def judge(self, evidence: Evidence) -> Outcome:
        """Compare the size of the weights of the median layer with the limit."""
        sizes = median_weight_size(evidence)
        if np.isnan(sizes).all():
            return Outcome(skipped="no weights were recorded")
        comparison = compare(sizes, math.log10(self.root_mean_square))
        if not comparison.exceeded:
            return Outcome(margin=comparison.margin)
        weights = weights_of(evidence)
        finite = [w for w in weights if math.isfinite(w.gain)]  # others are SPP401's
        first = max(finite, key=lambda w: w.gain / w.fan_in)
        factor = (first.needed / first.gain) ** 0.5
        return Outcome((
            self.finding(
                evidence,
                first.layer,
                signal=Signal.WEIGHT,
                statistic="root mean square",
                measured=10 ** middle(sizes),
                expected=f"below {self.root_mean_square:g} at the median layer",
                message=f"the weights of the median layer have a root mean square of "
                f"{10 ** middle(sizes):.3g}, the largest are those of {first.layer!r}",
                advice=f"Multiply the initial weights of all layers by {factor:.3g}.",
                fix=Fix("scale initialisation", tuple(w.layer for w in weights), factor),
            ),
        ), margin=comparison.margin)  # fmt: skip
