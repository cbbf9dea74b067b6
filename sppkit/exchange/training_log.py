"""The `training_log.txt` of Dewyse's thesis: a row per epoch, a dict of six statistics per layer.

Designing Normalizer-Free EfficientNets, Dewyse, 2025, JKU Linz, and its code. The file is made of
tabs: class and folder; the names of the columns; a row per epoch, whose cells of layers are what
`str` made of a dict with mean and std of activations, weights and gradients.

What the names hide: "mean" is the average channel squared mean and "std" the average channel
variance, without a root. Of a matrix (N, F) and of weights they are the second moment and the
variance of all values. Numbers are means over the batches of an epoch, whatever their size, so that
the first row is no initialisation.
"""

import re
from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import Any

from sppkit.errors import RecordingError
from sppkit.exchange.conventions import DEWYSE, require_convention
from sppkit.exchange.imported import recording_of, row
from sppkit.exchange.numbers import written_number
from sppkit.patterns import Patterns, matcher, require_match
from sppkit.recording import Recording
from sppkit.signals import Phase, Role, Signal

_CELL = re.compile(r"\{.*\}")
_ENTRY = re.compile(r"'(mean|std)_(act|weight|grad)':\s*((?:[\w.]+\([^()]*\)|[^,}])+)")
_SIGNALS = {"act": Signal.ACTIVATION, "weight": Signal.WEIGHT, "grad": Signal.GRADIENT}
_CHANNELS = ("average_channel_squared_mean", "average_channel_variance")
_POOLED = ("second_moment", "variance")
_FLAG = "mean over the batches of an epoch"
_REMARK = (
    "numbers are means over the batches of an epoch, a ragged last one included; gradients are of "
    "a mean loss over the batch"
)
_RANKS = (
    "which layers give matrices (N, F) is not in the log: name them by vectors=, or take all "
    'numbers as they were logged by convention="dewyse"'
)


def from_training_log(
    path: str | PathLike[str],
    *,
    vectors: Patterns | None = None,
    convention: str = "channels",
    run: str | None = None,
) -> Recording:
    """Make a recording of a `training_log.txt`.

    Args:
        path: of the file.
        vectors: names of the layers whose outputs are matrices (N, F), as globs or "re:"
            expressions. What the log holds of them are second moment and variance of all values.
        convention: "channels" puts every number under the name that it has in sppkit; the average
            channel statistics of `vectors` are then not known. "dewyse" puts them under the names
            that they have in the thesis' plots, as `in_convention` does with our own.
        run: name of the run; the name of the network's class by default.

    Returns:
        A recording with one step for each epoch, in the phase "train". The metadata hold losses and
        accuracies of the epochs in `metrics`.

    Raises:
        RecordingError: the file is missing or is no such log; the message names line and column.
        ValueError: the convention is unknown, or a pattern matches no layer.
    """
    require_convention(convention)
    name, columns, lines = _read(Path(path))
    layers = [column for column in columns if any(_CELL.fullmatch(line[column]) for line in lines)]
    if not layers:
        raise RecordingError(
            f"'{path}' holds no statistics of layers: it was logged without log_signal. There is "
            "nothing to draw."
        )
    require_match("vectors", vectors, layers)
    is_vector = matcher(vectors) or (lambda _: False)
    rows = []
    for number, line in enumerate(lines):
        step = int(_of_metric(path, number, line, "epoch"))
        for depth, layer in enumerate(layers):
            cell = _cell(path, number, layer, line[layer])
            rows += list(_rows(layer, depth, step, cell, is_vector(layer), convention))
    metrics = [_metrics(line, layers) for line in lines]
    remarks = (_REMARK,) if vectors or convention == DEWYSE else (_REMARK, _RANKS)
    return recording_of(
        rows,
        run or name,
        "training_log.txt",
        remarks=remarks,
        metrics=metrics,
        convention=convention,
    )


def _read(path: Path) -> tuple[str, list[str], list[dict[str, str]]]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise RecordingError(f"cannot read '{path}': {error}") from error
    if len(lines) < 3 or not lines[1].startswith("epoch\t"):
        raise RecordingError(
            f"'{path}' is no training_log.txt: expected the network's class and folder, the names "
            "of columns, beginning with 'epoch', and a row per epoch, divided by tabs"
        )
    columns = lines[1].split("\t")
    rows = []
    for number, line in enumerate(lines[2:], start=3):
        cells = line.split("\t")
        if len(cells) != len(columns):
            if number == len(lines):  # the run was killed while it wrote
                continue
            raise RecordingError(
                f"'{path}', line {number}: expected {len(columns)} columns, found {len(cells)}"
            )
        rows.append(dict(zip(columns, cells, strict=True)))
    return lines[0].split("\t")[0], columns, rows


def _cell(path: Any, number: int, layer: str, text: str) -> dict[tuple[str, str], float]:
    """Read a dict by its entries: evaluating it would fail at nan, inf and numpy's scalars."""
    found = _ENTRY.findall(text)
    if len(found) != 6:
        raise RecordingError(
            f"'{path}', line {number + 3}, column {layer!r}: expected mean and std of act, weight "
            f"and grad, found {text[:80]!r}"
        )
    try:
        return {
            (signal, statistic): written_number(value)
            for statistic, signal, value in found
            if value != "None"  # of a layer without weights, or without gradients
        }
    except ValueError as error:
        raise RecordingError(f"'{path}', line {number + 3}, column {layer!r}: {error}") from error


def _rows(
    layer: str,
    depth: int,
    step: int,
    cell: dict[tuple[str, str], float],
    is_vector: bool,
    convention: str,
) -> Iterator[dict[str, Any]]:
    for word, signal in _SIGNALS.items():
        if (word, "mean") not in cell:
            continue
        names = _CHANNELS if convention == DEWYSE else _meaning(signal, is_vector)
        found = dict(zip(names, (cell[word, "mean"], cell[word, "std"]), strict=True))
        of_weight = signal is Signal.WEIGHT
        place: dict[str, Any] = {"role": Role.PARAMETER, "tensor": "weight"} if of_weight else {}
        place |= {"signal": signal, "step": step, "phase": Phase.TRAIN, "flags": _FLAG}
        yield row(layer, depth, found, **place)


def _meaning(signal: Signal, is_vector: bool) -> tuple[str, str]:
    return _POOLED if is_vector or signal is Signal.WEIGHT else _CHANNELS


def _of_metric(path: Any, number: int, line: dict[str, str], name: str) -> float:
    try:
        return written_number(line[name])
    except ValueError as error:
        raise RecordingError(f"'{path}', line {number + 3}, column {name!r}: {error}") from error


def _metrics(line: dict[str, str], layers: list[str]) -> dict[str, str]:
    return {name: text for name, text in line.items() if name not in layers}
