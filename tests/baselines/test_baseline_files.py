"""Baselines on disk: what they are compared with, and what is refused."""

import json

import pyarrow.parquet as pq
import pytest
from torch import nn

import sppkit
from sppkit import table as frames
from sppkit.baselines import (
    BaselineDrift,
    check_comparable,
    read_baseline,
    write_baseline,
)
from sppkit.baselines.baseline import same_numbers
from sppkit.errors import BaselineError
from tests.baselines.test_comparison import chain, probed, rows


@pytest.fixture
def golden(tmp_path):
    return write_baseline(probed(), tmp_path / "spp" / "net.parquet")


def test_a_baseline_is_a_recording_that_says_what_it_is(golden):
    recording = read_baseline(golden)
    assert recording.metadata["net"]["baseline"] == {"format": 1, "sppkit": sppkit.__version__}
    assert same_numbers(recording, probed())
    assert sppkit.read(golden).runs == ("net",)


def test_the_same_network_is_comparable_and_does_not_drift(golden):
    check_comparable(probed(), read_baseline(golden))
    assert BaselineDrift().judge_against(read_baseline(golden), probed()).findings == ()


def test_another_initialisation_drifts_at_its_first_layer(golden):
    after = probed(lambda: chain(gain=3.0))
    (finding,) = BaselineDrift().judge_against(read_baseline(golden), after).findings
    assert (finding.code, finding.layer, finding.severity) == ("SPP902", "0", "error")
    assert "13 of 13 layers moved by more than 4.5 standard deviations" in finding.message
    assert "--update" in finding.advice


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (lambda: chain(depth=7), "'12' is new"),
        (lambda: chain(depth=5), "'10' is gone"),
        (lambda: nn.Sequential(*chain(depth=5), nn.Linear(32, 32), nn.Tanh()), "ReLU, is Tanh"),
        (lambda: nn.Sequential(*chain(depth=5), nn.Linear(32, 8), nn.ReLU()), "was 1056, is 264"),
    ],
)
def test_another_architecture_is_an_error_that_says_so(golden, other, said):
    with pytest.raises(BaselineError, match="another architecture") as caught:
        check_comparable(probed(other), read_baseline(golden))
    assert said in str(caught.value)
    assert "--update" in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"input": "uniform"}, "input 'gaussian noise', and 'net' with 'uniform noise'"),
        ({"batch_size": 4}, "input shapes"),
        ({"mode": "eval"}, "mode 'train'"),
        ({"loss": "cross-entropy"}, "loss 'unit-gradient'"),
    ],
)
def test_other_circumstances_are_an_error_that_says_so(golden, changes, said):
    with pytest.raises(BaselineError, match=said):
        check_comparable(probed(seeds=2, **changes), read_baseline(golden))


def test_other_seeds_are_comparable(golden):
    check_comparable(probed(seed=7, seeds=3), read_baseline(golden))


def test_a_baseline_of_another_version_is_an_error_that_says_so(golden):
    recording = sppkit.read(golden)
    recording.metadata["net"]["baseline"]["sppkit"] = "99.3.1"
    frames.write(golden, recording.table(), recording.structure(), recording.metadata)
    with pytest.raises(BaselineError, match=r"written by sppkit 99\.3\.1"):
        read_baseline(golden)


def test_a_baseline_of_another_schema_is_refused(golden):
    table = pq.read_table(golden)
    content = json.loads(table.schema.metadata[b"sppkit"]) | {"schema": 99}
    pq.write_table(table.replace_schema_metadata({b"sppkit": json.dumps(content)}), golden)
    with pytest.raises(sppkit.SppkitError, match="schema version 99"):
        read_baseline(golden)


def test_a_recording_is_no_baseline(tmp_path):
    probed(seeds=2).save(tmp_path / "a.parquet")
    with pytest.raises(BaselineError, match="no baseline"):
        read_baseline(tmp_path / "a.parquet")
    with pytest.raises(BaselineError, match="there is no baseline"):
        read_baseline(tmp_path / "b.parquet")


def test_one_seed_and_several_runs_make_no_baseline(tmp_path):
    with pytest.raises(BaselineError, match="2 seeds or more"):
        write_baseline(rows([1.0]), tmp_path / "a.parquet")
    with pytest.raises(BaselineError, match="'net', 'net #2'"):
        write_baseline(sppkit.combine([rows([1.0, 2.0])] * 2), tmp_path / "a.parquet")
    assert not list(tmp_path.iterdir())


def test_a_file_of_others_is_left_alone(tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"a table")
    with pytest.raises(sppkit.SppkitError, match="left alone"):
        write_baseline(probed(seeds=2), tmp_path / "a.parquet")
    assert (tmp_path / "a.parquet").read_bytes() == b"a table"
