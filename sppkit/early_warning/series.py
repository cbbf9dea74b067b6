"""Number the rows of a recording: what one tensor's signal shows step after step is one series."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray

_MOST_BLOCKS = 64  # kinds of steps whose numbers are kept


class Label(NamedTuple):
    """What a series is of: the words of the table, and how large the tensor is.

    Attributes:
        layer, call, operation, tensor, signal, rank: as in the table; they tell series apart.
        layer_type, role, depth, dtype: of its first row.
        channels, samples: of its first row; samples are values per channel.
    """

    layer: str
    call: int
    operation: str
    tensor: str
    signal: str
    rank: int
    layer_type: str
    role: str
    depth: float
    dtype: str
    channels: int
    samples: int

    @property
    def parameter(self) -> str:
        """The qualified name of the parameter, as in `named_parameters`."""
        return f"{self.layer}.{self.tensor}" if self.layer else self.tensor


_KEY = ("layer", "call", "operation", "tensor", "signal")
_KEY_LENGTH = len(_KEY) + 1
_REST = ("layer_type", "role", "depth", "dtype", "channels", "samples")


class Series:
    """Numbers, in the order in which the series were first seen."""

    def __init__(self) -> None:
        self.labels: list[Label] = []
        self._numbers: dict[tuple[Any, ...], int] = {}
        self._of_blocks: dict[int, tuple[Any, Array]] = {}
        self._columns: dict[str, Array] = {}

    def __len__(self) -> int:
        """Count the series."""
        return len(self.labels)

    def numbers(self, columns: Mapping[str, Any]) -> Array:
        """Give the number of each row's series.

        Steps that look alike share the arrays of their labels, which are looked at once.
        """
        marker = columns["layer"]
        known, numbers = self._of_blocks.get(id(marker), (None, None))
        if known is marker and numbers is not None:
            return numbers
        numbers = self._look_up(columns)
        if len(self._of_blocks) >= _MOST_BLOCKS:
            self._of_blocks.clear()
        self._of_blocks[id(marker)] = marker, numbers
        return numbers

    def _look_up(self, columns: Mapping[str, Any]) -> Array:
        rank = int(columns["rank"])
        keys = [(*key, rank) for key in zip(*(columns[name] for name in _KEY), strict=True)]
        rests = zip(*(columns[name] for name in _REST), strict=True)
        return np.array([self._number(k, r) for k, r in zip(keys, rests, strict=True)], dtype=int)

    def _number(self, key: tuple[Any, ...], rest: tuple[Any, ...]) -> int:
        number = self._numbers.get(key)
        if number is None:
            layer_type, role, depth, dtype, channels, samples = rest
            depth = np.inf if depth is None or np.isnan(depth) else float(depth)
            layer, call, operation, tensor, signal, rank = key
            words = (str(layer), int(call), str(operation), str(tensor), str(signal), int(rank))
            sizes = int(channels), int(samples)
            self._add(Label(*words, str(layer_type), str(role), depth, str(dtype), *sizes))
            number = self._numbers[key]
        return number

    def _add(self, label: Label) -> None:
        self._numbers[label[:_KEY_LENGTH]] = len(self.labels)
        self.labels.append(label)
        self._columns.clear()

    def column(self, name: str) -> Array:
        """Give one attribute of the labels of all series."""
        if name not in self._columns:
            self._columns[name] = np.array([getattr(label, name) for label in self.labels])
        return self._columns[name]

    def state(self) -> list[list[Any]]:
        """Give the labels as plain lists."""
        return [list(label) for label in self.labels]

    @classmethod
    def of_state(cls, state: list[list[Any]]) -> "Series":
        """Make series of what `state` gave."""
        series = cls()
        for label in state:
            series._add(Label(*label))
        return series
