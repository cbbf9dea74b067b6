"""A baseline: a recording of how a network is meant to be, with what it was measured with."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from sppkit.errors import BaselineError
from sppkit.recording import Recording, read
from sppkit.version import __version__

FORMAT = 1
LEAST_SEEDS = 2

_KEY = "baseline"
_CIRCUMSTANCES = ("input", "input_shapes", "mode", "amp", "activated", "weights")
_LAYER = ("layer_type", "parameters", "fan_in", "fan_out", "groups", "nonlinearity")
_MOST_NAMED = 3

_Architecture = dict[str, tuple[Any, ...]]


def write_baseline(recording: Recording, path: str | os.PathLike[str]) -> Path:
    """Write a recording of one run as a baseline; its folder is made where it is missing.

    Raises:
        BaselineError: the recording holds several runs, or seeds too few to know their spread.
        RecordingError: the file cannot be written, or is there and is no recording.
    """
    run = _only_run(recording)
    seeds = recording.table()["seed"].nunique()
    if seeds < LEAST_SEEDS:
        raise BaselineError(
            f"a baseline needs {LEAST_SEEDS} seeds or more, to know by how much they differ; "
            f"{run!r} was measured with {seeds}. Measure with --seeds 5."
        )
    place = Path(path)
    place.parent.mkdir(parents=True, exist_ok=True)
    marked = {**recording.metadata[run], _KEY: {"format": FORMAT, "sppkit": __version__}}
    Recording.from_frames(recording.table(), recording.structure(), {run: marked}).save(place)
    return place


def read_baseline(path: str | os.PathLike[str]) -> Recording:
    """Read a baseline that `write_baseline` wrote.

    Raises:
        BaselineError: there is none, or it is of another version.
        RecordingError: the file holds no recording.
    """
    if not Path(path).is_file():
        raise BaselineError(
            f"there is no baseline {str(path)!r}. Write it with: sppkit baseline TARGET --update "
            f"-o {path}"
        )
    recording = read(path)
    mark = recording.metadata[_only_run(recording)].get(_KEY)
    if not isinstance(mark, Mapping):
        raise BaselineError(
            f"{str(path)!r} is a recording, but no baseline. Write one with: sppkit baseline "
            "TARGET --update; compare recordings with: sppkit diff A B."
        )
    if mark.get("format") != FORMAT or _minor(mark.get("sppkit")) != _minor(__version__):
        raise BaselineError(
            f"the baseline {str(path)!r} was written by sppkit {mark.get('sppkit')} (format "
            f"{mark.get('format')}), and this is sppkit {__version__} (format {FORMAT}): what they "
            "measure may differ. Write it again with --update, after a look at what changed."
        )
    return recording


def check_comparable(recording: Recording, baseline: Recording) -> None:
    """Refuse to compare a run with a baseline of another architecture or other circumstances.

    Raises:
        BaselineError: with what differs.
    """
    run, golden = _only_run(recording), _only_run(baseline)
    changes = [*_changes(_architecture(baseline), _architecture(recording))]
    if changes:
        more = f" and {len(changes) - _MOST_NAMED} more" if len(changes) > _MOST_NAMED else ""
        raise BaselineError(
            f"the baseline is of another architecture than {run!r}: "
            f"{'; '.join(changes[:_MOST_NAMED])}{more}. If that is meant, write it again with "
            "--update."
        )
    stated, meant = _circumstances(recording, run), _circumstances(baseline, golden)
    for name, value in stated.items():
        if value != meant[name]:
            raise BaselineError(
                f"the baseline was measured with {name.replace('_', ' ')} {meant[name]!r}, and "
                f"{run!r} with {value!r}: they cannot be compared. Measure alike, or write it "
                "again with --update."
            )


def same_numbers(recording: Recording, baseline: Recording) -> bool:
    """Say whether two recordings hold the same numbers to the bit, whatever their runs' names."""
    tables = [r.table().drop(columns="run").astype("object") for r in (recording, baseline)]
    return bool(tables[0].equals(tables[1]))


def _circumstances(recording: Recording, run: str) -> dict[str, Any]:
    metadata = recording.metadata[run]
    loss = metadata.get("loss")
    kind = {k: v for k, v in loss.items() if k != "values"} if isinstance(loss, Mapping) else loss
    return {**{name: metadata.get(name) for name in _CIRCUMSTANCES}, "loss": kind}


def _architecture(recording: Recording) -> _Architecture:
    modules = recording.structure()
    modules = modules[modules["operation"] == ""]
    plain = modules[["layer", *_LAYER]].astype("object").where(modules[["layer", *_LAYER]].notna())
    rows = plain.itertuples(index=False)
    return {row[0]: tuple(None if pd.isna(v) else v for v in row[1:]) for row in rows}


def _changes(before: _Architecture, after: _Architecture) -> Iterator[str]:
    yield from (f"{name!r} is new" for name in after if name not in before)
    yield from (f"{name!r} is gone" for name in before if name not in after)
    for name in (name for name in after if name in before):
        for what, old, new in zip(_LAYER, before[name], after[name], strict=True):
            if old != new:
                yield f"{what.replace('_', ' ')} of {name or 'the network'!r} was {old}, is {new}"


def _minor(version: object) -> tuple[str, ...]:
    return tuple(str(version).split(".")[:2])


def _only_run(recording: Recording) -> str:
    if len(recording.runs) == 1:
        return recording.runs[0]
    runs = ", ".join(repr(run) for run in recording.runs) or "none"
    raise BaselineError(f"a baseline is of one run; the recording holds {runs}.")
