"""What other programs read of a recording."""

import json
import math

import numpy as np
import pandas as pd
import pytest
from torch import nn

import sppkit
from sppkit.errors import OutputError
from sppkit.exchange import FORMATS, is_export, long_form, write
from sppkit.table import KEY
from tests.libraries import library


def build():
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))


@pytest.fixture(scope="module")
def recording():
    return sppkit.probe(build, input_size=(8,), seeds=2, run="net")


def plain(table):
    return table.astype(dict.fromkeys(table.select_dtypes("category"), "object"))


def test_csv_holds_the_table(recording, tmp_path):
    write(recording, tmp_path / "a.csv")
    found, table = pd.read_csv(tmp_path / "a.csv", dtype=str), recording.table()
    assert list(found) == list(table)
    for name in ("second_moment", "average_channel_variance", "samples", "seed"):
        expected = table[name].astype(float)
        np.testing.assert_allclose(found[name].astype(float), expected, rtol=1e-15)
    assert found["layer"].fillna("").tolist() == plain(table)["layer"].tolist()


def test_every_json_line_is_an_object_of_standard_json(recording, tmp_path):
    write(recording, tmp_path / "a.jsonl")
    lines = (tmp_path / "a.jsonl").read_text().splitlines()
    rows = [json.loads(line, parse_constant=pytest.fail) for line in lines]
    table = recording.table()
    assert [row["layer"] for row in rows] == plain(table)["layer"].tolist()
    second = [math.nan if row["second_moment"] is None else row["second_moment"] for row in rows]
    np.testing.assert_allclose(second, table["second_moment"], rtol=1e-13)


def test_wide_parquet_is_the_recording(recording, tmp_path):
    write(recording, tmp_path / "a.parquet")
    assert sppkit.read(tmp_path / "a.parquet").table().equals(recording.table())


def test_the_long_form_has_one_row_for_each_number(recording):
    tall, table = long_form(recording), recording.table()
    assert not tall.duplicated([*KEY, "statistic"]).any()
    assert len(tall) == table.iloc[:, 22:].notna().sum().sum()
    one = tall[(tall["statistic"] == "second_moment") & (tall["signal"] == "activation")]
    expected = table.loc[table["signal"] == "activation", ["layer", "seed", "second_moment"]]
    both = plain(one).merge(plain(expected), on=["layer", "seed"])
    np.testing.assert_array_equal(both["value"], both["second_moment"])


@pytest.mark.parametrize("long", [False, True])
def test_pandas_polars_and_duckdb_read_the_parquet_file(long, recording, tmp_path):
    polars, duckdb = library("polars"), library("duckdb")
    path = tmp_path / "a.parquet"
    write(recording, path, long=long)
    column = "value" if long else "second_moment"
    expected = pd.read_parquet(path)[column].sum()
    assert expected > 0
    of_polars = polars.read_parquet(path)[column].fill_nan(None).sum()
    query = f"select sum({column}) from '{path}' where not isnan({column})"
    ((of_duckdb,),) = duckdb.sql(query).fetchall()
    assert of_polars == pytest.approx(expected, rel=1e-12)
    assert of_duckdb == pytest.approx(expected, rel=1e-12)
    layers = duckdb.sql(f"select distinct layer from '{path}'").fetchall()
    assert {layer for (layer,) in layers} == set(recording.table()["layer"])


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("long", [False, True])
def test_what_was_written_is_known_as_ours(suffix, long, recording, tmp_path):
    path = tmp_path / f"a{suffix}"
    write(recording, path, long=long)
    assert is_export(path)
    path.write_bytes(b"something else")
    assert not is_export(path)


def test_other_suffixes_and_places_are_refused(recording, tmp_path):
    with pytest.raises(ValueError, match=r"ends in '\.xlsx'; choose \.csv"):
        write(recording, tmp_path / "a.xlsx")
    with pytest.raises(OutputError):
        write(recording, tmp_path / "none" / "a.csv")
    assert not list(tmp_path.iterdir())
