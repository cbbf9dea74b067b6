"""Expectations over gaussian variables; panels end where a nonlinearity may have a corner."""

import math
from collections.abc import Callable

import numpy as np

from sppkit.theory.nonlinearities import Array

_REACH = 12  # standard deviations; the mass beyond is 4e-33
KINKS = np.arange(-6.0, 7.0)  # where a registered function may have a corner: -3, 0, 3, 6
_NODES_PER_PANEL = 48


def panels(edges: Array, nodes_per_panel: int) -> tuple[Array, Array]:
    """Return Gauss-Legendre nodes and weights of the panels between neighbouring edges."""
    nodes, weights = np.polynomial.legendre.leggauss(nodes_per_panel)
    half = np.diff(edges)[:, None] / 2.0
    middle = (edges[:-1, None] + edges[1:, None]) / 2.0
    return (middle + half * nodes).ravel(), (half * weights).ravel()


def normal_density(x: Array, variance: float = 1.0) -> Array:
    """Return the density of N(0, variance) at x."""
    density: Array = np.exp(-(x**2) / (2.0 * variance)) / math.sqrt(2.0 * math.pi * variance)
    return density


def gaussian_quadrature(mean: float, deviation: float) -> tuple[Array, Array]:
    """Return nodes z and weights such that sum(weights * g(z)) = E[g(z)], z ~ N(mean, deviation²).

    No panel holds a corner of a registered function inside, so the rule converges exponentially.
    """
    corners = np.clip((KINKS - mean) / deviation, -_REACH, _REACH)
    edges = np.unique(np.concatenate([np.arange(-_REACH, _REACH + 1.0), corners]))
    nodes, weights = panels(edges, _NODES_PER_PANEL)
    return mean + deviation * nodes, weights * normal_density(nodes)


_HALF_REACH = 9.0
_OUTER_NODES = 16
_INNER_NODES = 16


def squared_difference(
    function: Callable[[Array], Array], sum_variance: float, difference_variance: float
) -> float:
    """Return E[(g(a + b) - g(a - b))²] for independent a ~ N(0, v_a) and b ~ N(0, v_b).

    Without cancellation, however close the two arguments: for each b the panels over a end where
    either argument meets a corner.

    Args:
        function: g, elementwise.
        sum_variance: v_a.
        difference_variance: v_b.
    """
    nodes, weights = panels(np.arange(_HALF_REACH + 1.0), _OUTER_NODES)
    b = math.sqrt(difference_variance) * nodes[:, None]
    a, inner = _split_at_corners(math.sqrt(sum_variance), b)
    squares = (function(a + b) - function(a - b)) ** 2
    return float(2.0 * (weights * normal_density(nodes)) @ (inner * squares).sum(axis=1))


def _split_at_corners(deviation: float, b: Array) -> tuple[Array, Array]:
    """Return nodes a, one row per b, and their weights under N(0, deviation²)."""
    if deviation == 0.0:
        return np.zeros_like(b), np.ones_like(b)
    fixed = np.broadcast_to(np.arange(-_REACH, _REACH + 1.0), (len(b), 2 * _REACH + 1))
    corners = np.concatenate([(KINKS - b) / deviation, (KINKS + b) / deviation], axis=1)
    edges = np.sort(np.concatenate([fixed, np.clip(corners, -_REACH, _REACH)], axis=1), axis=1)
    points, weights = np.polynomial.legendre.leggauss(_INNER_NODES)
    half = np.diff(edges, axis=1)[:, :, None] / 2.0
    middle = (edges[:, 1:] + edges[:, :-1])[:, :, None] / 2.0
    z = (middle + half * points).reshape(len(b), -1)
    return deviation * z, (half * weights).reshape(len(b), -1) * normal_density(z)
