"""The first layer at fault: where the network departs from itself, in order of execution."""

from dataclasses import dataclass

import numpy as np

from sppkit.rules.curve import CEILING, FLOOR, Array, Curve, curve_of, median, middle
from sppkit.rules.evidence import Evidence
from sppkit.rules.finding import Fix
from sppkit.rules.initialisation import (
    Weights,
    ignores_groups,
    tables_of_embeddings,
    weights_of,
)
from sppkit.signals import Signal

OUTLYING = 0.6
"""Decades by which a layer's gain differs from that of its peers: a factor of 4, ours."""

SHIFTED = 2.5
"""Decades of squared mean over variance that a shifted layer adds, and reaches, ours."""

BLIND = 1e-10
"""Share of the second moment that differs between samples, below which a layer answers alike."""

STRONG = 4.0
"""Decades over all places from which on a uniform drift explains more than any one layer, ours."""

DRIFTED = 0.5
"""Decades from the first place at which a drift is called one: a factor of 3, ours."""


@dataclass(frozen=True)
class Offender:
    """A layer, and what is wrong with it.

    Attributes:
        layer: qualified name.
        why: half a sentence, behind "because" or a colon.
        advice: what to do, with numbers.
        fix: the same, for a machine.
    """

    layer: str
    why: str
    advice: str
    fix: Fix | None = None


def first_offender(evidence: Evidence) -> Offender | None:
    """Find the layer that differs from its peers, or None where all are alike."""
    weights = weights_of(evidence)
    return (
        _not_finite(evidence)
        or _ignored_groups(weights)
        or _vanishing_weights(evidence, weights)
        or _outlying_weights(evidence, weights)
        or _overwhelming_bias(evidence, weights)
        or _strong_drift(evidence)
        or _shifted(evidence)
        or _dead(evidence)
        or _loud_head(evidence, weights)
        or _jump(evidence)
    )


def _not_finite(evidence: Evidence) -> Offender | None:
    spoilt = evidence.curves.keep(evidence.curves["nonfinite_fraction"] > 0)
    spoilt = spoilt.keep(spoilt["place"] >= 0).by("place")
    forward = spoilt.where(signal=Signal.ACTIVATION)  # backwards it spreads to what lies before
    spoilt = forward if len(forward) else spoilt
    if not len(spoilt):
        return None
    layer = str(spoilt["layer"][0])
    return Offender(layer, "it holds the first values that are not finite", "Re-initialise it.")


def _ignored_groups(weights: tuple[Weights, ...]) -> Offender | None:
    """Find grouped layers whose fan-in was counted without their groups."""
    mistaken = [w for w in weights if ignores_groups(w) and not w.normalised]
    if not mistaken:
        return None
    first, factor = mistaken[0], mistaken[0].groups ** 0.5
    return Offender(
        first.layer,
        f"its initialisation ignores its {first.groups} groups, as {len(mistaken)} layers' do",
        f"Multiply the initial weights of all {len(mistaken)} by √groups = {factor:.3g}.",
        Fix("group-aware fan", tuple(w.layer for w in mistaken), factor),
    )


def _vanishing_weights(evidence: Evidence, weights: tuple[Weights, ...]) -> Offender | None:
    """Find layers that nothing gets through; residual branches may begin so."""
    inner = _inner(evidence, weights)
    gone = [w for w in inner if w.vanish and f"{w.layer}.weight" not in evidence.silent]
    if not gone:
        return None
    first = gone[0]
    zero = f"as good as zero (fan-in x variance = {first.gain:.3g})" if first.gain else "all zero"
    why, advice = f"its weights are {zero}", "Draw its weights anew."
    if len(gone) > 1:
        why = f"{why}, in {len(gone)} layers alike"
        advice = f"Draw the weights of all {len(gone)} anew."
    return Offender(first.layer, why, advice, Fix("re-initialise", tuple(w.layer for w in gone)))


def _outlying_weights(evidence: Evidence, weights: tuple[Weights, ...]) -> Offender | None:
    """Compare each layer's weights with what it needs, and that with its peers."""
    tables = tables_of_embeddings(evidence)
    inner = [w for w in _inner(evidence, weights) if not w.vanish and w.layer not in tables]
    if len(inner) < 3:
        return None
    off = np.log10([w.gain / w.needed for w in inner])
    from_peers = off - np.median(off)
    worst = int(np.argmax(np.abs(from_peers)))
    if abs(from_peers[worst]) < OUTLYING:
        return None
    w, factor = inner[worst], float(10 ** (-from_peers[worst] / 2))
    return Offender(
        w.layer,
        f"its weights have {10 ** from_peers[worst]:.3g} times the variance of its peers' "
        f"(fan-in x variance = {w.gain:.3g})",
        f"Multiply its initial weights by {factor:.3g}.",
        Fix("scale initialisation", (w.layer,), factor),
    )


def _inner(evidence: Evidence, weights: tuple[Weights, ...]) -> list[Weights]:
    """Choose the weights whose scale matters, but for the head's."""
    return [w for w in weights if w.layer != evidence.head and not w.normalised]


def _overwhelming_bias(evidence: Evidence, weights: tuple[Weights, ...]) -> Offender | None:
    """Find a layer whose bias is most of its output."""
    curve = evidence.of_hidden("second_moment")
    outputs = dict(zip(curve.layers, 10**curve.typical, strict=True))
    for w in weights:
        if w.bias > 1.0 and w.bias > 0.8 * outputs.get(w.layer, np.inf):
            return Offender(
                w.layer,
                f"its bias (second moment {w.bias:.3g}) is {w.bias / outputs[w.layer]:.0%} of its "
                f"output",
                "Start the bias at zero.",
                Fix("reset biases", (w.layer,)),
            )
    return None


def _shifted(evidence: Evidence) -> Offender | None:
    """Find a layer that adds a mean which its input does not have, far above what varies."""
    rows = evidence.outputs
    with np.errstate(all="ignore"):
        ratio = rows["average_channel_squared_mean"] / rows["average_channel_variance"]
    curve = curve_of(rows, ratio)
    jumps = np.flatnonzero((steps_of(curve) > SHIFTED) & (curve.typical[1:] > SHIFTED))
    if not jumps.size:
        return None
    layer = curve.layers[int(jumps[0]) + 1]
    return Offender(
        layer,
        f"its squared mean is {10 ** float(curve.typical[jumps[0] + 1]):.3g} times its variance",
        "Take the constant out that it adds, or start its bias at zero.",
        Fix("reset biases", (layer,)),
    )


def _dead(evidence: Evidence) -> Offender | None:
    """Find the first layer whose output is the same for every sample, where the network's is."""
    if evidence.is_muted or (evidence.share_across_samples() > BLIND).any():
        return None
    layer = evidence.metadata.get("alike_from") or _first_without_variance(evidence)
    if not layer:
        return None
    if fading := _fading(evidence):
        return fading
    return Offender(
        layer,
        "its output is the first that is the same for every sample",
        "Look at its bias and its gain: start them at zero and at one.",
        Fix("reset biases", (layer,)),
    )


def _fading(evidence: Evidence) -> Offender | None:
    """Blame all layers alike where each takes the same part of what differs between samples.

    Biases hold the second moment up meanwhile, so that no drift of it is seen.
    """
    curve = evidence.of_hidden("average_channel_variance")
    steps = steps_of(curve)
    known = np.count_nonzero(~np.isnan(steps))
    if known < 3 or -middle(steps) * known < STRONG:
        return None
    factor = 10 ** (-middle(steps) / 2)
    return Offender(
        drifting_from(curve, DRIFTED),
        f"every layer leaves {10 ** middle(steps):.3g} of the variance between samples, and the "
        "output has none",
        f"Multiply the initial weights of all hidden layers by {factor:.3g}.",
        Fix("scale initialisation", _scalable(evidence), factor),
    )


def _first_without_variance(evidence: Evidence) -> str:
    """Name the first layer whose channels do not vary, over samples and positions together."""
    rows = evidence.outputs
    blind = rows["average_channel_variance"] <= BLIND * rows["second_moment"]
    curve = curve_of(rows, blind.astype(np.float64))
    dead = np.flatnonzero(curve.values.min(axis=0) > 0)
    return curve.layers[int(dead[0])] if dead.size else ""


def _loud_head(evidence: Evidence, weights: tuple[Weights, ...]) -> Offender | None:
    """Find a head that makes the outputs large; a quiet one does no harm."""
    head = [w for w in weights if w.layer == evidence.head]
    peers = [w.gain for w in weights if w.layer != evidence.head] or [1.0]
    usual = max(float(np.median(peers)), 1.0)
    if not head or head[0].gain < usual * 10 ** (2 * OUTLYING):
        return None
    factor = head[0].gain ** -0.5
    return Offender(
        evidence.head,
        f"fan-in x variance of the head's weights is {head[0].gain:.3g}",
        f"Multiply the head's initial weights by {factor:.3g}.",
        Fix("scale initialisation", (evidence.head,), factor),
    )


def _jump(evidence: Evidence) -> Offender | None:
    """Find the place of the stream where the signal changes unlike everywhere else."""
    curve = evidence.activation("second_moment")
    steps = steps_of(curve)
    if np.count_nonzero(~np.isnan(steps)) < 3:
        return None
    from_peers = steps - middle(steps)
    worst = int(np.nanargmax(np.abs(from_peers)))
    if abs(from_peers[worst]) < OUTLYING:
        return None
    return Offender(
        curve.layers[worst + 1],
        f"the second moment changes by a factor of {10 ** steps[worst]:.3g} there, and by "
        f"{10 ** middle(steps):.3g} at the median place",
        "Look at what this layer adds or multiplies.",
        Fix("LSUV", (curve.layers[worst + 1],)),
    )


def _strong_drift(evidence: Evidence) -> Offender | None:
    """Blame all layers alike where the median change, over all places, makes decades."""
    steps = steps_of(evidence.activation("second_moment"))
    known = np.count_nonzero(~np.isnan(steps))
    strong = known > 2 and abs(middle(steps)) * known > STRONG
    return uniform_drift(evidence) if strong else None


def uniform_drift(evidence: Evidence) -> Offender:
    """Blame all layers alike, and say what to multiply their weights by."""
    curve = evidence.activation("second_moment")
    factor = 10 ** (-middle(steps_of(curve)) / 2)
    return Offender(
        drifting_from(curve, DRIFTED),
        "every layer does the same",
        f"Multiply the initial weights of all hidden layers by {factor:.3g}.",
        Fix("scale initialisation", _scalable(evidence), factor),
    )


def _scalable(evidence: Evidence) -> tuple[str, ...]:
    """Name the hidden layers whose scale no normalisation takes out again."""
    return tuple(layer for layer in evidence.hidden if layer not in evidence.normalised)


def steps_of(curve: Curve) -> Array:
    """Give the change from each place to the next, in decades, medians over seeds, (P - 1,).

    Undefined where a value lies beyond what logarithms are cut at.
    """
    if len(curve) < 2:
        return np.empty(0)
    inside = (curve.log > FLOOR) & (curve.log < CEILING)
    return median(np.diff(np.where(inside, curve.log, np.nan), axis=1), axis=0)


def drifting_from(curve: Curve, limit: float) -> str:
    """Name the first place that lies further than a limit (decades) from the first."""
    away = np.abs(curve.typical - curve.typical[0])
    beyond = np.flatnonzero(away > limit)
    return curve.layers[int(beyond[0])] if beyond.size else curve.layers[-1]
