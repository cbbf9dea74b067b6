"""A recording: two frames, the metadata of each run, and what was not captured."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from html import escape
from typing import Any, Self, cast

import pandas as pd

from sppkit import notebook, run_directory
from sppkit import table as frames
from sppkit.errors import RecordingError
from sppkit.row_store import RowStore
from sppkit.signals import Phase, Role, Signal
from sppkit.statistics import (
    EXTENDED_STATISTICS,
    PAIR_STATISTICS,
    STATISTICS,
    WEIGHT_STATISTICS,
)

STATISTIC_COLUMNS = [
    *(statistic.__name__ for statistic in (*STATISTICS, *WEIGHT_STATISTICS)),
    *(statistic.__name__ for statistic in PAIR_STATISTICS),
    *(statistic.__name__ for statistic in EXTENDED_STATISTICS),
]


@dataclass(frozen=True)
class NotCaptured:
    """Something that a user may look for in a recording and that was not measured.

    Attributes:
        run: the run it is missing from.
        layer: qualified name of the layer, "" for the whole network.
        signal: what is missing there, "" for everything.
        reason: why, and what to do about it.
    """

    run: str
    layer: str
    signal: str
    reason: str

    def __str__(self) -> str:
        """Say it in a line."""
        subject = " of ".join(part for part in (self.signal, self.layer) if part)
        return f"{subject or self.run}: {self.reason}"


class Recording:
    """The readings of one or several runs.

    Made by `sppkit.probe` and `sppkit.record`, or read from a file by `sppkit.read`; needs neither
    the model nor torch.

    Attributes:
        metadata: for each run, what it was measured with (versions, input, batch size, seeds, mode,
            device) and what was not captured.
    """

    def __init__(
        self,
        blocks: Iterable[frames.Columns] = (),
        structure: Iterable[Mapping[str, Any]] = (),
        metadata: Mapping[str, dict[str, Any]] | None = None,
    ) -> None:
        self._rows = RowStore(STATISTIC_COLUMNS)
        for block in blocks:
            self._rows.append(block)
        self._structure_rows: list[dict[str, Any]] = [dict(row) for row in structure]
        self.metadata: dict[str, dict[str, Any]] = dict(metadata or {})

    @classmethod
    def from_frames(
        cls, table: pd.DataFrame, structure: pd.DataFrame, metadata: Mapping[str, dict[str, Any]]
    ) -> Self:
        """Make a recording from frames that were measured before."""
        rows = cast(list[dict[str, Any]], structure.to_dict("records"))
        recording = cls((), rows, metadata)
        recording._rows = RowStore.of(table, STATISTIC_COLUMNS)
        return recording

    @property
    def runs(self) -> tuple[str, ...]:
        """The names of the runs, in the order they were recorded."""
        return tuple(self.metadata)

    def table(self) -> pd.DataFrame:
        """Give the readings: one row per signal of a tensor at a layer and step.

        Statistics are columns, NaN where one is undefined. The columns before them, and what makes
        a row unique (`sppkit.table.KEY`), are described in docs/architecture.md.
        """
        self._settle()
        return self._rows.frame().copy()

    def _settle(self) -> None:
        """See to it that every row is there; a recording in the making may wait for some."""

    def structure(self) -> pd.DataFrame:
        """Give what the network is: one row per run and layer, and per named operation."""
        return frames.build_structure(self._structure_rows)

    @property
    def not_captured(self) -> tuple[NotCaptured, ...]:
        """What was not measured, and why: part of every answer."""
        return tuple(
            NotCaptured(**missing)
            for metadata in self.metadata.values()
            for missing in metadata.get("not_captured", ())
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything to one parquet file, atomically.

        Raises:
            RecordingError: the file cannot be written, or is there and is no recording.
        """
        if os.path.exists(path) and not frames.is_recording(path):
            raise RecordingError(
                f"{str(path)!r} exists and is no recording of sppkit, so it is left alone. "
                "Choose another path, or delete it first."
            )
        frames.write(path, self.table(), self.structure(), self.metadata)

    def __repr__(self) -> str:
        """Say in one line what the recording holds."""
        return f"Recording({_describe(self)})"

    def _repr_html_(self) -> str:
        """Draw a static table for notebooks: a row for each run; no script, everything escaped."""
        columns = [*_LABELS, "depth", "role", "phase", "second_moment"]
        self._settle()
        table = self._rows.frame(columns)
        headings = ("run", "model", "observed", "seeds", "steps", "second moment", "over depth")
        rows = [_html_row(self, run, table[table["run"] == run]) for run in self.runs]
        missing = [str(entry) for entry in self.not_captured]
        return (
            f"<div><table>{notebook.row(headings, 'th')}{''.join(rows)}</table>"
            f"{notebook.folded(f'{len(missing)} not captured', missing)}</div>"
        )


def read(path: str | os.PathLike[str]) -> Recording:
    """Read a recording that `Recording.save` wrote, or the run directory that `record` writes to.

    Neither a model nor torch is needed. A run directory can be read while the run goes on, and
    after it was killed: it holds what had been written by then.

    Raises:
        RecordingError: the file or folder is missing or holds no recording.
    """
    return Recording.from_frames(*(run_directory if os.path.isdir(path) else frames).read(path))


def combine(recordings: Iterable[Recording]) -> Recording:
    """Put the runs of several recordings into one; equal names are numbered ("net", "net #2").

    Raises:
        ValueError: there is none.
    """
    recordings = list(recordings)
    if not recordings:
        raise ValueError("give at least one recording to combine")
    tables, structures, metadata = [], [], dict[str, dict[str, Any]]()
    for recording in recordings:
        names = _free_names(recording.runs, metadata)
        table, structure = recording.table(), recording.structure()
        tables.append(table.assign(run=table["run"].astype("object").map(names)))
        structures.append(structure.assign(run=structure["run"].map(names)))
        metadata.update({names[run]: recording.metadata[run] for run in recording.runs})
    return Recording.from_frames(
        frames.concatenate(tables), pd.concat(structures, ignore_index=True), metadata
    )


def _free_names(runs: Iterable[str], taken: Mapping[str, object]) -> dict[str, str]:
    names: dict[str, str] = {}
    for run in runs:
        name, number = run, 2
        while name in taken or name in names.values():
            name, number = f"{run} #{number}", number + 1
        names[run] = name
    return names


def not_captured_entry(run: str, layer: str, signal: str, reason: str) -> dict[str, str]:
    """Make the entry of the metadata that `Recording.not_captured` shows."""
    return asdict(NotCaptured(run, layer, signal, reason))


def one_run(recording: Recording, name: str | None = None) -> str:
    """Choose one run of a recording: the one that is named, or the only one.

    Raises:
        ValueError: no such run, or several and none was named.
    """
    if name is None and len(recording.runs) == 1:
        return recording.runs[0]
    if name is not None and name in recording.runs:
        return name
    runs = ", ".join(repr(run) for run in recording.runs) or "none"
    if name is None and recording.runs:
        raise ValueError(f"the recording has several runs: name one of {runs}")
    if name is None:
        raise ValueError("the recording has no run")
    raise ValueError(f"the recording has no run {name!r}; it has {runs}")


_LABELS = ("run", "signal", "layer", "operation", "seed", "step")


def _describe(recording: Recording) -> str:
    table = recording._rows.frame([*_LABELS, "second_moment"])
    runs = ", ".join(repr(run) for run in recording.runs) or "none"
    activations = table[table["signal"] == Signal.ACTIVATION]
    layers = activations[["layer", "operation"]].drop_duplicates().shape[0]
    seeds, steps = table["seed"].nunique(), table["step"].nunique()
    counts = {"layers": layers, "seeds": seeds, "steps": steps}
    several = [
        f"{n} {name if n != 1 else name[:-1]}"
        for name, n in counts.items()
        if n > 1 or name == "layers"
    ]
    parts = [f"run={runs}", " x ".join(several)]
    if spread := _spread(activations):
        parts.append(f"second moment {spread}")
    parts.append(f"{len(recording.not_captured)} not captured")
    return ", ".join(parts)


def _spread(activations: pd.DataFrame) -> str:
    second = activations["second_moment"]
    return f"{second.min():.3g}..{second.max():.3g}" if second.notna().any() else ""


def _html_row(recording: Recording, run: str, table: pd.DataFrame) -> str:
    activations = table[table["signal"] == Signal.ACTIVATION]
    cells = (
        run,
        str(recording.metadata[run].get("model", "")),
        _coverage(recording.structure(), run, activations),
        str(table["seed"].nunique()),
        str(table["step"].nunique()),
        _spread(activations),
    )
    curve = notebook.sparkline(_over_depth(activations), "second moment over depth")
    return notebook.row([*map(escape, cells), curve])


def _coverage(structure: pd.DataFrame, run: str, activations: pd.DataFrame) -> str:
    """Say how many of the layers that were called were observed."""
    leaves = structure[(structure["run"] == run) & (structure["role"] == Role.LEAF)]
    called = leaves.loc[leaves["calls"] > 0, "layer"]
    seen = int(called.isin(set(activations["layer"].astype(str))).sum())
    return f"{seen} of {len(called)} layers"


def _over_depth(activations: pd.DataFrame) -> list[float]:
    """Average over seeds, layer by layer, in the main phase of the first step."""
    first = activations[activations["step"] == activations["step"].min()]
    leaves = first[(first["role"] == Role.LEAF) & (first["phase"] != Phase.LOSS)]
    return [float(value) for value in leaves.groupby("depth")["second_moment"].mean()]
