"""Split networks by family, so that what is fitted on one part has never seen the other's kind."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray


def halves(labels: pd.DataFrame) -> NDArray[np.int64]:
    """Give each network half 0 or 1; a family is never split.

    Families go, largest first, to the half where they make both counts (networks that train, and
    that do not) more even; so the split depends on nothing but the labels.

    Args:
        labels: with the columns `family` and `trains`.
    """
    return _parts(labels, 2)


def folds(labels: pd.DataFrame, number: int = 5) -> NDArray[np.int64]:
    """Give each network a fold for cross-validation, in the same way."""
    return _parts(labels, number)


def _parts(labels: pd.DataFrame, number: int) -> NDArray[np.int64]:
    counts = pd.crosstab(labels["family"], labels["trains"]).reindex(
        columns=[False, True], fill_value=0
    )
    order = counts.assign(size=counts.sum(axis=1)).sort_values(
        "size", ascending=False, kind="stable"
    )
    filled = np.zeros((number, 2))
    chosen: dict[str, int] = {}
    for family in order.index:
        added = counts.loc[family].to_numpy()
        unevenness = [_unevenness(filled, part, added) for part in range(number)]
        chosen[str(family)] = int(np.argmin(unevenness))
        filled[chosen[str(family)]] += added
    return np.array([chosen[family] for family in labels["family"]], dtype=np.int64)


def _unevenness(filled: NDArray[np.float64], part: int, added: NDArray[np.int64]) -> float:
    after = filled.copy()
    after[part] += added
    return float(after.var(axis=0).sum())
