"""Rows of the table as arrays: what a rule does a thousand times is too slow on wide frames."""

from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sppkit.table import TABLE_COLUMNS

PLACE = ["depth", "call", "layer", "operation", "tensor"]
"""What tells places apart, in the order that sorts them by execution."""


@dataclass(frozen=True, eq=False)
class Rows:
    """Some rows of a table.

    Attributes:
        column: gives a whole column of the table as an array.
        number: the numbers of these rows, (R,).
    """

    column: Callable[[str], NDArray[Any]]
    number: NDArray[np.intp]
    _kept: dict[str, NDArray[Any]] = field(default_factory=dict)

    @classmethod
    def of(cls, table: pd.DataFrame) -> "Rows":
        """Take all rows of a table; `place` and `seed_number` become columns of it.

        Places are numbered in order of execution; rows without a depth (never called) have -1.
        """
        columns: dict[str, NDArray[Any]] = {
            "place": _places(table),
            "seed_number": np.unique(table["seed"], return_inverse=True)[1],
        }

        def column(name: str) -> NDArray[Any]:
            if name not in columns:
                columns[name] = _as_array(table[name])
            return columns[name]

        return cls(column, np.arange(len(table)))

    def __getitem__(self, name: str) -> NDArray[Any]:
        """Give a column of these rows, (R,); integers that may be missing are floats."""
        if name not in self._kept:
            self._kept[name] = self.column(name)[self.number]
        return self._kept[name]

    @property
    def seeds(self) -> int:
        """The number of seeds in the whole table."""
        return int(self.column("seed_number").max(initial=-1)) + 1

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.number)

    def keep(self, mask: NDArray[np.bool_]) -> "Rows":
        """Choose rows by a mask, (R,)."""
        return Rows(self.column, self.number[mask])

    def where(self, **equal: object) -> "Rows":
        """Choose the rows whose columns have these values."""
        mask = np.ones(len(self), dtype=np.bool_)
        for name, value in equal.items():
            mask &= self[name] == value
        return self.keep(mask)

    def among(self, name: str, values: Container[object]) -> "Rows":
        """Choose the rows whose column has one of these values."""
        return self.keep(np.array([value in values for value in self[name]], dtype=np.bool_))

    def by(self, *names: str) -> "Rows":
        """Sort, by the first name first; equal rows stay in their order."""
        order = np.lexsort([self[name] for name in reversed(names)])
        return Rows(self.column, self.number[order])

    def first(self) -> dict[str, Any]:
        """Give the first row by its columns' names, those that place it and what was measured."""
        one = Rows(self.column, self.number[:1])
        return _Row(one)


class _Row(dict[str, Any]):
    """One row, whose columns are looked up when they are asked for."""

    def __init__(self, rows: Rows) -> None:
        super().__init__()
        self._rows = rows

    def __missing__(self, name: str) -> Any:
        return self._rows[name][0]


def joined(parts: Iterable[Rows]) -> Rows:
    """Put rows of one table together."""
    parts = list(parts)
    return Rows(parts[0].column, np.concatenate([part.number for part in parts]))


def _as_array(series: "pd.Series[Any]") -> NDArray[Any]:
    kind = TABLE_COLUMNS.get(str(series.name), "float64")
    if kind == "category":
        series = series.astype("category")
        text = np.array([*series.cat.categories, ""], dtype=object)
        return text[series.cat.codes.to_numpy()]
    if kind == "Int64":
        return series.to_numpy("float64", na_value=np.nan)
    return series.to_numpy()


def _places(table: pd.DataFrame) -> NDArray[np.intp]:
    known = table["depth"].notna().to_numpy()
    codes = [_as_array(table[name])[known] for name in PLACE]
    places = np.full(len(table), -1, dtype=np.intp)
    numbers = [np.unique(values, return_inverse=True)[1] for values in codes]
    keys = np.stack(numbers, axis=1) if known.any() else np.empty((0, len(PLACE)), np.intp)
    places[known] = np.unique(keys, axis=0, return_inverse=True)[1].ravel()
    return places
