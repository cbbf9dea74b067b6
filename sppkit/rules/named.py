"""The named statistics that the weighing rule weighs: decadic logarithms, one per seed.

Each is a function of the evidence of one run; its name is what the coefficients, the benchmark and
the command line call it. Undefined ones are NaN: then they carry no weight.
"""

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np

from sppkit.rules.branches import branch_ratios
from sppkit.rules.curve import Array, Curve, curve_of, logarithm, median, middle
from sppkit.rules.evidence import Evidence
from sppkit.signals import Role, Signal

OF_BATCH_NORM = 5.0
"""Decades of energy that a network with batch normalisation may gain by it. ResNeXt-50 at 64 pixels
and 8 samples gains 4."""

OF_EACH_BATCH_NORM = math.log10(math.pi / (math.pi - 1))
"""What it may gain by each, where these are so many that they amount to more: 0.166."""

NamedStatistic = Callable[[Evidence], Array]


# -- the loss and the output ---------------------------------------------------------------------


def loss_over_chance(evidence: Evidence) -> Array:
    """Loss at initialisation over ln(classes), the loss of a network that knows nothing."""
    return logarithm(evidence.loss_over_chance())


def output_second_moment(evidence: Evidence) -> Array:
    """Second moment of the network's output."""
    return logarithm(evidence.output("second_moment"))


def output_variance_across_samples(evidence: Evidence) -> Array:
    """Variance across samples of the network's output."""
    if evidence.is_muted:
        return _unknown(evidence)
    return logarithm(evidence.output("variance_across_samples"))


def output_share_across_samples(evidence: Evidence) -> Array:
    """Share of the output's second moment that differs between samples."""
    return logarithm(evidence.share_across_samples())


# -- a rehearsal of training ---------------------------------------------------------------------


def rehearsed_error(evidence: Evidence) -> Array:
    """Share of wrong answers after a rehearsal of training, over that of chance."""
    return logarithm(evidence.rehearsed("error"))


def rehearsed_loss(evidence: Evidence) -> Array:
    """Loss after a rehearsal of training, over that of chance."""
    return logarithm(evidence.rehearsed("loss"))


# -- gradients of the parameters under a real loss -------------------------------------------------


def total_gradient_norm(evidence: Evidence) -> Array:
    """Norm of all weight gradients together."""
    norms = evidence.gradient_norms.values
    total = logarithm(np.sqrt(np.nansum(norms**2, axis=1)))
    return np.where(np.isnan(norms).all(axis=1), np.nan, total)


def first_layer_gradient_norm(evidence: Evidence) -> Array:
    """Norm of the first layer's weight gradient."""
    return _unknown(evidence) if evidence.is_muted else _first(evidence.gradient_norms)


def last_layer_gradient_norm(evidence: Evidence) -> Array:
    """Norm of the last layer's weight gradient."""
    return _last(evidence.gradient_norms)


def first_to_last_gradient_norm(evidence: Evidence) -> Array:
    """Norm of the first layer's weight gradient over that of the last."""
    return first_layer_gradient_norm(evidence) - last_layer_gradient_norm(evidence)


def smallest_gradient_norm(evidence: Evidence) -> Array:
    """Least norm of a weight gradient."""
    return _unknown(evidence) if evidence.is_muted else _least(evidence.gradient_norms)


def largest_gradient_norm(evidence: Evidence) -> Array:
    """Largest norm of a weight gradient."""
    return _most(evidence.gradient_norms)


def first_relative_gradient(evidence: Evidence) -> Array:
    """|G|/|W| of the first layer."""
    return _unknown(evidence) if evidence.is_muted else _first(evidence.relative_gradients)


def smallest_relative_gradient(evidence: Evidence) -> Array:
    """Least |G|/|W| of a layer."""
    return _unknown(evidence) if evidence.is_muted else _least(evidence.relative_gradients)


def median_relative_gradient(evidence: Evidence) -> Array:
    """Median over layers of |G|/|W|."""
    return _middle(evidence.relative_gradients)


def largest_relative_gradient(evidence: Evidence) -> Array:
    """Largest |G|/|W| of a layer."""
    return _most(evidence.relative_gradients)


def spread_of_relative_gradients(evidence: Evidence) -> Array:
    """Largest over least |G|/|W|."""
    return largest_relative_gradient(evidence) - smallest_relative_gradient(evidence)


# -- the forward signal ----------------------------------------------------------------------------


def growth_of_second_moment(evidence: Evidence) -> Array:
    """Second moment at the last place of the stream over that at the first."""
    curve = evidence.activation("second_moment")
    return _last(curve) - _first(curve)


def range_of_second_moment(evidence: Evidence) -> Array:
    """Largest over least second moment along the stream."""
    curve = evidence.activation("second_moment")
    return _most(curve) - _least(curve)


def largest_second_moment(evidence: Evidence) -> Array:
    """Largest second moment at the output of a weighted layer before the head."""
    return _most(evidence.of_hidden("second_moment"))


def smallest_second_moment(evidence: Evidence) -> Array:
    """Least second moment at the output of a weighted layer before the head."""
    return _least(evidence.of_hidden("second_moment"))


def growth_of_variance(evidence: Evidence) -> Array:
    """Average channel variance at the last place of the stream over that at the first."""
    curve = evidence.activation("average_channel_variance")
    return _last(curve) - _first(curve)


def least_share_of_variance(evidence: Evidence) -> Array:
    """Least share of the second moment, over weighted layers, that is variance within channels."""
    return _least(share_of_variance(evidence))


def last_share_of_variance(evidence: Evidence) -> Array:
    """The same share at the last weighted layer before the head."""
    return _last(share_of_variance(evidence))


# -- the backward signal ---------------------------------------------------------------------------


def growth_of_gradient(evidence: Evidence) -> Array:
    """Squared norm of the gradient at the first place of the stream over that at the last."""
    if evidence.is_muted:
        return _unknown(evidence)
    return _first(evidence.backward) - _last(evidence.backward)


def range_of_gradient(evidence: Evidence) -> Array:
    """Largest over least squared norm of the gradient along the stream."""
    return _most(evidence.backward) - _least(evidence.backward)


def growth_of_energy(evidence: Evidence) -> Array:
    """Energy (gradient times activation) at the first weighted layer over that at the head.

    Both are places that all paths pass, whatever lies between; see `Evidence.energy_of`. Of a
    network with several outputs, or without a head, the output takes its place.

    Batch normalisation amplifies gradients by itself, by pi / (pi - 1) per layer with ReLU (Yang et
    al., 2019, A mean field theory of batch normalization, arXiv 1902.08129) and by more where it
    sees few values, and deep networks train with that: what grows is reduced by `OF_BATCH_NORM`, or
    by `OF_EACH_BATCH_NORM` for each.
    """
    if len(evidence.weighted) < 2 or evidence.is_muted:
        return _unknown(evidence)
    end = "" if evidence.has_several_outputs else evidence.head
    first = evidence.energy_of(str(evidence.weighted["layer"].iloc[0]))
    growth = logarithm(first) - logarithm(evidence.energy_of(end))
    number = evidence.batch_normalisations
    explained = max(OF_BATCH_NORM, OF_EACH_BATCH_NORM * number) if number else 0.0
    return growth - np.clip(growth, 0.0, explained)


# -- units -----------------------------------------------------------------------------------------


def largest_share_of_dead_channels(evidence: Evidence) -> Array:
    """Largest share of channels of a layer that answer zero to everything, plus 1e-3."""
    return _most(_shifted(curve_of(evidence.outputs, "dead_channel_fraction")))


def median_share_of_zeros(evidence: Evidence) -> Array:
    """Median over layers of the share of zeros, plus 1e-3."""
    return _middle(_shifted(curve_of(evidence.outputs, "zero_fraction")))


def largest_kurtosis(evidence: Evidence) -> Array:
    """Largest kurtosis at the output of a weighted layer before the head."""
    return _most(evidence.of_hidden("kurtosis"))


def least_share_of_gradient_variance(evidence: Evidence) -> Array:
    """Least share, over layers, of the gradient's second moment that is variance within channels.

    Where it is small, the gradients of all samples point the same way: only a bias is learned.
    """
    rows = evidence.curves.where(role=Role.LEAF, signal=Signal.GRADIENT)
    with np.errstate(all="ignore"):
        share = rows["average_channel_variance"] / rows["second_moment"]
    return _least(curve_of(rows, share))


def noise_of_dropout(evidence: Evidence) -> Array:
    """Sum over dropout layers of log10 1/(1 - p): decades of noise that dropout adds in all.

    p is read from the shares of zeros before and behind the layer. In a residual network, and in
    one of several outputs, dropout does not multiply from layer to layer: there it is 0.
    """
    if evidence.has_blocks or evidence.has_several_outputs:
        return np.zeros(len(evidence.seeds))
    zeros = curve_of(evidence.outputs, "zero_fraction")
    types: dict[str, str] = dict(
        evidence.structure[["layer", "layer_type"]].itertuples(index=False)
    )
    drops = [place for place, layer in enumerate(zeros.layers) if "Dropout" in types.get(layer, "")]
    behind = [place for place in drops if place > 0]
    with np.errstate(all="ignore"):
        kept = (1 - zeros.values[:, behind]) / (1 - zeros.values[:, [p - 1 for p in behind]])
    noise: Array = -np.nansum(logarithm(np.clip(kept, 1e-12, 1.0)), axis=1)
    return noise


# -- the architecture ------------------------------------------------------------------------------


def number_of_layers(evidence: Evidence) -> Array:
    """Number of weighted layers."""
    return logarithm(np.full(len(evidence.seeds), float(len(evidence.weighted)) or np.nan))


def median_branch_ratio(evidence: Evidence) -> Array:
    """Median over residual branches of the second moment at their end over what enters the block.

    Of branches with a learned gain nothing is known: its value is not in the frames.
    """
    ratios = list(branch_ratios(evidence).values())
    if not ratios:
        return _unknown(evidence)
    return median(np.stack(ratios), axis=0)


def largest_gradient_kurtosis(evidence: Evidence) -> Array:
    """Largest kurtosis of a weight gradient: of units that mostly get none it is large."""
    return _most(curve_of(evidence.weight_gradients, "kurtosis"))


def median_gradient_kurtosis(evidence: Evidence) -> Array:
    """Median over layers of the kurtosis of the weight gradient."""
    return _middle(curve_of(evidence.weight_gradients, "kurtosis"))


def first_gradient_size(evidence: Evidence) -> Array:
    """Root mean square of the first layer's weight gradient: what Adam's epsilon is set against."""
    if evidence.is_muted:
        return _unknown(evidence)
    rows = evidence.weight_gradients
    return _first(evidence.audible(rows, np.sqrt(rows["second_moment"])))


def median_weight_size(evidence: Evidence) -> Array:
    """Median over layers of the weights' root mean square, against which Adam's rate is set."""
    rows = evidence.curves.where(signal=Signal.WEIGHT)
    rows = rows.keep((rows["channels"] > 1) & (rows["samples"] > 1) & (rows["place"] >= 0))
    return _middle(curve_of(rows, np.sqrt(rows["second_moment"])))


NAMED: tuple[NamedStatistic, ...] = (
    loss_over_chance,
    output_second_moment,
    output_variance_across_samples,
    output_share_across_samples,
    rehearsed_error,
    rehearsed_loss,
    total_gradient_norm,
    first_layer_gradient_norm,
    last_layer_gradient_norm,
    first_to_last_gradient_norm,
    smallest_gradient_norm,
    largest_gradient_norm,
    first_relative_gradient,
    smallest_relative_gradient,
    median_relative_gradient,
    largest_relative_gradient,
    spread_of_relative_gradients,
    growth_of_second_moment,
    range_of_second_moment,
    largest_second_moment,
    smallest_second_moment,
    growth_of_variance,
    least_share_of_variance,
    last_share_of_variance,
    growth_of_gradient,
    range_of_gradient,
    growth_of_energy,
    largest_share_of_dead_channels,
    median_share_of_zeros,
    largest_kurtosis,
    number_of_layers,
    median_branch_ratio,
    largest_gradient_kurtosis,
    median_gradient_kurtosis,
    first_gradient_size,
    median_weight_size,
    least_share_of_gradient_variance,
    noise_of_dropout,
)


@lru_cache(maxsize=1)  # the rule and the diagnosis ask about the same evidence
def named_by_seed(evidence: Evidence) -> dict[str, Array]:
    """Give each named statistic, one value per seed, (S,)."""
    return {statistic.__name__: statistic(evidence) for statistic in NAMED}


def named_medians(evidence: Evidence) -> dict[str, float]:
    """Give the median over seeds of each named statistic; NaN where it is undefined."""
    by_seed = named_by_seed(evidence)
    return {name: middle(values) for name, values in by_seed.items()}


def share_of_variance(evidence: Evidence) -> Curve:
    """Give average channel variance / second moment at the outputs of the hidden layers."""
    variance = evidence.of_hidden("average_channel_variance")
    second = evidence.of_hidden("second_moment")
    with np.errstate(all="ignore"):
        return Curve(variance.layers, variance.values / second.values)


def _unknown(evidence: Evidence) -> Array:
    return np.full(len(evidence.seeds), np.nan)


def _shifted(curve: Curve) -> Curve:
    return Curve(curve.layers, curve.values + 1e-3)


def _first(curve: Curve) -> Array:
    return _reduce(curve, lambda known: known[0])


def _last(curve: Curve) -> Array:
    return _reduce(curve, lambda known: known[-1])


def _least(curve: Curve) -> Array:
    return _reduce(curve, np.min)


def _most(curve: Curve) -> Array:
    return _reduce(curve, np.max)


def _middle(curve: Curve) -> Array:
    return _reduce(curve, np.median)


def _reduce(curve: Curve, reduce: Callable[[Array], float]) -> Array:
    """Reduce the defined logarithms of each seed; NaN where there are none."""
    rows = (row[~np.isnan(row)] for row in curve.log)
    return np.array([reduce(known) if known.size else np.nan for known in rows], dtype=np.float64)
