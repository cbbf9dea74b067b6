"""Write a recording for other programs: CSV, JSON lines or parquet, wide or long."""

import io
from collections.abc import Callable
from os import PathLike, fspath
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from sppkit import table as frames
from sppkit.files import replace
from sppkit.recording import STATISTIC_COLUMNS, Recording
from sppkit.table import KEY, TABLE_COLUMNS


def long_form(recording: Recording) -> pd.DataFrame:
    """Give a recording with one row per number.

    The columns are those of `Recording.table` before the statistics, `statistic` and `value`;
    what is undefined has no row. `sppkit.table.KEY` and `statistic` together name a number, so that
    `frame.set_index([*KEY, "statistic"])["value"].to_xarray()` is an array with named axes; choose
    rows first, since it has a cell for every combination.
    """
    table = recording.table()
    known = [name for name in STATISTIC_COLUMNS if name in table]
    tall = table.melt(
        id_vars=[name for name in TABLE_COLUMNS if name in table],
        value_vars=known,
        var_name="statistic",
        value_name="value",
    )
    tall = tall[tall["value"].notna()].astype({"statistic": "category"})
    return tall.sort_values([*KEY, "statistic"], ignore_index=True)


def _to_csv(frame: pd.DataFrame) -> bytes:
    return frame.to_csv(index=False).encode()


def _to_json_lines(frame: pd.DataFrame) -> bytes:
    return frame.to_json(orient="records", lines=True, double_precision=15).encode()


def _to_parquet(frame: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    return buffer.getvalue()


FORMATS: dict[str, Callable[[pd.DataFrame], bytes]] = {
    ".csv": _to_csv,
    ".jsonl": _to_json_lines,
    ".parquet": _to_parquet,
}
"""Writers by suffix."""


def is_export(path: str | PathLike[str]) -> bool:
    """Say whether a file is one that `write` wrote, or any other recording."""
    place = Path(fspath(path))
    first = list(TABLE_COLUMNS)[:4]
    if place.suffix == ".parquet":
        return frames.is_recording(place) or _columns_of(place)[:4] == first
    with place.open("rb") as file:
        line = file.readline(200).decode("utf-8", "replace")
    return line.startswith((",".join(first), '{"run":'))


def _columns_of(place: Path) -> list[str]:
    try:
        return list(pq.read_schema(place).names)
    except (pa.ArrowException, OSError):
        return []


def write(recording: Recording, path: str | PathLike[str], *, long: bool = False) -> None:
    """Write the table of a recording, whole or not at all.

    Infinite values are "inf" in CSV and null in JSON, as undefined ones are; parquet keeps both. A
    parquet file in wide form is the recording itself, with structure and metadata.

    Args:
        recording: what to write.
        path: of the file; its suffix is one of `FORMATS`.
        long: one row per number, as `long_form` gives it.

    Raises:
        ValueError: the suffix is unknown.
        OutputError: the file cannot be written.
        RecordingError: the same, of a recording.
    """
    place = Path(fspath(path))
    if place.suffix not in FORMATS:
        raise ValueError(
            f"'{place}' ends in {place.suffix or 'nothing'!r}; choose {', '.join(FORMATS)}"
        )
    if place.suffix == ".parquet" and not long:
        frames.write(place, recording.table(), recording.structure(), recording.metadata)
        return
    replace(place, FORMATS[place.suffix](long_form(recording) if long else recording.table()))
