import math

import pandas as pd
import pytest

from benchmarks.references.__main__ import CASES
from benchmarks.references.case import Case
from benchmarks.references.measure import measure
from benchmarks.references.report import largest_difference, table
from sppkit.models import find_reference

SMALL = Case(
    reference="nf_resnet_digits",
    arguments={"skip_gain": 1.0, "padding_mode": "circular"},
    input_size=(1, 8, 8),
    tap="block",
    statistic="average_channel_variance",
    published=(1.04, 1.08),
    source="theory",
    seeds=2,
    batch_size=4,
)


def test_every_case_is_about_a_bundled_network_and_a_curve():
    for case in CASES:
        assert find_reference(case.reference)
        assert case.tap in ("block", "residual branch")
        assert case.source


def test_a_case_becomes_a_row_per_block_beside_what_is_published():
    (frame,) = measure([SMALL])
    assert frame["block"].tolist() == [1, 2, 3, 4]
    assert frame["published"].tolist()[:2] == [1.04, 1.08]
    assert frame["published"].isna().tolist() == [False, False, True, True]
    assert ((frame["measured"] > 0.5) & (frame["measured"] < 2)).all()
    assert frame["case"][0] == (
        "nf_resnet_digits(skip_gain=1.0, padding_mode=circular), 1x8x8 gaussian"
    )


def test_the_largest_difference_is_that_of_compared_blocks():
    group = pd.DataFrame({"measured": [1.1, 2.0, 9.0], "published": [1.0, 2.0, math.nan]})
    assert largest_difference(group) == pytest.approx(0.1)


def test_the_report_shows_differences_only_where_a_tolerance_is_to_be_met():
    row = {
        "case": "net",
        "tap": "block",
        "statistic": "average_channel_variance",
        "source": "theory",
        "measured": 1.02,
        "published": 1.0,
        "tolerance": 0.05,
    }
    context = {**row, "case": "other", "tolerance": math.nan}
    lines = table(pd.DataFrame([row, context])).splitlines()
    assert lines[2] == (
        "| net | average channel variance at block | 1.02 | 1 | 2.0 % | 5 % | theory |"
    )
    assert lines[3] == "| other | average channel variance at block | 1.02 | 1 |  |  | theory |"
