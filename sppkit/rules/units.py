"""Rules about units: dead, saturated, all alike, or blind to the input."""

import math
from dataclasses import dataclass

import numpy as np

from sppkit.rules.curve import Curve, compare, curve_of, logarithm, middle
from sppkit.rules.evidence import Evidence
from sppkit.rules.finding import Finding, Fix, Severity
from sppkit.rules.initialisation import weights_of
from sppkit.rules.offender import first_offender
from sppkit.rules.rows import Rows
from sppkit.rules.rule import Outcome, Rule, threshold
from sppkit.signals import Signal

RECTIFIERS = frozenset({"relu", "relu6", "threshold"})
SATURATING = frozenset({"tanh", "sigmoid", "softsign", "hardsigmoid", "hardtanh"})

BLIND = -3.0
"""Decades of the share of variance at which a layer's channels are said not to vary, ours."""


@dataclass(frozen=True)
class DeadUnits(Rule):
    """Bring units back to life: they answer zero to every input, and get no gradient.

    Reset large negative biases, lower the mean shift of what enters, or use a leaky nonlinearity.
    """

    code = "SPP501"
    title = "dead units"
    severity = Severity.ERROR

    share: float = threshold(0.5, "of a layer's channels, a warning; SageMaker Debugger, DeadRelu")
    values: float = threshold(64.0, "per channel, of which fewer may be zero by chance; ours")
    all_dead: float = threshold(0.999, "an error where the output hears nothing of the input; ours")

    def judge(self, evidence: Evidence) -> Outcome:
        """Look for the first layer most of whose channels are zero for the whole batch."""
        explained = self._explained(evidence)
        rectified, outputs = self._rectified(evidence), evidence.outputs
        enough = outputs["samples"] >= self.values
        shares = outputs["dead_channel_fraction"]
        for curve in (
            # of few values only a layer that is dead as a whole is one
            curve_of(outputs, np.where(enough | (shares >= self.all_dead), shares, 0.0)),
            curve_of(rectified, (rectified["maximum"] <= 0).astype(float)),
        ):
            passed_on = False  # what only passes zeros on, such as a dropout, is not at fault
            for layer, share in _over_calls(curve).items():
                passed_on = f"{layer}.".startswith(explained) or (
                    passed_on and share >= self.all_dead
                )
                if share > self.share and not passed_on:
                    return Outcome((self._report(evidence, layer, share),))
        return Outcome()

    def _rectified(self, evidence: Evidence) -> Rows:
        """Give rows of the pre-activations of rectifiers; all is dead where none is positive."""
        weighted = evidence.weighted
        rectified = weighted.loc[weighted["nonlinearity"].isin(RECTIFIERS), "layer"]
        return evidence.leaves(set(rectified) - evidence.normalised).where(signal=Signal.ACTIVATION)

    def _explained(self, evidence: Evidence) -> tuple[str, ...]:
        """Begin the names of layers whose zeros a zero weight or gain of their module explains."""
        zero = {name.rpartition(".")[0] for name in evidence.silent} | evidence.zero_weights
        return tuple(f"{layer.rpartition('.')[0] or layer}." for layer in zero)

    def _report(self, evidence: Evidence, layer: str, share: float) -> Finding:
        heard = evidence.is_muted or (evidence.share_across_samples() > 0).any()
        blocked = share >= self.all_dead and not heard
        return self.finding(
            evidence,
            layer,
            signal=Signal.ACTIVATION,
            statistic="dead_channel_fraction",
            measured=float(share),
            expected=f"below {self.share:g}",
            severity=Severity.ERROR if blocked else Severity.WARNING,
            message=f"{share:.0%} of the channels answer zero to every sample",
            advice="Start biases at zero, and keep the mean of what enters near zero.",
            fix=Fix("reset biases", (layer,)),
        )


def _over_calls(curve: Curve) -> dict[str, float]:
    """Give the least share of a layer's calls: a recurrent state may begin at zero."""
    shares: dict[str, float] = {}
    for layer, share in zip(curve.layers, np.nan_to_num(curve.values).mean(axis=0), strict=True):
        shares[layer] = min(float(share), shares.get(layer, 1.0))
    return shares


@dataclass(frozen=True)
class Saturation(Rule):
    """Make the pre-activations smaller: the nonlinearity is flat where they lie.

    Scale the weights so that pre-activations have unit variance (LeCun's initialisation), or
    normalise them.
    """

    code = "SPP502"
    title = "saturation"
    severity = Severity.WARNING

    magnitude: float = threshold(5.0, "of the pre-activation; DeepDiagnosis, 2022")
    share: float = threshold(0.5, "of the values; DeepDiagnosis, 2022")

    def judge(self, evidence: Evidence) -> Outcome:
        """Compare the share of large pre-activations, taken for normal, with the limit."""
        weighted = evidence.weighted
        bounded = weighted.loc[weighted["nonlinearity"].isin(SATURATING), "layer"]
        layers = set(bounded) - evidence.normalised
        means, variances = (evidence.of_layers(layers, c) for c in ("mean", "variance"))
        if not len(means):
            return Outcome(skipped="no layer with weights is followed by a saturating nonlinearity")
        for place, layer in enumerate(means.layers):
            mean = middle(means.values[:, place])
            variance = middle(variances.values[:, place])
            share = _share_beyond(self.magnitude, mean, variance)
            if share > self.share:
                return Outcome((self._report(evidence, layer, share, mean, variance),))
        return Outcome()

    def _report(
        self, evidence: Evidence, layer: str, share: float, mean: float, variance: float
    ) -> Finding:
        factor = 1.0 / max(mean**2 + variance, 1e-30) ** 0.5
        return self.finding(
            evidence,
            layer,
            signal=Signal.ACTIVATION,
            statistic=f"share beyond ±{self.magnitude:g}",
            measured=share,
            expected=f"below {self.share:g}",
            message=f"{share:.0%} of the pre-activations lie beyond ±{self.magnitude:g}, where the "
            f"nonlinearity is flat (mean {mean:.3g}, variance {variance:.3g})",
            advice=f"Multiply the layer's initial weights by {factor:.3g}, with its bias at zero.",
            fix=Fix("scale initialisation", (layer,), factor),
        )


def _share_beyond(magnitude: float, mean: float, variance: float) -> float:
    """Return the probability that a normal variable lies beyond ±magnitude."""
    if not variance > 0:
        return float(abs(mean) > magnitude)
    scale = math.sqrt(2.0 * variance)
    above = 0.5 * math.erfc((magnitude - mean) / scale)
    return above + 0.5 * math.erfc((magnitude + mean) / scale)


@dataclass(frozen=True)
class OneAnswer(Rule):
    """Let the input reach the output: the network says the same about every sample.

    Somewhere the difference between samples is lost: dead or saturated units, a mean over the
    batch, weights of zero, a mean shift that swamps everything.
    """

    code = "SPP503"
    title = "one answer to everything"
    severity = Severity.ERROR

    share: float = threshold(
        1e-8, "variance across samples / second moment; benchmarks/verdict: least that trained 3e-7"
    )

    def judge(self, evidence: Evidence) -> Outcome:
        """Compare the output's variance across samples with its second moment."""
        share = logarithm(evidence.share_across_samples())
        if evidence.zero_head:
            return Outcome(skipped="the head's weights are zero")
        if evidence.is_muted:
            return Outcome(skipped="silent residual branches stand between input and output")
        if np.isnan(share).all():
            return Outcome(skipped="the output was not recorded, or is not finite")
        comparison = compare(share, math.log10(self.share), below=True)
        if not comparison.exceeded:
            return Outcome(margin=comparison.margin)
        return Outcome((self._report(evidence),), margin=comparison.margin)

    def _report(self, evidence: Evidence) -> Finding:
        offender = first_offender(evidence)
        layer = offender.layer if offender else first_blind(evidence)
        share = middle(evidence.share_across_samples())
        return self.finding(
            evidence,
            layer,
            signal=Signal.ACTIVATION,
            statistic="variance across samples / second_moment of the output",
            measured=share,
            expected=f"above {self.share:g}",
            message="the output hardly depends on the input: of its second moment only a share of "
            f"{share:.2g} differs between samples"
            + (f"; {offender.why}" if offender else f"; the difference is lost at {layer!r}"),
            advice=offender.advice if offender else "Look at what this layer does to the samples.",
            fix=offender.fix if offender else None,
        )


def first_blind(evidence: Evidence) -> str:
    """Name the first layer whose channels hardly vary between samples; the head where all do."""
    outputs = evidence.outputs
    with np.errstate(all="ignore"):
        share = outputs["average_channel_variance"] / outputs["second_moment"]
    curve = curve_of(outputs, np.where(outputs["second_moment"] == 0.0, 0.0, share))
    blind = np.flatnonzero(curve.typical <= BLIND)
    return curve.layers[int(blind[0])] if blind.size else evidence.head


@dataclass(frozen=True)
class EqualUnits(Rule):
    """Draw the weights at random: units that start alike stay alike.

    All units of the layer compute the same and get the same gradient, for ever (Goodfellow, Bengio,
    Courville, Deep Learning, 2016, section 8.4: "break symmetry").
    """

    code = "SPP504"
    title = "all units alike"
    severity = Severity.WARNING

    def judge(self, evidence: Evidence) -> Outcome:
        """Look for weight matrices of one value."""
        inner = [w for w in weights_of(evidence) if w.layer != evidence.head]
        equal = [w for w in inner if w.constant and w.groups == 1 and w.fan_in > 1]
        if not equal:
            return Outcome()
        everywhere = len(equal) > len(inner) / 2
        first = equal[0].layer
        return Outcome((
            self.finding(
                evidence,
                first,
                signal=Signal.WEIGHT,
                statistic="variance",
                measured=0.0,
                expected="above 0",
                severity=Severity.ERROR if everywhere else Severity.WARNING,
                message=f"all weights of {len(equal)} of {len(inner)} hidden layers are equal, so "
                "that their units are and stay alike",
                advice="Draw them at random (torch.nn.init.kaiming_normal_).",
                fix=Fix("re-initialise", tuple(w.layer for w in equal)),
            ),
        ))  # fmt: skip


@dataclass(frozen=True)
class SaturatedAttention(Rule):
    """Divide the attention logits by √d: the softmax has made up its mind.

    Of queries and keys with unit variance the logits have variance d; divided by √d they have unit
    variance (Vaswani et al., 2017, arXiv 1706.03762, section 3.2.1).
    """

    code = "SPP505"
    title = "saturated softmax"
    severity = Severity.WARNING

    certainty: float = threshold(0.8, "Σp² of a softmax within the network; ours")
    fewest: float = threshold(4.0, "answers of the softmax; ours")

    def judge(self, evidence: Evidence) -> Outcome:
        """Look for a softmax within the network whose answers are nearly all or nothing."""
        inner = evidence.curves.where(layer_type="Softmax", signal=Signal.ACTIVATION)
        inner = inner.keep((inner["mean"] > 0) & (inner["mean"] <= 1.0 / self.fewest))
        if not len(inner):
            return Outcome(skipped="no softmax within the network is a module of its own")
        certainty = curve_of(inner, inner["second_moment"] / inner["mean"])
        for place, layer in enumerate(certainty.layers):
            if compare(certainty.log[:, place], math.log10(self.certainty)).exceeded:
                measured = 10 ** float(certainty.typical[place])
                return Outcome((self._report(evidence, layer, measured),))
        return Outcome()

    def _report(self, evidence: Evidence, layer: str, measured: float) -> Finding:
        return self.finding(
            evidence,
            layer,
            signal=Signal.ACTIVATION,
            statistic="Σp²",
            measured=measured,
            expected=f"below {self.certainty:g}",
            message=f"the softmax gives nearly all to one answer (Σp² = {measured:.2g}): its "
            "gradient is next to nothing",
            advice="Divide the logits by √d, or normalise queries and keys.",
            fix=Fix("attention scale", (layer,)),
        )
