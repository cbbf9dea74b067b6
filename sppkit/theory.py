"""What a signal should look like: gains of nonlinearities and expected-variance ladders.

Every number is computed (quadrature or a closed form), none is copied from a published table, so
that a ladder and the gain it needs can never disagree by somebody else's sampling error.

Everything here is an expectation over random weights, for wide layers, independent gaussian input
and no loss at the borders (circular padding, or see `padding_factor`).
"""

import difflib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "NONLINEARITIES",
    "SELU_ALPHA",
    "SELU_SCALE",
    "Ladder",
    "Moments",
    "NormalizerFreeLadder",
    "named_nonlinearity",
    "nonlinearity_gain",
    "nonlinearity_moments",
    "normalizer_free_ladder",
    "padding_factor",
    "postactivation_ladder",
    "preactivation_ladder",
]

Array = NDArray[np.float64]
Nonlinearity = Callable[[Array], Array]

# The pair (scale, alpha) for which N(0, 1) is a fixed point of SELU: E[g(z)] = 0, E[g(z)^2] = 1.
# With a = erfc(1/sqrt 2) sqrt(e) and b = erfc(sqrt 2) e^2 the two equations solve to
# alpha = sqrt(2/pi) / (1 - a) and
# scale = (1 - a) sqrt(2 pi) / sqrt(2 b + pi a^2 - 2 (2 + pi) a + pi + 2)
# (Self-Normalizing Neural Networks, Klambauer, Unterthiner, Mayr, Hochreiter, 2017, arXiv
# 1706.02515: "stable and attracting fixed point (0, 1)").
SELU_SCALE = 1.0507009873554805
SELU_ALPHA = 1.6732632423543772

_SQRT_HALF = math.sqrt(0.5)


# -- nonlinearities ---------------------------------------------------------------------------


def _erf(z: Array) -> Array:
    values: Array = np.vectorize(math.erf, otypes=[np.float64])(z)
    return values


def _relu(z: Array) -> Array:
    return np.maximum(z, 0.0)


def _elu(z: Array) -> Array:
    return np.where(z > 0, z, np.expm1(np.minimum(z, 0.0)))


def _selu(z: Array) -> Array:
    return SELU_SCALE * np.where(z > 0, z, SELU_ALPHA * np.expm1(np.minimum(z, 0.0)))


def _gelu(z: Array) -> Array:
    return z * 0.5 * (1.0 + _erf(z * _SQRT_HALF))


def _gelu_tanh(z: Array) -> Array:
    return 0.5 * z * (1.0 + np.tanh(math.sqrt(2.0 / math.pi) * (z + 0.044715 * z**3)))


def _sigmoid(z: Array) -> Array:
    # tanh does not overflow where exp(-z) does
    return 0.5 * (1.0 + np.tanh(0.5 * z))


def _softplus(z: Array) -> Array:
    return np.logaddexp(0.0, z)


def _hard_sigmoid(z: Array) -> Array:
    return np.clip(z / 6.0 + 0.5, 0.0, 1.0)


NONLINEARITIES: dict[str, Nonlinearity] = {
    "identity": lambda z: z,
    "relu": _relu,
    "relu6": lambda z: np.clip(z, 0.0, 6.0),
    "leaky_relu": lambda z: np.where(z > 0, z, 0.01 * z),
    "elu": _elu,
    "celu": _elu,  # equal to elu at alpha = 1, the default of both
    "selu": _selu,
    "gelu": _gelu,
    "gelu_tanh": _gelu_tanh,
    "silu": lambda z: z * _sigmoid(z),
    "sigmoid": _sigmoid,
    "tanh": np.tanh,
    "softplus": _softplus,
    "softsign": lambda z: z / (1.0 + np.abs(z)),
    "log_sigmoid": lambda z: -_softplus(-z),
    "hard_swish": lambda z: z * _hard_sigmoid(z),
    "hardswish": lambda z: z * _hard_sigmoid(z),
    "hard_sigmoid": _hard_sigmoid,
    "mish": lambda z: z * np.tanh(_softplus(z)),
}
"""Functions of one number by their names in `torch.nn.functional`, with torch's default slopes."""

_NOT_FUNCTIONS_OF_ONE_NUMBER = ("glu", "log_softmax", "softmax")


def named_nonlinearity(name: str) -> Nonlinearity:
    """Return the function of that name, or raise a ValueError that lists all names."""
    if name in NONLINEARITIES:
        return NONLINEARITIES[name]
    valid = ", ".join(NONLINEARITIES)
    if name in _NOT_FUNCTIONS_OF_ONE_NUMBER:
        raise ValueError(
            f"{name!r} is not a function of one number (it mixes channels), so it has no gain of "
            f"its own; valid names: {valid}"
        )
    nearest = difflib.get_close_matches(name.lower(), NONLINEARITIES, n=1)
    hint = f" (did you mean {nearest[0]!r}?)" if nearest else ""
    raise ValueError(f"unknown nonlinearity {name!r}{hint}; valid names: {valid}")


# -- moments and gains ------------------------------------------------------------------------


@dataclass(frozen=True)
class Moments:
    """Mean and variance of a nonlinearity's output.

    The variance is kept rather than the second moment: the difference of two near-equal second
    moments would lose the variance of a function that is almost constant.
    """

    mean: float
    variance: float

    @property
    def second_moment(self) -> float:
        """Return E[y²] = mean² + variance."""
        return self.mean**2 + self.variance


_REACH = 12  # standard deviations; the mass beyond is 4e-33
_KINKS = np.arange(-6.0, 7.0)  # where a registered function may have a corner: -3, 0, 3, 6
_NODES_PER_PANEL = 48


def _panels(edges: Array, nodes_per_panel: int) -> tuple[Array, Array]:
    """Return Gauss-Legendre nodes and weights of the panels between neighbouring edges."""
    nodes, weights = np.polynomial.legendre.leggauss(nodes_per_panel)
    half = np.diff(edges)[:, None] / 2.0
    middle = (edges[:-1, None] + edges[1:, None]) / 2.0
    return (middle + half * nodes).ravel(), (half * weights).ravel()


def _normal_density(x: Array, variance: float = 1.0) -> Array:
    density: Array = np.exp(-(x**2) / (2.0 * variance)) / math.sqrt(2.0 * math.pi * variance)
    return density


def _gaussian_quadrature(mean: float, deviation: float) -> tuple[Array, Array]:
    """Return nodes z and weights such that sum(weights * g(z)) = E[g(z)], z ~ N(mean, deviation²).

    No panel holds a corner of a registered function inside, so the rule converges exponentially.
    """
    corners = np.clip((_KINKS - mean) / deviation, -_REACH, _REACH)
    edges = np.unique(np.concatenate([np.arange(-_REACH, _REACH + 1.0), corners]))
    nodes, weights = _panels(edges, _NODES_PER_PANEL)
    return mean + deviation * nodes, weights * _normal_density(nodes)


def _evaluate(nonlinearity: str | Nonlinearity, z: Array) -> Array:
    function = named_nonlinearity(nonlinearity) if isinstance(nonlinearity, str) else nonlinearity
    y = np.asarray(function(z), dtype=np.float64)
    if y.shape != z.shape:
        raise ValueError(
            f"a nonlinearity maps an array to one of the same shape, element by element; "
            f"{nonlinearity!r} mapped {z.shape} to {y.shape}"
        )
    if not np.isfinite(y).all():
        raise ValueError(f"{nonlinearity!r} is not finite on [{z.min():g}, {z.max():g}]")
    return y


def nonlinearity_moments(
    nonlinearity: str | Nonlinearity, *, mean: float = 0.0, variance: float = 1.0
) -> Moments:
    """Compute mean and variance of g(z) for z ~ N(mean, variance).

    Gauss-Legendre quadrature over ±12 standard deviations, split at the integers of -6..6 so that
    corners there cost nothing: about 1e-14 for the registered functions. A corner elsewhere in a
    function of your own costs about 1e-5; a function that varies faster than the panels (fractions
    of a standard deviation) needs an integration of its own.

    Args:
        nonlinearity: a name of `NONLINEARITIES`, or a function from a float64 array to an array of
            the same shape.
        mean: mean of the pre-activation.
        variance: variance of the pre-activation, 0 or more.

    Returns:
        The moments of the activation.

    Raises:
        ValueError: an unknown name, a negative variance, a function that is not elementwise or not
            finite.

    Example:
        >>> moments = nonlinearity_moments("relu")
        >>> round(moments.mean, 6), round(moments.second_moment, 6), round(moments.variance, 6)
        (0.398942, 0.5, 0.340845)
    """
    if not (math.isfinite(mean) and math.isfinite(variance) and variance >= 0.0):
        raise ValueError(f"expected a finite mean and variance >= 0, got {mean} and {variance}")
    if variance == 0.0:
        return Moments(float(_evaluate(nonlinearity, np.array([mean]))[0]), 0.0)
    z, weights = _gaussian_quadrature(mean, math.sqrt(variance))
    y = _evaluate(nonlinearity, z)
    centre = float(weights @ y)
    return Moments(centre, float(weights @ (y - centre) ** 2))


def _gain(nonlinearity: str | Nonlinearity) -> float:
    moments = nonlinearity_moments(nonlinearity)
    rounding = 1e-24 * moments.second_moment
    if moments.variance <= rounding:
        raise ValueError(f"{nonlinearity!r} is constant: no gain can give it unit variance")
    return 1.0 / math.sqrt(moments.variance)


@cache
def _named_gain(name: str) -> float:
    return _gain(name)


def nonlinearity_gain(nonlinearity: str | Nonlinearity) -> float:
    """Compute the gain that gives a nonlinearity unit variance under gaussian input.

    gamma = 1 / sqrt(Var[g(z)]), z ~ N(0, 1), so that gamma * g(z) has variance 1 (its mean stays:
    scaled weight standardisation takes it out). Exact, while published tables are Monte-Carlo
    values within 1e-3 of it. Not the gain of `torch.nn.init.calculate_gain`, which concerns second
    moments (relu: sqrt 2).

    Args:
        nonlinearity: a name of `NONLINEARITIES`, or a function from a float64 array to an array of
            the same shape (accuracy: see `nonlinearity_moments`).

    Returns:
        The gain, a positive number.

    Raises:
        ValueError: an unknown name, or a constant function.

    References:
        Characterizing signal propagation to close the performance gap in unnormalized ResNets,
        Brock, De, Smith, 2021, arXiv 2101.08692, section 4.4.

    Example:
        >>> round(nonlinearity_gain("relu"), 10)    # sqrt(2 / (1 - 1/pi))
        1.7128585504
    """
    return _named_gain(nonlinearity) if isinstance(nonlinearity, str) else _gain(nonlinearity)


# -- ladders ----------------------------------------------------------------------------------


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

    Example:
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


def _rectified_walk(steps: int, start_variance: float) -> tuple[Array, Array]:
    """Compute E[x] and E[x²] along x <- relu(x + z), z ~ N(0, 1), from x = relu(N(0, variance)).

    The law of x is an atom at zero and a density on x > 0, kept at the nodes of a quadrature, so
    that a step is one product with the kernel of z. Returns steps + 1 values of each moment.
    """
    reach = math.ceil(9.0 * math.sqrt(steps + start_variance))
    nodes, weights = _panels(np.arange(reach + 1.0), 16)
    kernel = _normal_density(nodes[:, None] - nodes) * weights
    atom, density = 0.5, _normal_density(nodes, start_variance)
    densities = [density]
    for _ in range(steps):
        density = atom * _normal_density(nodes) + kernel @ density
        atom = 1.0 - float(weights @ density)
        densities.append(density)
    mass = weights * np.array(densities)
    return mass @ nodes, mass @ nodes**2


def postactivation_ladder(
    depths: Sequence[int], *, first_block: Literal["projection", "identity"] = "projection"
) -> Ladder:
    """Compute the statistics of a post-activation residual network with batch normalisation.

    x <- relu(x + z) per block, with z ~ N(0, 1) the normalised end of the residual branch. A
    transition replaces x by a normalised projection, so that its output is relu(N(0, 2)); every
    stage but the first opens with one. Exact to rounding (the law of x is carried along), under
    the assumption that x and z are independent within a channel. Holds in train mode for
    normalisation gains of 1 and biases of 0.

    Args:
        depths: blocks per stage, such as (3, 4, 6, 3).
        first_block: the skip path of the network's first block: "projection" (bottlenecks), or
            "identity" (torchvision's ResNet-18 and -34), where what enters is taken for relu of
            N(0, 1), a stem without max-pooling.

    References:
        Deep residual learning for image recognition, He, Zhang, Ren, Sun, 2015, arXiv 1512.03385,
        figure 2 (the block; the recursion is ours).

    Example:
        >>> postactivation_ladder((3,)).average_channel_variance.round(3)
        array([0.682, 0.997, 1.341])
    """
    if first_block not in ("projection", "identity"):
        raise ValueError(f"first_block is 'projection' or 'identity', got {first_block!r}")
    place = _block_in_stage(depths).astype(int)
    mean, second_moment = (moment[place - 1] for moment in _rectified_walk(max(depths) - 1, 2.0))
    if first_block == "identity":
        opening = slice(0, depths[0])
        mean[opening], second_moment[opening] = (
            moment[1:] for moment in _rectified_walk(depths[0], 1.0)
        )
    return Ladder(
        average_channel_variance=second_moment - mean**2,
        average_channel_squared_mean=mean**2,
        residual_average_channel_variance=np.ones(len(place)),
    )


def padding_factor(height: int, width: int, *, kernel_size: int = 3) -> float:
    """Compute the share of variance that zero padding leaves in a convolution's output.

    The share of kernel taps that fall on the map, averaged over output positions; for a kernel of
    3 it is (1 - 2/(3H))(1 - 2/(3W)). Holds for stride 1, padding (kernel_size - 1)/2 and an input
    that is white over positions.

    Args:
        height: height of the map, H.
        width: width of the map, W.
        kernel_size: an odd number.

    Example:
        >>> round(padding_factor(7, 7), 3)
        0.819
    """
    if kernel_size < 1 or kernel_size % 2 == 0:
        raise ValueError(f"kernel_size is odd (padding keeps the size), got {kernel_size}")
    if height < 1 or width < 1:
        raise ValueError(f"height and width are 1 or more, got {height} and {width}")
    return _share_on_the_map(height, kernel_size) * _share_on_the_map(width, kernel_size)


def _share_on_the_map(size: int, kernel_size: int) -> float:
    reach = kernel_size // 2
    hits = sum(max(0, size - abs(offset)) for offset in range(-reach, reach + 1))
    return hits / (kernel_size * size)
