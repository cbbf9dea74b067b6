"""Nonlinearities: functions of one number, by the names they have in `torch.nn.functional`."""

import difflib
import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

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
    "logsigmoid": lambda z: -_softplus(-z),
    "hard_swish": lambda z: z * _hard_sigmoid(z),
    "hardswish": lambda z: z * _hard_sigmoid(z),
    "hard_sigmoid": _hard_sigmoid,
    "hardsigmoid": _hard_sigmoid,
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
