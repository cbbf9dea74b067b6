"""The folder of a run in training: what it was told, what it measured, and where it can go on.

    RUN/run.json            settings, versions, device, git revision, how it ended
    RUN/recording/part-*    the recording (`sppkit.run_directory`)
    RUN/metrics.parquet     a row per step and per evaluation
    RUN/events.jsonl        what was noticed during training, a line each
    RUN/checkpoint.pt       where `resume` goes on
    RUN/over-training.png   the activations of every layer over the steps, drawn at the end
    RUN/report.html         all of it to look at, made at the end

Every file but the events appears whole or not at all, and a checkpoint says how much of the others
was written before it: what came later is cut off when the run goes on, and is made again.
"""

import io
import json
import math
import secrets
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import pandas as pd
import torch

from sppkit.errors import OutputError, TrainingError
from sppkit.files import replace
from sppkit.run_directory import part_files

SCHEMA = 1
RUN, METRICS, EVENTS, CHECKPOINT = "run.json", "metrics.parquet", "events.jsonl", "checkpoint.pt"
OVER_TRAINING, REPORT = "over-training.png", "report.html"
_OURS = (RUN, METRICS, EVENTS, CHECKPOINT, OVER_TRAINING, REPORT)


class RunFolder:
    """The files of one run.

    Args:
        path: of the folder, which is made by `create`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._made: list[Path] = []
        self._is_cleared = False

    # ------------------------------------------------------------------------------ beginning

    def check_is_free(self) -> None:
        """Refuse a folder with a run, or with anything else in it.

        Raises:
            OutputError: it has something in it, or is a file.
        """
        files = [place for place in (self.path, *self.path.parents) if place.is_file()]
        if files:
            raise OutputError(
                f"'{files[0]}' is a file, where the run wants a folder. Give another one with -o."
            )
        if self.holds_a_run:
            raise OutputError(
                f"'{self.path}' holds a run already, which is left alone. Go on with it by "
                "--resume, replace it by --force, or give another folder with -o."
            )
        if self.path.is_dir() and any(self.path.iterdir()) and not self._is_cleared:
            raise OutputError(
                f"'{self.path}' is a folder with other files in it. Give another one with -o."
            )

    @property
    def holds_a_run(self) -> bool:
        """Whether sppkit has written a run here."""
        return (self.path / RUN).is_file()

    def clear(self) -> None:
        """Delete a run, so that another one may come; files that sppkit did not write stay.

        Raises:
            OutputError: a file cannot be deleted.
        """
        try:
            for name in _OURS:
                (self.path / name).unlink(missing_ok=True)
            for part in part_files(self.path):
                part.unlink()
        except OSError as error:
            raise OutputError(f"'{self.path}' cannot be cleared: {error.strerror}.") from error
        with suppress(OSError):  # it is not there, or holds something of someone else's
            (self.path / "recording").rmdir()
        self._is_cleared = True

    def create(self) -> None:
        """Make the folder.

        Raises:
            OutputError: it cannot be made.
        """
        self._made = [p for p in (self.path, *self.path.parents) if not p.exists()]
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(
                f"the folder '{self.path}' of the run cannot be made: {error.strerror}. Give one "
                "that you may write to with -o."
            ) from error

    def remove(self) -> None:
        """Delete the run, and the folders that were made for it, if nothing else is in them."""
        self.clear()
        for folder in self._made:
            with suppress(OSError):  # it holds something of someone else's
                folder.rmdir()

    @property
    def own_recording(self) -> Path:
        """The folder of what this process records."""
        return self.path

    def keep_parts(self, count: int | None) -> None:
        """Keep so many parts of a rank's own recording; `load` does that of the first one's."""

    # ----------------------------------------------------------------------------- description

    def describe(self, description: Mapping[str, Any]) -> None:
        """Write what the run is and how it stands.

        Raises:
            OutputError: it cannot be written.
        """
        text = json.dumps(as_json({"schema": SCHEMA, **description}), indent=2)
        replace(self.path / RUN, text.encode() + b"\n")

    def description(self) -> dict[str, Any]:
        """Read what the run is.

        Raises:
            OutputError: it cannot be read.
        """
        place = self.path / RUN
        try:
            found = json.loads(place.read_bytes())
        except (OSError, ValueError) as error:
            raise OutputError(f"'{place}' cannot be read: {error}.") from error
        if not isinstance(found, dict) or found.get("schema") != SCHEMA:
            raise OutputError(
                f"'{place}' is no description of a run by this version of sppkit (schema {SCHEMA})."
            )
        return found

    def check_settings(self, settings: Mapping[str, Any]) -> None:
        """Refuse to go on with a run that was begun with other settings.

        Raises:
            TrainingError: with the first of them that differ.
        """
        before = self.description().get("settings", {})
        now = as_json(settings)
        differing = [name for name in {**before, **now} if before.get(name) != now.get(name)]
        if differing:
            told = "; ".join(f"{n} was {before.get(n)!r}, is {now.get(n)!r}" for n in differing[:3])
            raise TrainingError(
                f"'{self.path}' was begun with other settings, so that it cannot go on: {told}. "
                "Resume with the settings it was begun with, or begin a new run with -o."
            )

    # --------------------------------------------------------------------- metrics and events

    def write_metrics(self, rows: pd.DataFrame) -> None:
        """Write all rows of the metrics.

        Raises:
            OutputError: they cannot be written.
        """
        buffer = io.BytesIO()
        rows.to_parquet(buffer, index=False)
        replace(self.path / METRICS, buffer.getvalue())

    def metrics(self) -> pd.DataFrame:
        """Read the metrics; an empty frame where there are none yet."""
        place = self.path / METRICS
        return pd.read_parquet(place) if place.is_file() else pd.DataFrame()

    def add_event(self, event: Mapping[str, Any]) -> None:
        """Append an event.

        Raises:
            OutputError: it cannot be written.
        """
        try:
            with (self.path / EVENTS).open("a", encoding="utf-8") as file:
                file.write(json.dumps(as_json(event)) + "\n")
        except OSError as error:
            raise OutputError(
                f"'{self.path / EVENTS}' cannot be written: {error.strerror}."
            ) from error

    def events(self) -> list[dict[str, Any]]:
        """Read the events; a last line that a kill has torn is left out."""
        place = self.path / EVENTS
        lines = place.read_text(encoding="utf-8").split("\n") if place.is_file() else []
        return [json.loads(line) for line in lines[:-1]]  # whole lines end in a newline

    # ------------------------------------------------------------------------------ checkpoint

    def save(self, state: Mapping[str, Any], *, metrics: int, events: int) -> None:
        """Write the checkpoint, beside its place, and rename it.

        Args:
            state: where the run stands; tensors, numbers, texts, and what holds them.
            metrics, events: how many of them were written before.

        Raises:
            OutputError: it cannot be written.
        """
        place = self.path / CHECKPOINT
        temporary = place.with_name(f".{secrets.token_hex(8)}.tmp")
        counts = {"parts": len(part_files(self.path)), "metrics": metrics, "events": events}
        try:
            try:
                torch.save({**state, "counts": counts}, temporary)
                temporary.replace(place)
            finally:
                temporary.unlink(missing_ok=True)
        except (OSError, RuntimeError) as error:  # torch's writer of archives has RuntimeErrors
            raise OutputError(
                f"'{place}' cannot be written: {_first_line(error)}. The run can be resumed from "
                "the checkpoint before, when there is room."
            ) from error

    def load(self) -> dict[str, Any] | None:
        """Read the checkpoint, and cut off what was written after it; None where there is none.

        Without a checkpoint everything but the description is cut off: the run begins anew.

        Raises:
            TrainingError: it cannot be read.
        """
        place = self.path / CHECKPOINT
        self._sweep()
        if not place.is_file():
            self._cut({"parts": 0, "metrics": 0, "events": 0})
            return None
        try:
            state: dict[str, Any] = torch.load(place, map_location="cpu", weights_only=True)
            self._cut(state["counts"])
        except (OSError, RuntimeError, KeyError, ValueError, EOFError, UnpicklingError) as error:
            raise TrainingError(
                f"'{place}' is no checkpoint that can be read: {_first_line(error)}. Begin the run "
                "anew with --force."
            ) from error
        return state

    def _cut(self, counts: Mapping[str, int]) -> None:
        for part in part_files(self.path)[counts["parts"] :]:
            part.unlink()
        if not counts["metrics"]:
            (self.path / METRICS).unlink(missing_ok=True)
        elif len(rows := self.metrics()) > counts["metrics"]:
            self.write_metrics(rows.iloc[: counts["metrics"]])
        lines = [json.dumps(event) + "\n" for event in self.events()[: counts["events"]]]
        if (self.path / EVENTS).is_file():
            replace(self.path / EVENTS, "".join(lines).encode())

    def _sweep(self) -> None:
        """Delete what a kill has left half written."""
        for temporary in (*self.path.glob(".*.tmp"), *self.path.glob("recording/.*.tmp")):
            temporary.unlink()


def as_json(value: object) -> Any:
    """Bring a value to what JSON has; numbers that are not finite become texts.

    >>> as_json({"limits": (1, float("inf")), "path": Path("net.py")})
    {'limits': [1, 'inf'], 'path': 'net.py'}
    """
    if isinstance(value, Mapping):
        return {str(key): as_json(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)


def _first_line(error: BaseException) -> str:
    described = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(described).splitlines()[0].rstrip(".")
