"""Sets of pictures as the Hugging Face hub keeps them: by name, or the parquet files of one.

The library `datasets` is asked for named sets only, which it downloads into its own cache; files
that are here are read without it.
"""

import functools
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from sppkit.errors import DataError
from sppkit.training.data.kinds import Found, Wishes
from sppkit.training.data.pictures import Pictures
from sppkit.training.data.splitting import split
from sppkit.user_code import describe_exception

_TEST_NAMES = ("test", "validation", "valid", "val")
_LABELS = ("label", "labels", "fine_label")


def read_pictures(place: str, wishes: Wishes) -> Found:
    """Read the training and test part of a set of pictures.

    Args:
        place: a folder with files such as data/train-00000-of-00001.parquet; or a name on the hub,
            with its configuration behind a colon, as "uoft-cs/cifar100" or "glue:mrpc".
        wishes: the size of the pictures, and the share to hold out where there is no test part.

    Raises:
        DataError: it cannot be found, read, or holds no pictures with classes.
    """
    name = f"hf:{place}"
    if wishes.size is None:
        raise DataError(f"'{name}' needs the size of the network's input, such as -s 3,32,32.")
    folder = Path(place).expanduser()
    tables = _of_folder(folder, name) if folder.is_dir() else _of_hub(place, name)
    if "train" not in tables:
        raise DataError(f"'{name}' has no part 'train'; it has: {', '.join(tables) or 'none'}.")
    image, label = _columns(tables["train"], name)
    tests = [part for part in _TEST_NAMES if part in tables]
    train = _pictures(tables["train"], image, label, name, wishes.size)
    if tests and wishes.hold_out is None:
        test = _pictures(tables[tests[0]], image, label, name, wishes.size)
    else:
        parts = split(train.labels, wishes.hold_out or 0.25)
        train, test = (train.part(part.tolist()) for part in parts)
    labels = {*train.labels.tolist(), *test.labels.tolist()}
    if min(labels) < 0:
        raise DataError(f"'{name}' has pictures without a class (-1) in a part that needs them.")
    described = f"{name}: {len(train)} and {len(test)} pictures of {max(labels) + 1} classes"
    return Found(train, test, max(labels) + 1, wishes.size, described)


def _of_folder(folder: Path, name: str) -> dict[str, pa.Table]:
    """Read parquet files, whose names begin with that of their part."""
    files: dict[str, list[Path]] = {}
    for file in sorted(folder.rglob("*.parquet")):
        files.setdefault(file.name.split("-")[0].removesuffix(".parquet"), []).append(file)
    if not files:
        raise DataError(
            f"'{name}' is a folder without parquet files; expected data/train-*.parquet and "
            "data/test-*.parquet, as a data set of the hub has."
        )
    try:
        return {part: pa.concat_tables(map(pq.read_table, each)) for part, each in files.items()}
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"'{name}' cannot be read: {str(error).splitlines()[0]}.") from error


def _of_hub(place: str, name: str) -> dict[str, pa.Table]:
    """Load a set by the library `datasets`."""
    try:
        import datasets
    except ModuleNotFoundError as error:
        raise DataError(
            f"'{name}' is no folder here, and sets by name need the library datasets: "
            "pip install datasets."
        ) from error
    path, _, configuration = place.partition(":")
    try:
        found = datasets.load_dataset(path, configuration or None)
        return {str(part): each.with_format("arrow")[:] for part, each in found.items()}
    except Exception as error:  # of requests, huggingface_hub, fsspec, offline mode, ...
        raise DataError(
            f"'{name}' cannot be loaded: {describe_exception(error)}. Without a network only sets "
            "in the cache of datasets, or folders by hf:DIR, can be used."
        ) from error


def _columns(table: pa.Table, name: str) -> tuple[str, str]:
    """Find the column of pictures and that of classes."""
    features = _features(table)
    images = [column for column, kind in features.items() if kind == "Image"] or [
        field.name
        for field in table.schema
        if pa.types.is_struct(field.type) and field.type.get_field_index("bytes") >= 0
    ]
    classes = [column for column, kind in features.items() if kind == "ClassLabel"]
    known = [column for column in _LABELS if column in table.column_names]
    labels = [column for column in known if column in classes] or classes or known
    if not images or not labels:
        raise DataError(
            f"'{name}' has the columns {', '.join(table.column_names)}; expected one of pictures "
            "(a struct with bytes) and one of classes (label)."
        )
    if len(classes) > 1 and "fine_label" in classes:
        return images[0], "fine_label"  # of CIFAR-100, beside the twenty coarse ones
    return images[0], labels[0]


def _features(table: pa.Table) -> dict[str, str]:
    """Read the kinds of columns that the library `datasets` writes into a schema."""
    said = json.loads((table.schema.metadata or {}).get(b"huggingface", b"{}"))
    found: Mapping[str, Any] = said.get("info", {}).get("features", {})
    return {column: str(kind.get("_type")) for column, kind in found.items() if kind}


def _pictures(
    table: pa.Table, image: str, label: str, name: str, size: tuple[int, ...]
) -> Pictures:
    labels: Sequence[int] = table.column(label).to_pylist()
    rows: Iterable[tuple[int, int]] = enumerate(labels)
    column = table.column(image)
    return Pictures(
        name,
        [(functools.partial(_open, column, row), int(each), f"row {row}") for row, each in rows],
        size,
    )


def _open(column: pa.ChunkedArray, row: int) -> Image.Image:
    entry = column[row].as_py()
    content = entry["bytes"] if entry["bytes"] is not None else Path(entry["path"]).read_bytes()
    return Image.open(io.BytesIO(content))
