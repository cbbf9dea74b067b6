"""Mean and variance of a nonlinearity's output under gaussian input, and the gain it needs."""

import math
from dataclasses import dataclass
from functools import cache

import numpy as np

from sppkit.theory.nonlinearities import Array, Nonlinearity, named_nonlinearity
from sppkit.theory.quadrature import gaussian_quadrature


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


def evaluate(nonlinearity: str | Nonlinearity, z: Array) -> Array:
    """Apply a nonlinearity, and refuse what is not elementwise or not finite."""
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

    Examples:
        >>> moments = nonlinearity_moments("relu")
        >>> round(moments.mean, 6), round(moments.second_moment, 6), round(moments.variance, 6)
        (0.398942, 0.5, 0.340845)
    """
    if not (math.isfinite(mean) and math.isfinite(variance) and variance >= 0.0):
        raise ValueError(f"expected a finite mean and variance >= 0, got {mean} and {variance}")
    if variance == 0.0:
        return Moments(float(evaluate(nonlinearity, np.array([mean]))[0]), 0.0)
    z, weights = gaussian_quadrature(mean, math.sqrt(variance))
    y = evaluate(nonlinearity, z)
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

    Examples:
        >>> round(nonlinearity_gain("relu"), 10)    # sqrt(2 / (1 - 1/pi))
        1.7128585504
    """
    return _named_gain(nonlinearity) if isinstance(nonlinearity, str) else _gain(nonlinearity)
