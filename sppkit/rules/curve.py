"""A quantity along the network: one value for each seed and place, in order of execution."""

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from sppkit.rules.rows import Rows

Array = NDArray[np.float64]

FLOOR, CEILING = -12.0, 12.0
"""Logarithms are cut here: beyond, a signal is as good as gone, or as good as infinite."""

LEAST_SPREAD = 0.05
"""Decades: what a statistic is taken to vary by between seeds, at least; few seeds show less."""


@dataclass(frozen=True, eq=False)
class Curve:
    """A quantity at places of a network.

    Attributes:
        layers: name of each place, (P,).
        values: (S, P), one row per seed of the recording; NaN where undefined.
    """

    layers: tuple[str, ...]
    values: Array

    @property
    def log(self) -> Array:
        """The decadic logarithm of the values, cut at `FLOOR` and `CEILING`, (S, P)."""
        return logarithm(self.values)

    @property
    def typical(self) -> Array:
        """The median over seeds of the logarithm, (P,)."""
        return median(self.log, axis=0)

    def __len__(self) -> int:
        """Return the number of places."""
        return len(self.layers)


def curve_of(rows: Rows, values: str | Array) -> Curve:
    """Lay rows of one signal out by seed and place.

    Args:
        rows: of one signal, hence one for each seed and place.
        values: a column, or one value per row.
    """
    known = rows["place"] >= 0
    places, example, position = np.unique(
        rows["place"][known], return_index=True, return_inverse=True
    )
    seed = rows["seed_number"][known]
    laid_out = np.full((rows.seeds, len(places)), np.nan)
    column = rows[values] if isinstance(values, str) else values
    laid_out[seed, position] = column[known]
    names = zip(rows["layer"][known][example], rows["operation"][known][example], strict=True)
    return Curve(tuple(place_name(*name) for name in names), laid_out)


def place_name(layer: str, operation: str) -> str:
    """Name a place: the module, or, at the root, the operation."""
    return layer or operation


def logarithm(values: Array) -> Array:
    """Return log10, cut at `FLOOR` and `CEILING`: of zero it is the floor, of NaN it is NaN."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.clip(np.log10(values), FLOOR, CEILING)


def median(values: Array, axis: int) -> Array:
    """Return the median that passes over NaN; NaN, silently, where there is nothing else."""
    empty = np.isnan(values).all(axis=axis)
    kept = np.where(np.expand_dims(empty, axis), 0.0, values)
    return np.where(empty, np.nan, np.nanmedian(kept, axis=axis))


def middle(values: Array) -> float:
    """Return the median of all that is known; NaN where nothing is."""
    known = values[~np.isnan(values)]
    return float(np.median(known)) if known.size else float("nan")


@dataclass(frozen=True)
class Comparison:
    """A statistic of several seeds against a threshold.

    Attributes:
        centre: mean over the seeds, of logarithms cut two decades beyond the threshold.
        margin: how far the centre lies beyond the threshold, in standard errors.
    """

    centre: float
    margin: float

    @property
    def exceeded(self) -> bool:
        """Say whether the centre is beyond the threshold."""
        return self.margin > 0

    @property
    def confidence(self) -> float:
        """The probability that other seeds of the same network decide alike (normal)."""
        return NormalDist().cdf(abs(self.margin))


def compare(logarithms: Array, threshold: float, *, below: bool = False) -> Comparison:
    """Compare a statistic, one logarithm per seed, with a threshold in the same unit.

    margin = (mean - threshold) / (s / √S), with s the standard deviation over the S seeds, at
    least `LEAST_SPREAD`. Values further than two decades from the threshold are cut there, so that
    one seed in which a unit died does not speak for all.

    Args:
        logarithms: (S,); NaN are left out, and of none the margin is NaN.
        threshold: in decades.
        below: whether the sick side is below the threshold.
    """
    known = np.clip(logarithms[~np.isnan(logarithms)], threshold - 2.0, threshold + 2.0)
    if not known.size:
        return Comparison(float("nan"), float("nan"))
    centre = float(known.mean())
    spread = max(float(known.std(ddof=1)) if known.size > 1 else 0.0, LEAST_SPREAD)
    beyond = threshold - centre if below else centre - threshold
    return Comparison(centre, beyond / (spread / known.size**0.5))
