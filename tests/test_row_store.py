"""Rows are held by column and give the frame that a list of them would give."""

import numpy as np
import pandas as pd
import pytest

from sppkit.row_store import RowStore
from sppkit.table import TABLE_COLUMNS

STATISTICS = ["mean", "variance"]


def rows(count, first=0):
    """Make rows some of which lack what a row may lack."""
    made = []
    for i in range(first, first + count):
        row = {c: i % 3 for c, kind in TABLE_COLUMNS.items() if kind == "int64"}
        row |= {c: f"{c} {9 - i % 4}" for c, kind in TABLE_COLUMNS.items() if kind == "category"}
        row |= {"depth": i, "mean": i / 7, "variance": float("inf")}
        if i % 2:
            row |= {"block": 2**40 + i, "stage": None, "flags": None}
            del row["mean"]
        made.append(row)
    return made


def frame_of(some_rows):
    """Build the table with pandas alone, row by row."""
    columns = [*TABLE_COLUMNS, *STATISTICS]
    kinds = {c: TABLE_COLUMNS.get(c, "float64") for c in columns}
    return pd.DataFrame(some_rows, columns=columns).astype(kinds)


@pytest.mark.parametrize("sizes", [(0,), (1,), (7, 1, 300), (256, 256), (2000,)])
def test_the_frame_is_that_of_the_rows(sizes):
    store, everything = RowStore(STATISTICS), []
    for size in sizes:
        added = rows(size, len(everything))
        store.append_rows(added)
        everything += added
    pd.testing.assert_frame_equal(store.frame(), frame_of(everything))
    assert len(store) == len(everything)


def test_arrays_lists_and_single_values_are_columns():
    store, some = RowStore(STATISTICS), rows(4)
    columns = {name: [row.get(name) for row in some] for name in frame_of(some).columns}
    columns |= {"step": 5, "run": "net", "mean": np.arange(4.0), "samples": np.arange(4)}
    columns |= {"layer": np.array(["b", "a", "b", "c"], dtype=object)}
    store.append(columns)
    expected = frame_of([{**row, "step": 5, "run": "net"} for row in some])
    expected = expected.assign(mean=np.arange(4.0), samples=np.arange(4))
    expected["layer"] = pd.Categorical(["b", "a", "b", "c"])
    pd.testing.assert_frame_equal(store.frame(), expected)


def test_the_frame_is_made_once_and_anew_after_more_rows():
    store = RowStore(STATISTICS)
    store.append_rows(rows(3))
    first = store.frame()
    assert store.frame() is first
    store.append_rows(rows(2))
    assert len(store.frame()) == 5
    assert len(first) == 3


def test_rows_that_come_behind_a_frame_are_joined_to_it():
    store = RowStore.of(frame_of(rows(3)), STATISTICS)
    assert len(store) == 3
    store.append_rows(rows(4, 3))
    pd.testing.assert_frame_equal(store.frame(), frame_of(rows(7)))


def test_a_cleared_store_holds_nothing_of_before():
    store = RowStore(STATISTICS)
    store.append_rows(rows(300))
    store.clear()
    store.append_rows(rows(2))
    pd.testing.assert_frame_equal(store.frame(), frame_of(rows(2)))


def test_a_row_takes_little_memory():
    store = RowStore(STATISTICS)
    for first in range(0, 4096, 64):
        store.append_rows(rows(64, first))
    held = store._integers.nbytes + store._floats.nbytes + store._codes.nbytes
    assert held <= 4096 * (8 * 15 + 4 * 12)


def test_columns_that_do_not_fit_are_refused():
    store, columns = RowStore(STATISTICS), dict.fromkeys(TABLE_COLUMNS, 0)
    with pytest.raises(ValueError, match=r"of equal length, not {'step': 3, 'mean': 2}"):
        store.append({**columns, "mean": [1.0, 2.0], "step": [1, 2, 3]})
    with pytest.raises(ValueError, match=r"the table has no columns \['meen'\]; it has \['run', "):
        store.append({**columns, "meen": [1.0]})
    del columns["samples"]
    with pytest.raises(ValueError, match=r"rows need the integer columns \['samples'\]"):
        store.append(columns)
    assert len(store) == 0
