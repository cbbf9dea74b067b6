"""Which numbers of a recording go to a tracker, and by which names."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sppkit.capture.processes.ranks import ALL_RANKS
from sppkit.capture.readings.rows import COMPARED
from sppkit.patterns import Patterns, matcher
from sppkit.recording import STATISTIC_COLUMNS
from sppkit.signals import OF_OUTPUTS, Phase, Role, Signal, Tap
from sppkit.statistics import PAIR_STATISTICS, WEIGHT_STATISTICS
from sppkit.table import Columns

SCALARS = (
    "activation.average_channel_variance",
    "gradient.second_moment",
    "weight_gradient.norm_to_weight_ratio",
)
"""What is told by default: the signal forward and backward, and how large gradients are."""

MOST_LAYERS = 24
"""So many layers are told of by default, spread evenly over the depth of the network."""

_OF_UNITS = frozenset(statistic.__name__ for statistic in WEIGHT_STATISTICS)
_OF_PAIRS = frozenset(statistic.__name__ for statistic in PAIR_STATISTICS)
_LABELS = (
    "phase",
    "depth",
    "layer",
    "call",
    "operation",
    "tensor",
    "signal",
    "layer_type",
    "role",
    "tap",
)
_BIASES = frozenset({"bias", "in_proj_bias"})


class Scalars:
    """Chooses numbers of the rows of a step, and names them.

    By default the curves of the signal propagation plot: the ends of residual blocks, or the
    weighted layers of a network without any; and of weight gradients those of the weights, without
    biases and normalisation layers. Of more than `MOST_LAYERS` of them, so many are taken at even
    distances, the first and the last among them; which ones is settled by the first recorded step.

    Names are ``spp.activation.second_moment/layer1.0.conv1``: signal and statistic, which trackers
    take for a group, then the layer. Parameters and further outputs have their name behind a dot,
    further calls of a layer ``.call_2``; rows of an evaluation begin with ``spp.eval.``. What not
    every tracker takes in a name is an underscore.

    Args:
        scalars: patterns of ``signal.statistic``.
        layers: patterns of layers; None for the default.
        prefix: what all names begin with.

    Raises:
        ValueError: a pattern of `scalars` matches nothing that there is.
    """

    def __init__(self, scalars: Patterns, layers: Patterns | None, prefix: str) -> None:
        self._groups = _groups(scalars)
        self._is_wanted = matcher(layers)
        self._prefix = prefix
        self._defaults: dict[bool, frozenset[str]] | None = None
        self._latest: tuple[Any, list[tuple[str, np.ndarray, list[str]]]] | None = None

    def of(self, columns: Columns) -> dict[str, float]:
        """Give the chosen numbers of a block of rows by their names."""
        found: dict[str, float] = {}
        for statistic, positions, names in self._chosen(columns):
            values = columns.get(statistic)
            if values is not None:
                found.update(zip(names, np.asarray(values)[positions].tolist(), strict=True))
        return found

    def _chosen(self, columns: Columns) -> list[tuple[str, np.ndarray, list[str]]]:
        """Choose rows and name them, once for all blocks that share their labels."""
        if self._latest is None or self._latest[0] is not columns["layer"]:
            self._latest = columns["layer"], self._choose(columns)
        return self._latest[1]

    def _choose(self, columns: Columns) -> list[tuple[str, np.ndarray, list[str]]]:
        rows = rows_of(columns)
        if self._is_wanted is None and self._defaults is None:
            self._defaults = default_layers(rows)
        by_statistic: dict[str, list[tuple[int, str]]] = {}
        for position, row in enumerate(rows):
            if self._tells_of(row):
                for statistic in self._groups.get(row["signal"], ()):
                    name = f"{self._prefix}{scalar_name(row, statistic)}"
                    by_statistic.setdefault(statistic, []).append((position, name))
        return [
            (statistic, np.array([p for p, _ in chosen]), [name for _, name in chosen])
            for statistic, chosen in by_statistic.items()
        ]

    def _tells_of(self, row: Mapping[str, Any]) -> bool:
        if self._is_wanted is not None:
            return self._is_wanted(row["layer"])
        assert self._defaults is not None
        of_outputs = row["signal"] in OF_OUTPUTS
        return _key(row) in self._defaults[of_outputs] and row["tensor"] not in _BIASES


def rows_of(columns: Columns) -> list[dict[str, Any]]:
    """Give the labels of a block of rows, row by row."""
    length = len(columns["layer"])
    wide = [np.broadcast_to(np.asarray(columns[name]), (length,)).tolist() for name in _LABELS]
    return [dict(zip(_LABELS, values, strict=True)) for values in zip(*wide, strict=True)]


def is_merged(columns: Columns) -> bool:
    """Say whether rows are of all processes, as those of a single one are, too."""
    return bool(columns["rank"] == ALL_RANKS)


def default_layers(rows: Sequence[Mapping[str, Any]]) -> dict[bool, frozenset[str]]:
    """Choose the layers of a network to tell of: those of outputs (True), those of parameters."""
    outputs = [row for row in rows if row["signal"] == Signal.ACTIVATION]
    weighted = {row["layer"] for row in rows if row["role"] == Role.PARAMETER}
    ends = [row for row in outputs if row["tap"] in (Tap.STEM, Tap.BLOCK)]
    leaves = [row for row in outputs if row["role"] == Role.LEAF]
    chain = ends or [row for row in leaves if row["layer"] in weighted] or leaves
    parameters = [
        row
        for row in leaves
        if row["layer"] in weighted and "norm" not in str(row["layer_type"]).lower()
    ]
    return {True: _spread(chain), False: _spread(parameters) or frozenset(weighted)}


def _spread(rows: Sequence[Mapping[str, Any]]) -> frozenset[str]:
    """Take so many of the rows at even distances in depth."""
    keys = list(dict.fromkeys(_key(row) for row in sorted(rows, key=lambda row: row["depth"])))
    places = np.linspace(0, len(keys) - 1, min(len(keys), MOST_LAYERS)).round().astype(int)
    return frozenset(keys[place] for place in places)


def _key(row: Mapping[str, Any]) -> str:
    return f"{row['layer']}.{row['operation']}".strip(".")


def scalar_name(row: Mapping[str, Any], statistic: str) -> str:
    """Name a number.

    >>> row = {"phase": "train", "signal": "weight gradient", "layer": "conv1", "call": 0}
    >>> scalar_name({**row, "operation": "", "tensor": "weight"}, "second_moment")
    'weight_gradient.second_moment/conv1.weight'
    """
    phase = "" if row["phase"] == Phase.TRAIN else f"{row['phase']}."
    call = f".call_{int(row['call']) + 1}" if row["call"] else ""
    place = ".".join(str(part) for part in (row["layer"], row["operation"], row["tensor"]) if part)
    name = f"{phase}{row['signal'].replace(' ', '_')}.{statistic}/{place or 'network'}{call}"
    return re.sub(r"[^\w./-]", "_", name)


def _is_defined(signal: Signal, statistic: str) -> bool:
    """Say whether rows of a signal have a statistic."""
    if statistic in _OF_PAIRS:
        return signal in COMPARED
    return statistic not in _OF_UNITS or signal not in OF_OUTPUTS


def _groups(scalars: Patterns) -> dict[str, list[str]]:
    """Find the statistics to tell of each signal."""
    known = {
        f"{signal.replace(' ', '_')}.{statistic}": (str(signal), statistic)
        for signal in Signal
        for statistic in STATISTIC_COLUMNS
        if _is_defined(signal, statistic)
    }
    groups: dict[str, list[str]] = {}
    for pattern in [scalars] if isinstance(scalars, str) else scalars:
        matches = matcher(pattern)
        chosen = [pair for name, pair in known.items() if matches and matches(name)]
        if not chosen:
            raise ValueError(
                f"scalars={pattern!r} matches no signal and statistic; give patterns such as "
                f"{SCALARS[0]!r}, 'weight_gradient.*' or '*.second_moment'"
            )
        for signal, statistic in chosen:
            if statistic not in groups.setdefault(signal, []):
                groups[signal].append(statistic)
    return groups
