"""A recording survives the disk, says what it holds, and joins others."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from torch import nn

import sppkit
from sppkit.errors import RecordingError
from sppkit.table import KEY, STRUCTURE_COLUMNS, TABLE_COLUMNS
from tests.cases import PostActivationResNet


@pytest.fixture(scope="module")
def recording():
    return sppkit.probe(PostActivationResNet, input_size=(3, 16, 16), seeds=2, run="resnet")


def test_the_key_is_unique_and_the_columns_are_the_documented_ones(recording):
    """D8: one tidy table."""
    table = recording.table()
    assert not table.duplicated(list(KEY)).any()
    assert list(table.columns[: len(TABLE_COLUMNS)]) == list(TABLE_COLUMNS)
    assert {c: str(table[c].dtype) for c in TABLE_COLUMNS} == TABLE_COLUMNS
    statistics = table.columns[len(TABLE_COLUMNS) :]
    assert (table[statistics].dtypes == np.float64).all()
    structure = recording.structure()
    assert {c: str(structure[c].dtype) for c in STRUCTURE_COLUMNS} == STRUCTURE_COLUMNS
    assert not structure.duplicated(["run", "layer", "operation"]).any()


def test_both_frames_and_all_metadata_survive_the_disk(recording, tmp_path):
    path = tmp_path / "run.parquet"
    recording.save(path)
    again = sppkit.read(path)
    pd.testing.assert_frame_equal(again.table(), recording.table())
    pd.testing.assert_frame_equal(again.structure(), recording.structure())
    assert again.metadata == recording.metadata
    assert again.not_captured == recording.not_captured
    assert list(tmp_path.iterdir()) == [path]


def test_other_tools_read_the_table_directly(recording, tmp_path):
    recording.save(tmp_path / "run.parquet")
    plain = pd.read_parquet(tmp_path / "run.parquet")
    assert len(plain) == len(recording.table())
    assert set(plain["signal"]) == set(recording.table()["signal"])


def test_values_that_are_not_finite_survive_the_disk(tmp_path):
    """D8: NaN and inf too."""
    model = nn.Linear(4, 4)
    with torch.no_grad():
        model.weight[0, 0] = float("nan")
    recording = sppkit.probe(model, input_size=(4,), seeds=1)
    recording.save(tmp_path / "run.parquet")
    again = sppkit.read(tmp_path / "run.parquet").table()
    pd.testing.assert_frame_equal(again, recording.table())
    row = again[(again["signal"] == "activation")].iloc[0]
    assert np.isnan(row["variance"])
    assert 0 < row["nonfinite_fraction"] < 1


def test_a_table_may_be_changed_by_its_reader(recording):
    table = recording.table()
    table["mean"] = 7.0
    assert (recording.table()["mean"] != 7.0).all()


def test_reading_what_is_no_recording_is_refused(tmp_path):
    with pytest.raises(RecordingError, match=r"there is no recording '.*missing\.parquet'"):
        sppkit.read(tmp_path / "missing.parquet")
    (tmp_path / "text.parquet").write_text("hello")
    with pytest.raises(RecordingError, match="no readable parquet file"):
        sppkit.read(tmp_path / "text.parquet")
    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "other.parquet")
    with pytest.raises(RecordingError, match="no recording of sppkit"):
        sppkit.read(tmp_path / "other.parquet")


def test_another_schema_version_is_refused(recording, tmp_path, monkeypatch):
    monkeypatch.setattr("sppkit.table.SCHEMA_VERSION", 99)
    recording.save(tmp_path / "run.parquet")
    monkeypatch.undo()
    with pytest.raises(RecordingError, match="schema version 99; this sppkit reads version 1"):
        sppkit.read(tmp_path / "run.parquet")


def _without_layers(arrow):
    return arrow.drop_columns(["layer"])


def _with_a_word_for_a_step(arrow):
    place = arrow.schema.get_field_index("step")
    return arrow.set_column(place, "step", pa.array(["first"] * arrow.num_rows))


def _with_another_entry(text):
    return lambda arrow: arrow.replace_schema_metadata({**arrow.schema.metadata, b"sppkit": text})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_without_layers, "lacks the columns layer"),
        (_with_a_word_for_a_step, "a column has another type"),
        (_with_another_entry(b"{broken"), "is no JSON"),
        (_with_another_entry(b'{"schema": 1}'), "is damaged"),
        (_with_another_entry(b"[1]"), "is damaged"),
    ],
)
def test_a_file_that_was_changed_is_refused(change, said, recording, tmp_path):
    recording.save(tmp_path / "a.parquet")
    pq.write_table(change(pq.read_table(tmp_path / "a.parquet")), tmp_path / "a.parquet")
    with pytest.raises(RecordingError, match=f"a.parquet' was changed .*{said}.*record again"):
        sppkit.read(tmp_path / "a.parquet")


def test_writing_to_a_missing_folder_is_refused_and_leaves_nothing(recording, tmp_path):
    with pytest.raises(RecordingError, match=r"the recording .* cannot be written"):
        recording.save(tmp_path / "missing" / "run.parquet")
    assert not list(tmp_path.iterdir())


def test_a_write_that_fails_leaves_the_old_file(recording, tmp_path, monkeypatch):
    path = tmp_path / "run.parquet"
    recording.save(path)
    old = path.read_bytes()

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("sppkit.table.pq.write_table", fail)
    with pytest.raises(RecordingError, match="No space left on device"):
        recording.save(path)
    assert path.read_bytes() == old
    assert list(tmp_path.iterdir()) == [path]


def test_the_representation_is_one_line(recording):
    text = repr(recording)
    assert text.startswith("Recording(run='resnet', ")
    assert "layers x 2 seeds, second moment" in text
    assert "0 not captured" in text
    assert "\n" not in text


def test_combined_runs_keep_their_rows_and_get_names_of_their_own(recording):
    both = sppkit.combine([recording, recording])
    assert both.runs == ("resnet", "resnet #2")
    assert len(both.table()) == 2 * len(recording.table())
    assert not both.table().duplicated(list(KEY)).any()
    assert set(both.structure()["run"]) == {"resnet", "resnet #2"}
    assert str(both.table()["layer"].dtype) == "category"


def test_the_structure_tells_what_the_network_is(recording):
    structure = recording.structure().set_index("layer")
    conv = structure.loc["layer2.0.conv1"]
    assert (conv["fan_in"], conv["fan_out"], conv["groups"]) == (8 * 9, 16 * 9, 1)
    assert conv["layer_type"] == "Conv2d"
    assert conv["parent"] == "layer2.0"
    assert (conv["computes"], conv["after"]) == ("conv2d", "batch_norm > relu")
    assert conv["nonlinearity"] == "relu"
    assert bool(conv["normalised_after"])
    assert not bool(conv["normalised_before"])
    assert conv["initialisation"].startswith("weight: std 0.0")
    assert structure.loc["layer1.0.bn1", "initialisation"] == "weight: constant 1, bias: zero"
    assert structure.loc["layer1.0", "file"].endswith("cases.py")
    assert structure.loc["layer1.0", "merge"] == "layer1.0:add#1"
    assert structure.loc["layer1.0", "role"] == "container"
    assert int(structure.loc["layer1.0.relu", "calls"]) == 2


def test_a_foreign_file_is_left_alone(recording, tmp_path):
    path = tmp_path / "precious.txt"
    path.write_text("mine")
    with pytest.raises(RecordingError, match="exists and is no recording"):
        recording.save(path)
    assert path.read_text() == "mine"


def test_combining_nothing_is_refused():
    with pytest.raises(ValueError, match="at least one recording"):
        sppkit.combine([])


def test_notebooks_show_a_row_for_each_run_without_a_script():
    from torch import nn

    hostile = "<script>alert(1)</script>"
    runs = [
        sppkit.probe(nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2)), input_size=(4,), run=name)
        for name in ("net", hostile)
    ]
    html = sppkit.combine(runs)._repr_html_()
    assert html.count("<tr>") == 3
    assert html.count("2 of 2 layers") == 2
    assert html.count("<polyline") == 2
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    seconds = runs[0].table().query("signal == 'activation'")["second_moment"]
    assert f"{seconds.min():.3g}..{seconds.max():.3g}" in html
    assert "<details>" not in html


def test_notebooks_show_what_was_not_captured():
    recording = sppkit.Recording(metadata={"net": {"model": "Net"}})
    assert "<table>" in recording._repr_html_()
    entry = {"run": "net", "layer": "<a>", "signal": "activation", "reason": "it is scripted"}
    recording.metadata["net"]["not_captured"] = [entry]
    html = recording._repr_html_()
    assert "<summary>1 not captured</summary>" in html
    assert "activation of &lt;a&gt;: it is scripted" in html
