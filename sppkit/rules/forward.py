"""Rules about the forward signal: drift, gains, mean shift, the domain of SELU."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sppkit.rules.curve import Array, Curve, compare, median, middle
from sppkit.rules.evidence import Evidence
from sppkit.rules.finding import Finding, Fix, Severity
from sppkit.rules.initialisation import tables_of_embeddings
from sppkit.rules.named import noise_of_dropout, share_of_variance
from sppkit.rules.offender import drifting_from, first_offender, steps_of, uniform_drift
from sppkit.rules.rule import Outcome, Rule, threshold
from sppkit.signals import Signal

TOO_SHORT = "fewer than three places at which the signal's scale means something"


@dataclass(frozen=True)
class ForwardDrift(Rule):
    """Scale the initial weights so that each layer keeps the second moment of its input.

    A signal that shrinks or grows by the same factor in every layer leaves the range in which
    nonlinearities, losses and number formats work. Use He's initialisation (ReLU), LeCun's (SELU,
    tanh, none), a normalisation, or scaled weight standardisation with the nonlinearity's gain.
    """

    code = "SPP101"
    title = "forward drift"
    severity = Severity.ERROR

    decay: float = threshold(9.0, "decades; benchmarks/verdict: most that trained 8.2")
    growth: float = threshold(
        9.0, "decades; benchmarks/verdict: most that trained 6.6, but for one"
    )

    def judge(self, evidence: Evidence) -> Outcome:
        """Compare the change of the second moment along the stream with the limits."""
        curve = evidence.activation("second_moment")
        if len(curve) < 3:
            return Outcome(skipped=TOO_SHORT)
        change = curve.log[:, -1] - curve.log[:, 0]
        growth, decay = compare(change, self.growth), compare(change, -self.decay, below=True)
        worse = growth if growth.margin > decay.margin else decay
        if not worse.exceeded:
            return Outcome(margin=worse.margin)
        return Outcome(
            (self._report(evidence, curve, middle(change)),),
            margin=worse.margin,
        )

    def _report(self, evidence: Evidence, curve: Curve, change: float) -> Finding:
        offender = first_offender(evidence) or uniform_drift(evidence)
        verb = "grows" if change > 0 else "shrinks"
        per_place = 10 ** (change / (len(curve) - 1))
        return self.finding(
            evidence,
            offender.layer,
            signal=Signal.ACTIVATION,
            statistic="second_moment",
            measured=10**change,
            expected=f"between 1e-{self.decay:g} and 1e{self.growth:g}",
            message=(
                f"the second moment {verb} by a factor of {10 ** abs(change):.3g} over "
                f"{len(curve)} places ({per_place:.3g} at each): {offender.why}"
            ),
            advice=offender.advice,
            fix=offender.fix,
        )


@dataclass(frozen=True)
class GainOfPlace(Rule):
    """Look at this place: it changes the signal's scale unlike its peers.

    A layer that was initialised differently from the others, a factor that is missing or doubled, a
    merge without its constant.
    """

    code = "SPP102"
    title = "gain of a block or layer off its peers"
    severity = Severity.WARNING

    factor: float = threshold(30.0, "of second moments, against the median place; ours")
    deviations: float = threshold(3.0, "of the seeds' standard error; ours")

    def judge(self, evidence: Evidence) -> Outcome:
        """Compare the change at each place with that at the median place."""
        curve = evidence.activation("second_moment")
        if len(curve) < 4:
            return Outcome(skipped="fewer than four places: there are no peers to compare with")
        usual = steps_of(curve)
        away = np.diff(curve.log, axis=1) - middle(usual)
        limit = math.log10(self.factor)
        for place in map(int, np.flatnonzero(~np.isnan(usual))):
            comparison = compare(np.abs(away[:, place]), limit)
            if comparison.margin > self.deviations:
                return Outcome((self._report(evidence, curve, place),))
        return Outcome()

    def _report(self, evidence: Evidence, curve: Curve, place: int) -> Finding:
        steps = steps_of(curve)
        usual, here = 10 ** middle(steps), 10 ** float(steps[place])
        return self.finding(
            evidence,
            curve.layers[place + 1],
            signal=Signal.ACTIVATION,
            statistic="second_moment",
            measured=here,
            expected=f"{usual:.3g}, as at the median place, within a factor of {self.factor:g}",
            message=f"the second moment changes by a factor of {here:.3g}; by {usual:.3g} at the "
            "median place",
            advice=f"Multiply its initial weights by {(usual / here) ** 0.5:.3g}, or add what is "
            "missing in front of it.",
            fix=Fix("scale initialisation", (curve.layers[place + 1],), (usual / here) ** 0.5),
        )


@dataclass(frozen=True)
class ExponentialDrift(Rule):
    """Make the change per block smaller: it multiplies, and depth turns it into a power.

    A residual stream may grow linearly, by one block's worth at a time. Here a constant factor per
    block describes it better: branches that grow with the stream want a normalisation in front, a
    division by the expected deviation (beta), or a factor of 1/√depth.
    """

    code = "SPP103"
    title = "exponential drift"
    severity = Severity.WARNING

    total: float = threshold(math.log10(50.0), "decades over all places, slope x depth; ours")

    def judge(self, evidence: Evidence) -> Outcome:
        """Take the median factor per place, and let an addition per place compete with it."""
        curve = evidence.activation("second_moment")
        if len(curve) < 4:
            return Outcome(skipped="fewer than four places: no slope to speak of")
        slopes = median(np.diff(curve.log, axis=1), axis=1)  # a single jump is SPP102's
        total = slopes * (len(curve) - 1)
        in_all = curve.log[:, -1] - curve.log[:, 0]  # small where transitions set it back
        drifts = all(compare(np.abs(change), self.total).exceeded for change in (total, in_all))
        if not drifts or _linear_is_better(curve.typical):
            return Outcome()
        factor = 10 ** middle(slopes)
        return Outcome((
            self.finding(
                evidence,
                drifting_from(curve, 0.5),
                signal=Signal.ACTIVATION,
                statistic="second_moment",
                measured=factor,
                expected=f"within {10 ** (self.total / (len(curve) - 1)):.3g} per place",
                message=f"the second moment changes by a factor of {factor:.3g} at every place, "
                f"{10 ** middle(total):.3g} over all {len(curve)}",
                advice=f"Multiply the initial weights by {factor ** -0.5:.3g}, or normalise.",
                fix=Fix("scale initialisation", evidence.hidden, factor**-0.5),
            ),
        ))  # fmt: skip


def _linear_is_better(log: Array) -> bool:
    """Say whether value = a + b place leaves less unexplained in the logarithm than a power."""
    place = np.arange(log.size, dtype=np.float64)
    if not np.isfinite(log).all():
        return False
    power = np.polyval(np.polyfit(place, log, 1), place)
    value = 10.0**log
    weights = 1.0 / value  # relative errors, as those of the logarithm are
    line = np.polyval(np.polyfit(place, value, 1, w=weights), place)
    if (line <= 0).any():
        return False
    return bool(np.sum((np.log10(line) - log) ** 2) < np.sum((power - log) ** 2))


@dataclass(frozen=True)
class MeanShift(Rule):
    """Take the mean out of the signal: all samples look alike to the layers behind.

    The average channel squared mean swamps the average channel variance. Scaled weight
    standardisation makes each filter sum to zero; batch normalisation subtracts the mean; an odd or
    self-normalising nonlinearity does not produce one.
    """

    code = "SPP104"
    title = "mean shift"
    severity = Severity.WARNING

    ratio: float = threshold(100.0, "squared mean over variance; He/ReLU of depth 20 has 15; ours")

    def judge(self, evidence: Evidence) -> Outcome:
        """Look for the first pre-activation whose channels hardly differ between samples.

        Tables of embeddings are not asked: they have no input to keep apart.
        """
        curve = share_of_variance(evidence)
        if not len(curve):
            return Outcome(skipped="no hidden layer with weights")
        limit = -math.log10(1.0 + self.ratio)
        tables = tables_of_embeddings(evidence)
        for place, layer in enumerate(curve.layers):
            if layer in tables:
                continue
            if compare(curve.log[:, place], limit, below=True).exceeded:
                share = 10 ** float(curve.typical[place])
                return Outcome((self._report(evidence, layer, (1 - share) / share),))
        return Outcome()

    def _report(self, evidence: Evidence, layer: str, ratio: float) -> Finding:
        return self.finding(
            evidence,
            layer,
            signal=Signal.ACTIVATION,
            statistic="average_channel_squared_mean / average_channel_variance",
            measured=ratio,
            expected=f"below {self.ratio:g}",
            message=f"the mean of the channels swamps what differs between samples: the average "
            f"channel squared mean is {ratio:.3g} times the average channel variance",
            advice="Standardise the weights (each filter summing to zero), normalise, or use a "
            "self-normalising nonlinearity (SELU with LeCun's initialisation).",
            fix=Fix("scaled weight standardisation", evidence.hidden),
        )


@dataclass(frozen=True)
class SeluDomain(Rule):
    """Keep the inputs of SELU near mean 0 and variance 1: LeCun normal, no bias, no other dropout.

    Inside the domain every layer pulls mean and variance back to the fixed point (0, 1); outside
    nothing is promised.
    """

    code = "SPP107"
    title = "domain of self-normalisation left"
    severity = Severity.WARNING

    mean: float = threshold(0.1, "Klambauer et al., 2017, arXiv 1706.02515, theorem 1")
    least_variance: float = threshold(0.8, "the same")
    largest_variance: float = threshold(1.5, "the same")
    share: float = threshold(0.5, "of the layers in front of SELU; ours")

    def judge(self, evidence: Evidence) -> Outcome:
        """Compare mean and variance of what enters SELU with the domain of theorem 1."""
        selu = set(evidence.weighted[evidence.weighted["nonlinearity"] == "selu"]["layer"])
        means, variances = (evidence.of_layers(selu, c) for c in ("mean", "variance"))
        if not len(means):
            return Outcome(skipped="no layer with weights is followed by SELU")
        mean, variance = median(means.values, axis=0), median(variances.values, axis=0)
        outside = (np.abs(mean) > self.mean) | ~(
            (self.least_variance <= variance) & (variance <= self.largest_variance)
        )
        if outside.mean() <= self.share:
            return Outcome()
        first = int(np.flatnonzero(outside)[0])
        return Outcome((
            self.finding(
                evidence,
                means.layers[first],
                signal=Signal.ACTIVATION,
                statistic="variance",
                measured=float(variance[first]),
                expected=f"mean within ±{self.mean:g}, variance {self.least_variance:g} to "
                f"{self.largest_variance:g}",
                message=f"SELU is fed mean {mean[first]:.3g} and variance {variance[first]:.3g}, "
                f"outside the domain of self-normalisation, in {outside.sum()} of "
                f"{len(outside)} layers",
                advice=f"Multiply the initial weights by {variance[first] ** -0.5:.3g} (LeCun "
                "normal: variance 1 / fan-in), with biases at zero.",
                fix=Fix("scale initialisation", means.layers, float(variance[first] ** -0.5)),
            ),
        ))  # fmt: skip


@dataclass(frozen=True)
class DropoutNoise(Rule):
    """Drop less, in fewer places: each dropout adds noise that the next layers multiply.

    Values are kept with probability 1 - p and divided by it, which multiplies their second moment
    by 1 / (1 - p). Without skip paths the factors of all layers multiply, and what they add is
    noise, not signal.
    """

    code = "SPP109"
    title = "noise of dropout"
    severity = Severity.ERROR

    decades: float = threshold(1.5, "sum of log10 1/(1 - p); benchmarks/verdict: most trained 0.7")

    def judge(self, evidence: Evidence) -> Outcome:
        """Add up the noise of all dropout layers."""
        if evidence.has_blocks or evidence.has_several_outputs:
            return Outcome(skipped="dropout does not multiply from layer to layer here")
        noise = noise_of_dropout(evidence)
        comparison = compare(noise, self.decades)
        if not comparison.exceeded:
            return Outcome(margin=comparison.margin)
        types = evidence.structure["layer_type"].str.contains("Dropout")
        first = str(evidence.structure[types].sort_values("depth")["layer"].iloc[0])
        total = middle(noise)
        return Outcome((
            self.finding(
                evidence,
                first,
                signal=Signal.ACTIVATION,
                statistic="Π 1/(1 - p) over the dropout layers",
                measured=10**total,
                expected=f"below {10**self.decades:.3g}",
                message=f"{int(types.sum())} dropout layers multiply the second moment by "
                f"{10**total:.3g} in all, and what they add is noise",
                advice=f"Lower p to {1 - 10 ** (-0.5 / int(types.sum())):.2g} in each, or drop "
                "only before the head.",
            ),
        ), margin=comparison.margin)  # fmt: skip


@dataclass(frozen=True)
class Bottleneck(Rule):
    """Widen the layer: one number cannot tell several classes apart.

    All that the layers behind it know of a sample is a single value. Two or three are a bottleneck
    as well, and are told as a warning.
    """

    code = "SPP110"
    title = "bottleneck"
    severity = Severity.ERROR

    values: float = threshold(1.0, "per sample, an error; rank 1 separates no three classes")
    few: float = threshold(3.0, "per sample, a warning; ours")

    def judge(self, evidence: Evidence) -> Outcome:
        """Look for a layer that all paths pass and that returns one value, or a few."""
        loss = evidence.metadata.get("loss")
        classes = loss.get("classes", 0) if isinstance(loss, Mapping) else 0
        if classes < 3 or evidence.has_blocks:
            return Outcome(skipped="no classifier of three classes or more without skip paths")
        narrow = [found for found in _passages(evidence) if found[1] <= self.few]
        if not narrow:
            return Outcome()
        layer, values = min(narrow, key=lambda found: found[1])
        return Outcome((
            self.finding(
                evidence,
                layer,
                signal=Signal.ACTIVATION,
                statistic="values per sample",
                measured=values,
                expected=f"{classes} classes ask for more than {self.few:g}",
                severity=Severity.ERROR if values <= self.values else Severity.WARNING,
                message=f"everything passes {layer!r}, which returns {values:g} values per sample, "
                f"to tell {classes} classes apart",
                advice="Widen the layer.",
            ),
        ))  # fmt: skip


def _passages(evidence: Evidence) -> list[tuple[str, float]]:
    """Give name and values per sample of hidden layers that all paths pass.

    Between it and its neighbours in order of execution nothing else may stand than what the
    structure says of both, and what it returns must be what the next takes.
    """
    rows = evidence.weighted
    outputs = evidence.leaves(set(rows["layer"])).where(signal=Signal.ACTIVATION)
    per_sample = outputs["channels"] * outputs["samples"] / np.maximum(outputs["batch"], 1)
    values = dict(zip(outputs["layer"], per_sample, strict=True))
    columns = ["layer", "before", "after", "fan_in", "computes"]
    layers = list(rows[columns].fillna("").itertuples(index=False, name=None))
    return [
        (here[0], float(values[here[0]]))
        for last, here, following in zip(layers, layers[1:], layers[2:], strict=False)
        if last[2] == here[1] and here[2] == following[1] and here[0] in values
        and following[4] == "linear" and following[3] == values[here[0]]
    ]  # fmt: skip
