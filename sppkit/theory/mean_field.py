"""Mean-field theory of plain fully connected networks: lengths, distances, gradients.

A layer is h = W g(x) + b with weights of mean 0 and variance s_w / fan-in and biases of variance
s_b, in the limit of wide layers. The pre-activations of an input are then gaussian with variance q;
those of two inputs have covariance q_ab, and d = q - q_ab is half their mean squared distance.

References:
    Exponential expressivity in deep neural networks through transient chaos, Poole, Lahiri, Raghu,
    Sohl-Dickstein, Ganguli, 2016, arXiv 1606.05340: the maps, equations 3 to 6.
    Deep information propagation, Schoenholz, Gilmer, Ganguli, Sohl-Dickstein, 2017, arXiv
    1611.01232: depth scales (section 3) and gradients (section 5).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from sppkit.theory.ladders import Ladder
from sppkit.theory.moments import evaluate, nonlinearity_moments
from sppkit.theory.nonlinearities import Nonlinearity
from sppkit.theory.quadrature import KINKS, gaussian_quadrature, squared_difference

_SMALLEST, _LARGEST = 1e-12, 1e12
"""Lengths beyond count as zero and as infinite."""

_STEP = 1e-5
"""Of the central difference, in standard deviations: wrong by 1e-9."""


def length_map(
    length: float,
    *,
    weight_variance: float,
    bias_variance: float = 0.0,
    nonlinearity: str | Nonlinearity,
) -> float:
    """Compute the variance of the next pre-activations: s_w E[g(√q z)²] + s_b, z ~ N(0, 1).

    Args:
        length: q, variance (and second moment) of the pre-activations.
        weight_variance: s_w, variance of the weights times fan-in.
        bias_variance: s_b.
        nonlinearity: a name of `NONLINEARITIES`, or a function.

    References:
        Poole et al., 2016, arXiv 1606.05340, equation 3.

    Examples:
        >>> round(length_map(3.0, weight_variance=2.0, nonlinearity="relu"), 10)  # He: it stays
        3.0
    """
    moments = nonlinearity_moments(nonlinearity, variance=length)
    return weight_variance * moments.second_moment + bias_variance


def distance_map(
    length: float, distance: float, *, weight_variance: float, nonlinearity: str | Nonlinearity
) -> float:
    """Compute d of the next pre-activations: s_w E[(g(u) - g(v))²] / 2.

    u and v are the pre-activations of two inputs, both of variance q and of covariance q - d.
    Computed from the difference itself, so that it is right for inputs that are nearly equal.

    Args:
        length: q.
        distance: d, between 0 (equal inputs) and 2 q (opposite ones); q of independent ones.
        weight_variance: s_w.
        nonlinearity: a name of `NONLINEARITIES`, or a function.

    Raises:
        ValueError: the distance is not within its limits.

    References:
        Poole et al., 2016, arXiv 1606.05340, equation 5, in other variables.
    """
    if not 0.0 <= distance <= 2.0 * length:
        raise ValueError(f"the distance lies between 0 and 2 x length; got {distance} of {length}")
    squares = squared_difference(
        lambda z: evaluate(nonlinearity, z), length - distance / 2.0, distance / 2.0
    )
    return weight_variance * squares / 2.0


def gradient_factor(
    length: float, *, weight_variance: float, nonlinearity: str | Nonlinearity
) -> float:
    """Compute chi = s_w E[g'(√q z)²]: what a layer multiplies squared gradients by.

    Also what it multiplies the squared distance of nearly equal inputs by. At the fixed point of
    the lengths it is chi_1, which is below 1 in the ordered phase and above 1 in the chaotic one.

    Args:
        length: q, variance of the pre-activations.
        weight_variance: s_w of the weights behind the nonlinearity.
        nonlinearity: a name of `NONLINEARITIES`, or a function.

    Raises:
        ValueError: the length is not above 0.

    References:
        Poole et al., 2016, arXiv 1606.05340, equation 6; Schoenholz et al., 2017, arXiv 1611.01232,
        section 5.

    Examples:
        >>> round(gradient_factor(5.0, weight_variance=2.0, nonlinearity="relu"), 9)
        1.0
    """
    if not length > 0.0:
        raise ValueError(f"the length of the pre-activations is above 0, got {length}")
    deviation = math.sqrt(length)
    z, weights = gaussian_quadrature(0.0, deviation)
    # a difference must not reach across a corner
    to_corner = np.abs(z[:, None] - KINKS).min(axis=1)
    step = np.minimum(_STEP * deviation, to_corner / 2.0)
    rise = evaluate(nonlinearity, z + step) - evaluate(nonlinearity, z - step)
    return float(weight_variance * (weights @ (rise / (2.0 * step)) ** 2))


@dataclass(frozen=True)
class MeanField:
    """What many equal layers do to a signal.

    Attributes:
        length: q*, the fixed point of the length map that a signal of length 1 is drawn to; 0 and
            infinity where it dies or explodes.
        gradient_factor: chi_1, at the fixed point.
    """

    length: float
    gradient_factor: float

    @property
    def depth_scale(self) -> float:
        """Layers over which squared gradients change by a factor of e: 1 / |ln chi_1|.

        In the ordered phase also those over which two inputs become alike. Networks much deeper
        than six times this scale did not train (Schoenholz et al., 2017, arXiv 1611.01232, figure
        5). Infinite at criticality.
        """
        if self.gradient_factor <= 0.0:
            return 0.0
        rate = abs(math.log(self.gradient_factor))
        return 1.0 / rate if rate > 1e-9 else math.inf


@cache
def mean_field(
    weight_variance: float, bias_variance: float, nonlinearity: str | Nonlinearity
) -> MeanField:
    """Compute the fixed point of many equal layers, and chi_1 there.

    Args:
        weight_variance: s_w, variance of the weights times fan-in.
        bias_variance: s_b.
        nonlinearity: a name of `NONLINEARITIES`, or a function.

    Raises:
        ValueError: a negative variance, or an unknown name.

    Examples:
        >>> field = mean_field(2.0, 0.0, "relu")  # He et al., 2015: critical
        >>> field.length, round(field.gradient_factor, 9), field.depth_scale
        (1.0, 1.0, inf)
    """
    if weight_variance < 0.0 or bias_variance < 0.0:
        raise ValueError(
            f"variances are 0 or more, got {weight_variance} of the weights and {bias_variance} of "
            "the biases"
        )

    def growth(length: float) -> float:
        following = length_map(
            length,
            weight_variance=weight_variance,
            bias_variance=bias_variance,
            nonlinearity=nonlinearity,
        )
        return math.log(following / length) if following > 0.0 else -math.inf

    length = _fixed_point(growth)
    inside = min(max(length, _SMALLEST), _LARGEST)
    factor = gradient_factor(inside, weight_variance=weight_variance, nonlinearity=nonlinearity)
    return MeanField(length, factor)


def _fixed_point(growth: Callable[[float], float]) -> float:
    """Follow the sign of the growth from length 1 to the nearest zero crossing."""
    here = growth(1.0)
    if abs(here) < 1e-12:
        return 1.0
    factor = 1.5 if here > 0 else 1 / 1.5
    near, far = 1.0, factor
    while (growth(far) > 0) == (here > 0):
        near, far = far, far * factor
        if not _SMALLEST < far < _LARGEST:
            return math.inf if here > 0 else 0.0
    for _ in range(60):
        middle = math.sqrt(near * far)
        near, far = (middle, far) if (growth(middle) > 0) == (here > 0) else (near, middle)
    return math.sqrt(near * far)


@dataclass(frozen=True)
class PlainLayer:
    """A fully connected layer of a plain network.

    Attributes:
        weight_variance: second moment of its weights times fan-in.
        bias_variance: second moment of its biases.
        before: what stands before it, in order: names of `NONLINEARITIES`, "batch_norm",
            "layer_norm" or "rms_norm".
    """

    weight_variance: float
    bias_variance: float = 0.0
    before: tuple[str, ...] = ()


def plain_ladder(
    layers: Sequence[PlainLayer],
    *,
    samples: int,
    length: float = 1.0,
    distance: float = 1.0,
) -> Ladder:
    """Compute the statistics of the pre-activations of a plain network, layer by layer.

    Of N samples whose pairs all have the same q and d, a channel has in expectation

        average channel variance = (1 - 1/N) d, average channel squared mean = q - that,

    so that the second moment is q. This is the curve of He's initialisation with ReLU (q stays, the
    variance turns into squared mean), of LeCun's with SELU (both stay), and of any other.

    Args:
        layers: in order of execution.
        samples: N, values per channel.
        length, distance: q and d of what enters the first layer; 1 and 1 of independent noise.

    Returns:
        One value per layer, (len(layers),); the residual statistics are empty.

    Raises:
        ValueError: batch normalisation over a single sample.
    """
    q, d = length, distance
    lengths, distances = [], []
    for layer in layers:
        for name in layer.before:
            q, d = _through(name, q, d, samples)
        q = layer.weight_variance * q + layer.bias_variance
        d = layer.weight_variance * d
        lengths.append(q)
        distances.append(d)
    variance = np.array(distances) * (1.0 - 1.0 / samples)
    return Ladder(
        average_channel_variance=variance,
        average_channel_squared_mean=np.maximum(np.array(lengths) - variance, 0.0),
        residual_average_channel_variance=np.empty(0),
    )


def _through(name: str, q: float, d: float, samples: int) -> tuple[float, float]:
    """Take length and distance through a normalisation or a nonlinearity."""
    if name == "batch_norm":  # each channel has variance 1 and mean 0 over the samples
        if samples < 2:
            raise ValueError(f"batch_norm is over two samples or more, got samples={samples}")
        return 1.0, 1.0 / (1.0 - 1.0 / samples)
    if name in ("layer_norm", "rms_norm"):
        return 1.0, d / q
    following = length_map(q, weight_variance=1.0, nonlinearity=name)
    return following, distance_map(q, min(d, 2.0 * q), weight_variance=1.0, nonlinearity=name)
