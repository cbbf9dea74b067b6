"""Number the rows of a recording: what one tensor's signal shows step after step is one series."""

from collections.abc import Callable, Mapping
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
        self._of_blocks: dict[int, tuple[Any, Labels]] = {}

    def __len__(self) -> int:
        """Count the series."""
        return len(self.labels)

    def labels_of(self, columns: Mapping[str, Any]) -> "Labels":
        """Give the labels of the rows of a step.

        Steps that look alike share the arrays of their labels, which are looked at once.
        """
        marker = columns["layer"]
        known, labels = self._of_blocks.get(id(marker), (None, None))
        if known is marker and labels is not None:
            return labels
        labels = Labels(self, self._look_up(columns))
        if len(self._of_blocks) >= _MOST_BLOCKS:
            self._of_blocks.clear()
        self._of_blocks[id(marker)] = marker, labels
        return labels

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


class Labels:
    """What the rows of a block are of, and what follows from it, found out once.

    Args:
        series: all of them.
        numbers: of each row.
    """

    def __init__(self, series: Series, numbers: Array) -> None:
        self.series, self.numbers = series, numbers
        self._known: dict[str, Array] = {}

    def __getitem__(self, name: str) -> Array:
        """Give one attribute of the label of each row."""
        labels = self.series.labels
        return self.once(
            name, lambda: np.array([getattr(labels[number], name) for number in self.numbers])
        )

    def once(self, name: str, find: Callable[[], Array]) -> Array:
        """Give what follows from the labels alone, under a name; it is found out once."""
        if name not in self._known:
            self._known[name] = find()
        return self._known[name]

    def of_rows(self, rows: Array) -> "Labels":
        """Give the labels of some of the rows."""
        return Labels(self.series, self.numbers[rows])
