"""A rule about plain networks: how deep a signal gets, by mean-field theory."""

import math
from dataclasses import dataclass

import numpy as np

from sppkit.expectation import plain_layers
from sppkit.rules.curve import Array
from sppkit.rules.evidence import Evidence
from sppkit.rules.finding import Finding, Fix, Severity
from sppkit.rules.initialisation import VANISHING
from sppkit.rules.rule import Outcome, Rule, threshold
from sppkit.signals import Signal
from sppkit.theory import NONLINEARITIES, PlainLayer, gradient_factor

STATISTIC = "chi, the factor of squared gradients per layer"


@dataclass(frozen=True)
class DepthScale(Rule):
    """Bring the network to the edge of chaos, where a signal gets arbitrarily deep.

    Each layer of a plain network multiplies squared gradients by chi = s_w E[g'(h)²], computed from
    its own weights and pre-activations. Below 1 (ordered phase) gradients vanish and inputs become
    alike; above 1 (chaotic phase) gradients explode and neighbours part. Choose the variance of the
    weights so that chi is 1, add skip paths, or normalise.
    """

    code = "SPP108"
    title = "deeper than the depth scale"
    severity = Severity.WARNING

    depth_scales: float = threshold(6.0, "Schoenholz et al., 2017, arXiv 1611.01232, figure 5")

    def judge(self, evidence: Evidence) -> Outcome:
        """Compare the depth with the scale over which squared gradients change by e."""
        layers = plain_layers(evidence.structure, evidence.table)
        if layers is None or len(layers) < 3:
            return Outcome(skipped="no plain fully connected network of three layers or more")
        lengths = 10 ** evidence.of_layers(set(evidence.weighted["layer"]), "second_moment").typical
        if not all(_is_plain(layer) for layer in layers[1:]) or not np.isfinite(lengths).all():
            return Outcome(skipped="there are normalisations between its layers, or no numbers")
        factors = _factors(layers[1:-1], lengths)
        # a single outlying layer is another rule's matter
        rate = float(np.median(np.log(np.maximum(factors, 1e-30))))
        if abs(rate) * len(layers) <= self.depth_scales:
            return Outcome()
        inner = zip(evidence.hidden[1:], layers[1:-1], strict=False)
        gone = tuple(name for name, layer in inner if layer.weight_variance < VANISHING)
        if 2 * len(gone) >= len(factors):  # the median is theirs
            return Outcome((self._report_vanishing(evidence, gone, factors),))
        return Outcome((self._report(evidence, math.exp(rate), len(layers)),))

    def _report_vanishing(
        self, evidence: Evidence, gone: tuple[str, ...], factors: Array
    ) -> Finding:
        least = float(factors.min())
        return self.finding(
            evidence,
            gone[0],
            signal=Signal.WEIGHT,
            statistic=STATISTIC,
            measured=least,
            expected=self._expected(len(factors) + 2),
            message=f"the weights of {len(gone)} of {len(factors)} layers between the first and "
            "the head are zero, or as good as zero: they multiply squared gradients by "
            f"{least:.3g}",
            advice="Draw their weights anew.",
            fix=Fix("re-initialise", gone),
        )

    def _expected(self, depth: int) -> str:
        limit = self.depth_scales / depth
        return f"within {math.exp(-limit):.3g} to {math.exp(limit):.3g} for {depth} layers"

    def _report(self, evidence: Evidence, factor: float, depth: int) -> Finding:
        scale = 1.0 / abs(math.log(factor))
        phase = "ordered" if factor < 1 else "chaotic"
        inner = evidence.hidden[1:]
        return self.finding(
            evidence,
            evidence.hidden[0],
            signal=Signal.WEIGHT,
            statistic=STATISTIC,
            measured=factor,
            expected=self._expected(depth),
            message=f"each layer multiplies squared gradients by {factor:.3g} ({phase} phase): its "
            f"depth scale is {scale:.2g} layers, the network has {depth}",
            advice=f"Multiply the initial weights of the hidden layers by {factor**-0.5:.3g}.",
            fix=Fix("scale initialisation", inner, factor**-0.5),
        )


def _is_plain(layer: PlainLayer) -> bool:
    return len(layer.before) <= 1 and set(layer.before) <= set(NONLINEARITIES)


def _factors(layers: list[PlainLayer], lengths: Array) -> Array:
    """Give chi of each layer behind the first, at the measured pre-activations before it."""
    return np.array(
        [
            gradient_factor(
                float(length),
                weight_variance=layer.weight_variance,
                nonlinearity=layer.before[0] if layer.before else "identity",
            )
            for layer, length in zip(layers, lengths, strict=False)
        ]
    )
