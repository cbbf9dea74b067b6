"""Fit the weighing of the evidence: a logistic regression on distances from the healthy range.

    logit P(trains) = a - sum_k c_k h_k,    h_k = max(0, z_k - x) or max(0, x - z_k),    c_k >= 0

with x a named statistic (a decadic logarithm), z_k a quantile of the networks that train. So every
term says "this is so many decades outside of where networks that train are", each can only count
against a network, and what is far outside counts more. Few of the c_k are not zero: their sum is
penalised (the lasso of Tibshirani 1996).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, logit

from sppkit.rules.curve import compare

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

NOT_WEIGHED = ("number_of_layers", "range_", "spread_")
"""Beginnings of statistics that say how deep a network is rather than how sound."""

EXTREMES = {"smallest": "above", "least": "above", "largest": "below"}
"""Extremes over layers widen with depth; they count on the side that depth moves them away from."""

QUANTILES = {"below": (0.02, 0.1), "above": (0.9, 0.98)}
"""Of the networks that train: where the two sides of a statistic begin to count."""

PENALTY = 0.003
"""On the sum of coefficients, the mean logarithmic loss being about one; some twenty terms remain.

Between 0.001 and 0.01 the loss on unseen families varies by 5 %, less than between splits.
"""


@dataclass(frozen=True)
class Bend:
    """One term: how far a statistic lies below or above a place, in decades."""

    statistic: str
    at: float
    side: str

    def distance(self, statistics: pd.DataFrame) -> Array:
        """Measure it for each row; an undefined statistic has no distance."""
        x = statistics[self.statistic].to_numpy(np.float64)
        beyond = self.at - x if self.side == "below" else x - self.at
        return np.nan_to_num(np.maximum(beyond, 0.0), nan=0.0)


@dataclass(frozen=True)
class Weighing:
    """A fitted model: an intercept, and how much each bend counts against a network."""

    intercept: float
    bends: tuple[Bend, ...]
    coefficients: tuple[float, ...]
    threshold: float = 0.5

    def probability(self, statistics: pd.DataFrame) -> Array:
        """Give the probability that each row's network trains."""
        against = sum(
            c * bend.distance(statistics)
            for bend, c in zip(self.bends, self.coefficients, strict=True)
        )
        return np.asarray(expit(self.intercept - against))

    def fails(self, by_seed: pd.DataFrame) -> NDArray[np.bool_]:
        """Decide as `sppkit.rules` does, over the logits of several seeds.

        Args:
            by_seed: statistics of each seed, with the column `row` that says of which network.
        """
        logits = pd.Series(logit(self.probability(by_seed)), index=by_seed["row"])
        limit = float(logit(self.threshold))
        return np.array(
            [
                compare(seeds.to_numpy(), limit, below=True).exceeded
                for _, seeds in logits.groupby(level=0)
            ]
        )

    def as_dict(self) -> dict[str, Any]:
        """Write it as `sppkit.rules` reads it."""
        statistics: dict[str, Any] = {}
        for bend, c in zip(self.bends, self.coefficients, strict=True):
            entry = statistics.setdefault(bend.statistic, {"bends": []})
            entry["bends"].append(
                {"at": round(bend.at, 3), "side": bend.side, "coefficient": -round(c, 4)}
            )
        return {
            "schema": 1,
            "kind": "logistic",
            "threshold": round(self.threshold, 4),
            "intercept": round(self.intercept, 4),
            "statistics": statistics,
        }


def candidates(statistics: pd.DataFrame, trains: Flags, groups: pd.Series) -> list[Bend]:
    """List the terms to choose from: sides of each statistic, at quantiles of the healthy.

    Of several groups of networks the quantile counts that lies furthest out.
    """
    healthy = statistics[trains].groupby(groups[trains])
    places = [
        Bend(name, float(healthy[name].quantile(quantile).agg(furthest)), side)
        for name in statistics.columns
        if not name.startswith(NOT_WEIGHED)
        for side, furthest in (("below", "min"), ("above", "max"))
        if side in _sides(name)
        for quantile in QUANTILES[side]
    ]
    return list(dict.fromkeys(bend for bend in places if np.isfinite(bend.at)))


def _sides(name: str) -> tuple[str, ...]:
    extreme = EXTREMES.get(name.partition("_")[0])
    return (extreme,) if extreme else tuple(QUANTILES)


def fit(
    statistics: pd.DataFrame,
    trains: Flags,
    groups: pd.Series,
    penalty: float = PENALTY,
    least: float = 1e-3,
) -> Weighing:
    """Fit the weighing to networks whose outcome is known.

    Both outcomes count alike, and of each outcome the groups.

    Args:
        statistics: a row for each network (and input), a column for each named statistic.
        trains: whether it trains.
        groups: of networks that are unlike each other, such as inputs, or small and large ones.
        penalty: on the sum of the coefficients.
        least: coefficients below it are left out.
    """
    bends = candidates(statistics, trains, groups)
    distances = np.column_stack([bend.distance(statistics) for bend in bends])
    weights = _weights(trains, groups)
    signs = np.where(trains, 1.0, -1.0)

    def cost(parameters: Array) -> tuple[float, Array]:
        for_training = parameters[0] - distances @ parameters[1:]
        loss = weights @ np.logaddexp(0.0, -signs * for_training) / np.log(2.0)
        slope = -weights * signs * expit(-signs * for_training) / np.log(2.0)
        gradient = np.concatenate([[slope.sum()], -distances.T @ slope + penalty])
        return float(loss + penalty * parameters[1:].sum()), gradient

    bounds = [(None, None), *((0.0, None) for _ in bends)]
    start = np.zeros(len(bends) + 1)
    solution = minimize(cost, start, jac=True, bounds=bounds, method="L-BFGS-B").x
    kept = [index for index, c in enumerate(solution[1:]) if c > least]
    return Weighing(
        float(solution[0]),
        tuple(bends[index] for index in kept),
        tuple(float(solution[1 + index]) for index in kept),
    )


def _weights(trains: Flags, groups: pd.Series) -> Array:
    """Give weights of sum 1 by which both outcomes, and in each of them all groups, count alike."""
    cells = pd.DataFrame({"trains": trains, "group": groups.to_numpy()})
    size = cells.groupby(["trains", "group"])["trains"].transform("size")
    number = cells.groupby("trains")["group"].transform("nunique")
    return (0.5 / (size * number)).to_numpy(np.float64)


def out_of_fold(
    statistics: pd.DataFrame, trains: Flags, groups: pd.Series, folds: NDArray[np.int64]
) -> Array:
    """Give each row the probability by a fit that has not seen its fold."""
    probability = np.empty(len(trains))
    for fold in np.unique(folds):
        held = folds == fold
        fitted = fit(statistics[~held], trains[~held], groups[~held])
        probability[held] = fitted.probability(statistics[held])
    return probability
