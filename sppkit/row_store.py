"""Rows of the table in the making, held by column: a few numbers for each row, and no objects."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from sppkit.table import TABLE_COLUMNS, concatenate

_INTEGERS = [name for name, kind in TABLE_COLUMNS.items() if kind == "int64"]
_OPTIONAL_INTEGERS = [name for name, kind in TABLE_COLUMNS.items() if kind == "Int64"]
_CATEGORIES = [name for name, kind in TABLE_COLUMNS.items() if kind == "category"]
_LEAST_CAPACITY = 256
_MOST_LABELS = 1024  # columns of labels whose numbers are kept
_MISSING = -1  # the code of a category that a row does not have


class RowStore:
    """Rows that are appended by column and given back as one frame, which is made when asked for.

    Args:
        statistics: names of the float64 columns behind those of `sppkit.table.TABLE_COLUMNS`.
    """

    def __init__(self, statistics: Iterable[str]) -> None:
        self._columns = [*TABLE_COLUMNS, *statistics]
        self._float_columns = [*_OPTIONAL_INTEGERS, *self._columns[len(TABLE_COLUMNS) :]]
        self._earlier: pd.DataFrame | None = None
        self._frame: pd.DataFrame | None = None
        self.clear()

    @classmethod
    def of(cls, frame: pd.DataFrame, statistics: Iterable[str]) -> "RowStore":
        """Make a store that holds the rows of a frame."""
        store = cls(statistics)
        store._earlier = frame
        return store

    def __len__(self) -> int:
        """Count the rows."""
        return self._length + (0 if self._earlier is None else len(self._earlier))

    def append(self, columns: Mapping[str, Any]) -> None:
        """Append rows.

        Args:
            columns: arrays or lists of equal length by name of column; a single value stands for
                all rows. Statistics, categories and optional integers may be left out, and hold
                None or NaN where a row has none.

        Raises:
            ValueError: the lengths differ, a column is unknown, or an integer one is left out.
        """
        size = self._check(columns)
        self._reserve(size)
        rows = slice(self._length, self._length + size)
        for position, name in enumerate(_INTEGERS):
            self._integers[position, rows] = columns[name]
        for position, name in enumerate(self._float_columns):
            values = columns.get(name, np.nan)
            self._floats[position, rows] = np.nan if values is None else values
        for position, name in enumerate(_CATEGORIES):
            self._codes[position, rows] = self._encode(position, columns.get(name))
        self._length += size
        self._frame = None

    def append_rows(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Append rows that are given one by one.

        Raises:
            ValueError: as `append` does.
        """
        names = dict.fromkeys(name for row in rows for name in row)
        if rows:
            self.append({name: [row.get(name) for row in rows] for name in names})

    def frame(self, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """Give all rows, or some columns of them; what is given is not to be written to."""
        if self._frame is None:
            self._frame = self._make_frame()
        return self._frame if columns is None else self._frame[list(columns)]

    def clear(self) -> None:
        """Forget all rows, and the words that they held."""
        self._earlier = self._frame = None
        self._length = 0
        self._words: list[dict[str, int]] = [{} for _ in _CATEGORIES]
        self._codes_of: dict[tuple[int, int], tuple[Any, np.ndarray]] = {}
        self._integers = np.empty((len(_INTEGERS), 0), dtype=np.int64)
        self._floats = np.empty((len(self._float_columns), 0), dtype=np.float64)
        self._codes = np.empty((len(_CATEGORIES), 0), dtype=np.int32)

    def _check(self, columns: Mapping[str, Any]) -> int:
        if unknown := columns.keys() - set(self._columns):
            raise ValueError(f"the table has no columns {sorted(unknown)}; it has {self._columns}")
        if lacking := [name for name in _INTEGERS if name not in columns]:
            raise ValueError(f"rows need the integer columns {lacking}")
        lengths = {name: len(values) for name, values in columns.items() if _is_many(values)}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"columns must be of equal length, not {lengths}")
        return next(iter(lengths.values()), 1)

    def _reserve(self, size: int) -> None:
        """Make room; capacity doubles, so that a row is copied twice at most on average."""
        needed, capacity = self._length + size, self._codes.shape[1]
        if needed <= capacity:
            return
        capacity = max(needed, 2 * capacity, _LEAST_CAPACITY)
        self._integers = self._enlarged(self._integers, capacity)
        self._floats = self._enlarged(self._floats, capacity)
        self._codes = self._enlarged(self._codes, capacity)

    def _enlarged(self, values: np.ndarray, capacity: int) -> np.ndarray:
        larger = np.empty((values.shape[0], capacity), dtype=values.dtype)
        larger[:, : self._length] = values[:, : self._length]
        return larger

    def _encode(self, position: int, values: Any) -> Any:
        """Number the words of a column in the order in which they come.

        Steps that look alike share the arrays of their labels, which are numbered once.
        """
        words = self._words[position]
        if not _is_many(values):
            return _MISSING if values is None else words.setdefault(str(values), len(words))
        known, codes = self._codes_of.get((position, id(values)), (None, None))
        if known is not values or codes is None:
            numbers = [
                _MISSING if word is None else words.setdefault(str(word), len(words))
                for word in values
            ]
            codes = np.array(numbers, dtype=np.int32)
            if len(self._codes_of) >= _MOST_LABELS:
                self._codes_of.clear()
            self._codes_of[position, id(values)] = values, codes
        return codes

    def _make_frame(self) -> pd.DataFrame:
        if self._earlier is not None and not self._length:
            return self._earlier
        rows = slice(0, self._length)
        data: dict[str, Any] = {
            **dict(zip(_INTEGERS, self._integers[:, rows], strict=True)),
            **dict(zip(self._float_columns, self._floats[:, rows], strict=True)),
        }
        data |= {name: _optional_integers(data[name]) for name in _OPTIONAL_INTEGERS}
        for codes, words, name in zip(self._codes[:, rows], self._words, _CATEGORIES, strict=True):
            data[name] = _categorical(codes, list(words))
        frame = pd.DataFrame({name: data[name] for name in self._columns})
        return frame if self._earlier is None else concatenate((self._earlier, frame))


def _is_many(values: Any) -> bool:
    return not isinstance(values, str) and hasattr(values, "__len__")


def _optional_integers(values: np.ndarray) -> pd.api.extensions.ExtensionArray:
    is_missing = np.isnan(values)
    return pd.arrays.IntegerArray(np.where(is_missing, 0, values).astype(np.int64), is_missing)


def _categorical(codes: np.ndarray, words: list[str]) -> pd.Categorical:
    """Make a column of words, whose categories are in the order of the alphabet."""
    order = sorted(range(len(words)), key=words.__getitem__)
    ranks = np.empty(len(words) + 1, dtype=np.int32)
    ranks[order] = np.arange(len(words))
    ranks[-1] = _MISSING  # of the code -1
    categories = pd.Index([words[i] for i in order], dtype=None if words else object)
    return pd.Categorical.from_codes(ranks[codes], categories=categories)
