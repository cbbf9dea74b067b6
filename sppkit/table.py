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

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from sppkit.errors import RecordingError

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


def build_table(blocks: Sequence[Columns], statistics: Iterable[str]) -> pd.DataFrame:
    """Make the table from blocks of rows; statistics that a block lacks are undefined (NaN)."""
    counted = [(block, row_count(block)) for block in blocks]
    joined = {
        name: _joined([_in_full(block.get(name, np.nan), rows) for block, rows in counted])
        for name in (*TABLE_COLUMNS, *statistics)
    }
    return pd.DataFrame(joined).astype({c: TABLE_COLUMNS.get(c, "float64") for c in joined})


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    return np.concatenate(parts) if parts else np.empty(0)


def row_count(block: Columns) -> int:
    """Count the rows of a block."""
    return next((len(values) for values in block.values() if isinstance(values, np.ndarray)), 0)


def _in_full(values: Any, rows: int) -> np.ndarray:
    """Give a column as an array; what all rows share is there once."""
    if isinstance(values, np.ndarray):
        return values
    kind = object if isinstance(values, str) else None
    return np.full(rows, values, dtype=kind)


def build_structure(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Make the structure frame from rows."""
    frame = pd.DataFrame(list(rows), columns=list(STRUCTURE_COLUMNS))
    return frame.astype(STRUCTURE_COLUMNS)


def concatenate(tables: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Join tables of several runs; the categories are joined too."""
    joined = pd.concat([table.astype(_plain(table)) for table in tables], ignore_index=True)
    return joined.astype({c: kind for c, kind in TABLE_COLUMNS.items() if kind == "category"})


def _plain(table: pd.DataFrame) -> dict[str, str]:
    return {column: "object" for column, kind in TABLE_COLUMNS.items() if kind == "category"}


def write(
    path: str | os.PathLike[str],
    table: pd.DataFrame,
    structure: pd.DataFrame,
    metadata: Mapping[str, Any],
) -> None:
    """Write both frames and the metadata; the file appears whole or not at all.

    Raises:
        RecordingError: the folder does not exist or cannot be written to.
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
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise RecordingError(
            f"cannot write the recording to {str(target)!r}: {error.strerror or error}. "
            "Give a path in an existing folder that you may write to."
        ) from error


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
    if not Path(path).is_file():
        raise RecordingError(
            f"there is no recording {str(path)!r}. "
            "Give the path of a .parquet file that Recording.save wrote."
        )
    try:
        arrow = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise RecordingError(f"{str(path)!r} is no readable parquet file: {reason}") from error
    content = json.loads((arrow.schema.metadata or {}).get(_FILE_KEY, b"null"))
    if content is None:
        raise RecordingError(
            f"{str(path)!r} is a parquet file, but no recording of sppkit: its schema lacks the "
            "'sppkit' entry. Write recordings with Recording.save."
        )
    if content["schema"] != SCHEMA_VERSION:
        raise RecordingError(
            f"{str(path)!r} has schema version {content['schema']}; this sppkit reads version "
            f"{SCHEMA_VERSION}. Read it with the sppkit that wrote it, or record again."
        )
    table = arrow.to_pandas()
    kinds = {column: TABLE_COLUMNS.get(column, "float64") for column in table.columns}
    frame = content["structure"]
    structure = pd.DataFrame(frame["data"], columns=frame["columns"]).astype(STRUCTURE_COLUMNS)
    return table.astype(kinds), structure, content["metadata"]
