"""The two frames of a recording: their columns, their types, and their file.

`table()` has one row for one signal of one tensor at one layer at one step; statistics are columns.
`structure()` has one row for each layer (and each named operation): what the network is. Both, and
the metadata of each run, fit into one parquet file that pandas, polars and DuckDB read directly;
the structure and the metadata are text in its schema.
"""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from sppkit.errors import RecordingError
from sppkit.escaping import one_line
from sppkit.files import cannot_be_written

SCHEMA_VERSION = 1

Columns: TypeAlias = dict[str, Any]
"""A block of rows: by column an array, or the one value that all its rows share."""

KEY = (
    *("run", "seed", "rank", "step", "phase"),
    *("layer", "call", "operation", "tensor", "signal"),
)

TABLE_COLUMNS: dict[str, str] = {
    "run": "category",
    "seed": "int64",
    "rank": "int64",
    "step": "int64",
    "phase": "category",
    "depth": "Int64",
    "layer": "category",
    "call": "int64",
    "operation": "category",
    "tensor": "category",
    "signal": "category",
    "layer_type": "category",
    "role": "category",
    "tap": "category",
    "block": "Int64",
    "stage": "Int64",
    "passes": "int64",
    "batch": "int64",
    "channels": "int64",
    "samples": "int64",
    "dtype": "category",
    "flags": "category",
}
"""The columns before the statistics, with types; every other column is a float64 statistic."""

STRUCTURE_COLUMNS: dict[str, str] = {
    "run": "string",
    "layer": "string",
    "operation": "string",
    "layer_type": "string",
    "file": "string",
    "line": "Int64",
    "parent": "string",
    "depth": "Int64",
    "role": "string",
    "tap": "string",
    "block": "Int64",
    "stage": "Int64",
    "calls": "Int64",
    "fan_in": "Int64",
    "fan_out": "Int64",
    "groups": "Int64",
    "channel_axis": "Int64",
    "computes": "string",
    "before": "string",
    "after": "string",
    "nonlinearity": "string",
    "normalised_before": "boolean",
    "normalised_after": "boolean",
    "parameters": "Int64",
    "parameter_names": "string",
    "initialisation": "string",
    "merge": "string",
    "merge_level": "Int64",
    "skip_kind": "string",
    "constant": "float64",
    "gains": "string",
    "not_captured": "string",
}

_FILE_KEY = b"sppkit"


def build_structure(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Make the structure frame from rows."""
    frame = pd.DataFrame(list(rows), columns=list(STRUCTURE_COLUMNS))
    return frame.astype(STRUCTURE_COLUMNS)


def concatenate(tables: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Join tables of several runs; the categories are joined too."""
    joined = pd.concat([table.astype(_plain(table)) for table in tables], ignore_index=True)
    return joined.astype(dict.fromkeys(_plain(joined), "category"))


def _plain(table: pd.DataFrame) -> dict[str, str]:
    return {c: "object" for c, kind in TABLE_COLUMNS.items() if kind == "category" and c in table}


def write(
    path: str | os.PathLike[str],
    table: pd.DataFrame,
    structure: pd.DataFrame,
    metadata: Mapping[str, Any],
    *,
    new: bool = False,
) -> None:
    """Write both frames and the metadata; the file appears whole or not at all.

    Args:
        path: of the file.
        table, structure, metadata: what to write.
        new: replace no file.

    Raises:
        RecordingError: the folder does not exist or cannot be written to, or the file exists and
            was to be new.
    """
    target = Path(path)
    arrow = pa.Table.from_pandas(table, preserve_index=False)
    content = {
        "schema": SCHEMA_VERSION,
        "metadata": dict(metadata),
        "structure": json.loads(structure.to_json(orient="split", index=False)),
    }
    arrow = arrow.replace_schema_metadata(
        {**(arrow.schema.metadata or {}), _FILE_KEY: json.dumps(content).encode()}
    )
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        try:
            with temporary.open("xb") as file:
                pq.write_table(arrow, file)
                file.flush()
                os.fsync(file.fileno())  # the name must not come before the contents
            if new and target.exists():
                raise RecordingError(
                    f"{str(target)!r} has appeared while it was being written: another process "
                    "records to the same place. Give each of them a place of its own."
                )
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise RecordingError(f"the recording {str(target)!r} {cannot_be_written(error)}") from error


def is_recording(path: str | os.PathLike[str]) -> bool:
    """Say whether a file is a recording that `write` wrote."""
    try:
        return _FILE_KEY in (pq.read_schema(path).metadata or {})
    except (pa.ArrowException, OSError):
        return False


def read(path: str | os.PathLike[str]) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """Read what `write` wrote: the table, the structure and the metadata of each run.

    Raises:
        RecordingError: the file is missing, is no parquet file, or holds no recording.
    """
    return read_many([path])


def read_many(
    paths: Iterable[str | os.PathLike[str]], columns: Sequence[str] | None = None
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """Read the parts of one recording, in order; what a later part says of a run counts.

    Args:
        paths: of one file at least.
        columns: of the table; all of them by default.

    Raises:
        RecordingError: as `read` does.
    """
    parts, structures, metadata = [], [], dict[str, Any]()
    for path in paths:
        arrow, content = _read_file(path, columns)
        parts.append(arrow)
        try:
            structures.append(_structure_of(content))
            metadata |= content["metadata"]
        except (KeyError, TypeError, ValueError) as error:
            raise _changed(path, f"its 'sppkit' entry is damaged ({error!r})") from error
    structure = pd.concat(structures, ignore_index=True).drop_duplicates(
        ["run", "layer", "operation"], keep="last", ignore_index=True
    )
    try:
        return _table_of(parts), structure, metadata
    except (TypeError, ValueError) as error:
        raise _changed(path, f"a column has another type ({one_line(str(error))})") from error


def _read_file(
    path: str | os.PathLike[str], columns: Sequence[str] | None
) -> tuple[pa.Table, dict[str, Any]]:
    if not Path(path).is_file():
        raise RecordingError(
            f"there is no recording {str(path)!r}. "
            "Give the path of a .parquet file that Recording.save wrote."
        )
    try:
        arrow = pq.read_table(path, columns=None if columns is None else list(columns))
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise RecordingError(f"{str(path)!r} is no readable parquet file: {reason}") from error
    content = _content_of(arrow, path)
    if content is None:
        raise RecordingError(
            f"{str(path)!r} is a parquet file, but no recording of sppkit: its schema lacks the "
            "'sppkit' entry. Write recordings with Recording.save."
        )
    if not isinstance(content, dict) or "schema" not in content:
        raise _changed(path, "its 'sppkit' entry is damaged")
    if content["schema"] != SCHEMA_VERSION:
        raise RecordingError(
            f"{str(path)!r} has schema version {content['schema']}; this sppkit reads version "
            f"{SCHEMA_VERSION}. Read it with the sppkit that wrote it, or record again."
        )
    if lacking := [c for c in columns or KEY if c not in arrow.schema.names]:
        raise _changed(path, f"it lacks the columns {', '.join(lacking)}")
    return arrow, content


def _content_of(arrow: pa.Table, path: str | os.PathLike[str]) -> Any:
    try:
        return json.loads((arrow.schema.metadata or {}).get(_FILE_KEY, b"null"))
    except ValueError as error:
        raise _changed(path, f"its 'sppkit' entry is no JSON ({error})") from error


def _changed(path: str | os.PathLike[str], how: str) -> RecordingError:
    return RecordingError(
        f"{str(path)!r} was changed after sppkit wrote it: {how}. Take the original, or record "
        "again."
    )


def _structure_of(content: Mapping[str, Any]) -> pd.DataFrame:
    frame = content["structure"]
    return pd.DataFrame(frame["data"], columns=frame["columns"]).astype(STRUCTURE_COLUMNS)


def _table_of(parts: Sequence[pa.Table]) -> pd.DataFrame:
    """Make one table of those of several parts, with the categories of all of them in order."""
    parts = [part for part in parts if part.num_rows] or parts[:1]  # empty columns have no type
    if len(parts) == 1:
        table = parts[0].to_pandas()
    else:
        plain = [part.replace_schema_metadata(None) for part in parts]
        joined = pa.concat_tables(plain, promote_options="permissive").unify_dictionaries()
        table = joined.to_pandas()
    table = table.astype({c: TABLE_COLUMNS.get(c, "float64") for c in table.columns})
    return _in_order(table)


def _in_order(table: pd.DataFrame) -> pd.DataFrame:
    ordered = {
        name: table[name].cat.set_categories(sorted(table[name].cat.categories))
        for name in table.columns
        if TABLE_COLUMNS.get(name) == "category"
    }
    return table.assign(**ordered)
