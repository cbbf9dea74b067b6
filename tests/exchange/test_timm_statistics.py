"""What timm's `extract_spp_stats` returns, drawn and checked."""

import numpy as np
import pytest

import sppkit
from sppkit.exchange import from_timm
from sppkit.rules import judge

STATS = {
    "avg_sq_ch_mean": [0.1, 0.2, 0.3, 0.1],
    "avg_ch_var": [1.0, 2.0, 3.0, 1.0],
    "avg_ch_var_residual": [1.1, 0.9, 1.0, 1.05],
}


def lines(figure):
    """Give the points of the first run, by the title of the panel."""
    return {
        axes.get_title(loc="left") or axes.get_title(): axes.get_lines()[0].get_xydata()
        for axes in figure.axes
    }


def test_the_three_lists_are_the_three_panels():
    """S7."""
    drawn = lines(sppkit.plot_signal_propagation(from_timm(STATS)))
    assert len(drawn) == 3
    for values, points in zip(STATS.values(), drawn.values(), strict=True):
        np.testing.assert_allclose(points, np.c_[np.arange(1, 5), values])


def test_the_table_has_a_row_for_each_block_and_branch_and_says_what_it_does_not_know():
    table = from_timm(STATS, run="old").table()
    blocks = table[table["tap"] == "block"]
    assert blocks["second_moment"].tolist() == pytest.approx([1.1, 2.2, 3.3, 1.1])
    assert set(table["run"]) == {"old"}
    assert (table["samples"] == 0).all()
    assert set(table["flags"]) == {"variance over n - 1"}
    assert table["variance"].isna().all()


def test_a_list_that_is_missing_is_said():
    recording = from_timm({"avg_ch_var": [1.0, 1.0]})
    (missing,) = recording.not_captured
    assert "avg_sq_ch_mean" in missing.reason
    assert recording.table()["average_channel_squared_mean"].isna().all()


def test_an_exploding_network_fails_the_check_and_a_healthy_one_does_not():
    exploding = [4.0**index for index in range(24)]
    sick = from_timm({"avg_sq_ch_mean": [0.0] * 24, "avg_ch_var": exploding})
    assert judge(sick).verdict == "fail"
    assert "SPP101" in {finding.code for finding in judge(sick).counted}
    assert judge(from_timm(STATS)).verdict == "pass"


def test_a_file_keeps_everything(tmp_path):
    recording = from_timm(STATS)
    recording.save(tmp_path / "old.parquet")
    found = sppkit.read(tmp_path / "old.parquet")
    assert found.table().equals(recording.table())
    assert found.metadata["timm"]["imported_from"] == "timm.utils.model"


@pytest.mark.parametrize(
    ("stats", "words"),
    [
        ([1.0], "dict of lists that timm's extract_spp_stats returns, not list"),
        ({"avg_ch_vra": [1.0]}, "'avg_ch_vra' is none of them"),
        ({"avg_ch_var": []}, "its patterns matched no module"),
        ({}, "its patterns matched no module"),
        ({"avg_ch_var": [1.0], "avg_sq_ch_mean": [1.0, 2.0]}, "1 of avg_ch_var, 2 of avg_sq"),
        ({"avg_ch_var": [1.0, "x"]}, "entry 1 of avg_ch_var is no number: 'x'"),
    ],
)
def test_what_is_no_statistic_of_timm_is_refused(stats, words):
    with pytest.raises(ValueError, match=words):
        from_timm(stats)
