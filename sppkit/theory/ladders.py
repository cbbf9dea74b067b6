"""Expected statistics of residual networks, block by block."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from sppkit.theory.moments import Moments, nonlinearity_moments
from sppkit.theory.nonlinearities import Array, Nonlinearity
from sppkit.theory.quadrature import normal_density, panels

SMALLEST_ALPHA = 0.05
"""Of `postactivation_ladder`, whose quadrature has the more nodes the smaller alpha is."""


@dataclass(frozen=True, eq=False)
class Ladder:
    """Expected statistics of the blocks of a residual network, in order of execution.

    Each array has one value per block, (sum of depths,): the first two are read at the block's
    output, after the merge; the third at the end of the residual branch, before the merge and
    before any gain or drop that the merge applies.
    """

    average_channel_variance: Array
    average_channel_squared_mean: Array
    residual_average_channel_variance: Array


@dataclass(frozen=True, eq=False)
class NormalizerFreeLadder(Ladder):
    """A `Ladder` that also knows the variance entering each block, beta², (sum of depths,)."""

    entering_variance: Array


def _block_in_stage(depths: Sequence[int]) -> Array:
    """Return each block's place in its stage, counted from 1."""
    if not depths or any(depth < 1 for depth in depths):
        raise ValueError(f"depths are blocks per stage, each 1 or more; got {list(depths)}")
    return np.concatenate([np.arange(1.0, depth + 1.0) for depth in depths])


def normalizer_free_ladder(depths: Sequence[int], *, alpha: float = 0.2) -> NormalizerFreeLadder:
    """Compute the variances of a normalizer-free residual network, x + alpha f(x / beta).

    Block i of a stage (i = 1, 2, ...) leaves variance 1 + i alpha²: the first block of each stage
    is a transition, whose shortcut f'(x / beta) has variance 1 again. The variance entering a
    block is the one that left the block before it, and 1 for the network's first.

    Holds at initialisation for scaled weight standardisation, nonlinearities with their gains and
    a skip gain of 1. With the skip gain at its initial 0, blocks add nothing and each transition
    divides by a beta² that its input does not have: stages sit at 1, 1 / beta_2², 1 / (beta_2²
    beta_3²), ... (ReLU). Shortcuts that average (pooling) fall below the ladder.

    Args:
        depths: blocks per stage, such as (3, 4, 6, 3).
        alpha: scale of the residual branch.

    References:
        Characterizing signal propagation to close the performance gap in unnormalized ResNets,
        Brock, De, Smith, 2021, arXiv 2101.08692, section 4.1.

    Examples:
        >>> ladder = normalizer_free_ladder((2, 2))
        >>> ladder.entering_variance
        array([1.  , 1.04, 1.08, 1.04])
        >>> ladder.average_channel_variance
        array([1.04, 1.08, 1.04, 1.08])
    """
    leaving = 1.0 + _block_in_stage(depths) * alpha**2
    return NormalizerFreeLadder(
        average_channel_variance=leaving,
        average_channel_squared_mean=np.zeros_like(leaving),
        residual_average_channel_variance=np.ones_like(leaving),
        entering_variance=np.concatenate([[1.0], leaving[:-1]]),
    )


def preactivation_ladder(
    depths: Sequence[int],
    *,
    order: Literal["relu-bn", "bn-relu"] = "bn-relu",
    weight_gain: float | None = None,
    nonlinearity: str | Nonlinearity = "relu",
) -> Ladder:
    """Compute the statistics of a pre-activation residual network with batch normalisation.

    A convolution with weights of mean 0 and variance g / fan_in turns inputs of channel mean m and
    variance v into outputs of average channel variance g v and squared mean g m². Its inputs are
    normalised (relu-bn: m = 0, v = 1) or the nonlinearity of something normalised (bn-relu: m, v =
    moments of g(z), z ~ N(0, 1)). The shortcut of a stage's first block adds one more such term
    and drops what came before, so block i of a stage holds 1 + i of them:

        average channel variance = g v (1 + i), squared mean = g m² (1 + i), residual = g v

    With g = 1 and relu-bn: 1 + i, 0, 1. With g = 2 (He) and bn-relu: (1 - 1/pi)(1 + i),
    (1 + i)/pi, 0.6817. Holds at initialisation, in train mode; weights scaled by fan-out fall short
    by fan_in / fan_out.

    Args:
        depths: blocks per stage, such as (3, 4, 6, 3).
        order: which of the two comes first before each convolution.
        weight_gain: g above; None is 1 for relu-bn and 2 (He et al., 2015) for bn-relu.
        nonlinearity: a name of `NONLINEARITIES` or a function; only bn-relu depends on it.

    References:
        Characterizing signal propagation to close the performance gap in unnormalized ResNets,
        Brock, De, Smith, 2021, arXiv 2101.08692, section 3 and figure 1.
    """
    if order not in ("relu-bn", "bn-relu"):
        raise ValueError(f"order is 'relu-bn' or 'bn-relu', got {order!r}")
    seen = Moments(0.0, 1.0) if order == "relu-bn" else nonlinearity_moments(nonlinearity)
    default_gain = 1.0 if order == "relu-bn" else 2.0
    gain = default_gain if weight_gain is None else weight_gain
    terms = 1.0 + _block_in_stage(depths)
    return Ladder(
        average_channel_variance=gain * seen.variance * terms,
        average_channel_squared_mean=gain * seen.mean**2 * terms,
        residual_average_channel_variance=np.full_like(terms, gain * seen.variance),
    )


def summed_ladder(
    stem: Sequence[float] | Array, branch_ends: Array, *, kept: Array, fresh: Array
) -> Ladder:
    """Add up residual branches that know nothing of what they are added to.

        s_i = kept_i s_(i-1) + fresh_i + b_i,   s_0 = stem,   s = (variance, squared mean)

    b_i is what branch i ends in, of a normalised input. An identity skip path keeps all (kept 1,
    fresh 0), a convolution with weights of mean 0 and variance g / fan_in keeps g, and one of
    normalised values replaces what was there by fresh values (kept 0). Holds at initialisation,
    where branches and skip paths are uncorrelated.

    Args:
        stem: average channel variance and average channel squared mean of what enters block 1.
        branch_ends: the same of each branch's end, (blocks, 2).
        kept: factor of each skip path, (blocks,).
        fresh: what each skip path adds, (blocks, 2).

    References:
        Brock, De, Smith, 2021, arXiv 2101.08692, section 3: the sums of pre-activation networks.

    Examples:
        >>> ends = np.array([[1.0, 0.0]] * 3)
        >>> ladder = summed_ladder((1.0, 0.5), ends, kept=np.ones(3), fresh=np.zeros((3, 2)))
        >>> ladder.average_channel_variance, ladder.average_channel_squared_mean
        (array([2., 3., 4.]), array([0.5, 0.5, 0.5]))
    """
    level, levels = np.asarray(stem, dtype=np.float64), []
    for end, factor, added in zip(branch_ends, kept, fresh, strict=True):
        level = factor * level + added + end
        levels.append(level)
    variance, squared_mean = np.transpose(levels)
    return Ladder(variance, squared_mean, np.asarray(branch_ends)[:, 0])


def _rectified_walk(steps: int, start_variance: float) -> tuple[Array, Array]:
    """Compute E[x] and E[x²] along x <- relu(x + z), z ~ N(0, 1), from x = relu(N(0, variance)).

    The law of x is an atom at zero and a density on x > 0, kept at the nodes of a quadrature, so
    that a step is one product with the kernel of z. Returns steps + 1 values of each moment.
    """
    reach = math.ceil(9.0 * math.sqrt(steps + start_variance))
    nodes, weights = panels(np.arange(reach + 1.0), 16)
    kernel = normal_density(nodes[:, None] - nodes) * weights
    atom, density = 0.5, normal_density(nodes, start_variance)
    densities = [density]
    for _ in range(steps):
        density = atom * normal_density(nodes) + kernel @ density
        atom = 1.0 - float(weights @ density)
        densities.append(density)
    mass = weights * np.array(densities)
    return mass @ nodes, mass @ nodes**2


def postactivation_ladder(
    depths: Sequence[int],
    *,
    first_block: Literal["projection", "identity"] = "projection",
    alpha: float = 1.0,
) -> Ladder:
    """Compute the statistics of a post-activation residual network with batch normalisation.

    x <- relu(x + alpha z) per block, with z ~ N(0, 1) the normalised end of the residual branch. A
    transition replaces x by a normalised projection, so that its output is relu(N(0, 1 + alpha²));
    every stage but the first opens with one. Exact to rounding (the law of x is carried along),
    under the assumption that x and z are independent within a channel. Holds in train mode for
    normalisation gains of 1 and biases of 0.

    Args:
        depths: blocks per stage, such as (3, 4, 6, 3).
        first_block: the skip path of the network's first block: "projection" (bottlenecks), or
            "identity" (torchvision's ResNet-18 and -34), where what enters is taken for relu of
            N(0, 1), a stem without max-pooling.
        alpha: scale of the residual branch, `SMALLEST_ALPHA` or more; 1 in networks with batch
            normalisation.

    Raises:
        ValueError: an unknown first block, or an alpha out of range.

    References:
        Deep residual learning for image recognition, He, Zhang, Ren, Sun, 2015, arXiv 1512.03385,
        figure 2 (the block; the recursion is ours).

    Examples:
        >>> postactivation_ladder((3,)).average_channel_variance.round(3)
        array([0.682, 0.997, 1.341])
    """
    if first_block not in ("projection", "identity"):
        raise ValueError(f"first_block is 'projection' or 'identity', got {first_block!r}")
    if not (alpha >= SMALLEST_ALPHA and math.isfinite(alpha)):
        raise ValueError(f"alpha={alpha} must be a number from {SMALLEST_ALPHA} on")
    place = _block_in_stage(depths).astype(int)
    # a walk with steps of alpha is alpha times one with unit steps, relu being homogeneous
    start = 1.0 / alpha**2
    walk = _rectified_walk(max(depths) - 1, start + 1.0)
    mean, second_moment = (moment[place - 1] for moment in walk)
    if first_block == "identity":
        opening = slice(0, depths[0])
        mean[opening], second_moment[opening] = (
            moment[1:] for moment in _rectified_walk(depths[0], start)
        )
    return Ladder(
        average_channel_variance=alpha**2 * (second_moment - mean**2),
        average_channel_squared_mean=alpha**2 * mean**2,
        residual_average_channel_variance=np.ones(len(place)),
    )
