import re
from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from sppkit.kernels import summarize
from sppkit.summary import BASE_ROWS, EXTENDED_ROWS, ChannelSummary, merge_all, packed_size
from tests.oracle import errors, expected, summary_of

CHANNELS = 5
EXACT = ("count", "minimum", "maximum", "zeros", "nonfinite")

# Batches of unequal channels: offsets of many deviations, tiny and huge values, zeros.
BATCHES = {
    "normal": lambda: torch.randn(40, CHANNELS, 3, 3).double(),
    "offsets": lambda: 1e5 + torch.randn(40, CHANNELS, 3, 3).double(),
    "drifting": lambda: torch.randn(40, CHANNELS).double() + torch.arange(40.0).double()[:, None],
    "gradients": lambda: 1e-24 * torch.randn(40, CHANNELS).double(),
    "huge": lambda: 1e20 * torch.randn(40, CHANNELS).double(),
    "sparse": lambda: torch.randn(40, CHANNELS, 2, 2).double().relu(),
    "skewed": lambda: torch.randn(40, CHANNELS).double().exp(),
}
SPLITS = [(20, 20), (1, 39), (7, 0, 30, 3), (1,) * 40]


def base(summary: ChannelSummary) -> ChannelSummary:
    """Drop the extension."""
    return ChannelSummary.unpack(summary.pack()[: packed_size(summary.channels, False)], CHANNELS)


def assert_close(found: ChannelSummary, wanted: ChannelSummary, rtol: float = 1e-12) -> None:
    np.testing.assert_allclose(found.pack(), wanted.pack(), rtol=rtol, atol=0)


@pytest.mark.parametrize("split", SPLITS, ids=str)
@pytest.mark.parametrize("batch", BATCHES)
def test_merged_micro_batches_are_the_batch(batch, split):
    whole = BATCHES[batch]()
    merged = merge_all(summary_of(part) for part in whole.split(split))
    wanted = expected(whole, 1)
    for name in (*EXACT, "histogram"):
        np.testing.assert_array_equal(getattr(merged, name), getattr(wanted, name), name)
    # A mean of 1e5 deviations is stored to 1e5 times the precision of float64, 2e-16.
    worst = errors(merged, wanted)
    assert {name: error for name, error in worst.items() if not error <= 1e-10} == {}


@pytest.mark.parametrize("batch", BATCHES)
def test_micro_batches_read_in_float32_merge_into_the_batch(batch):
    whole = BATCHES[batch]().float()
    parts = [summarize(part, 1, extended=True).numpy() for part in whole.split((7, 0, 30, 3))]
    merged = merge_all(ChannelSummary.unpack(part, CHANNELS) for part in parts)
    worst = errors(merged, expected(whole, 1))
    assert {name: error for name, error in worst.items() if not error <= 1e-6} == {}


@pytest.mark.parametrize("batch", BATCHES)
def test_merging_is_associative_and_commutative_up_to_rounding(batch):
    a, b, c = (summary_of(part) for part in BATCHES[batch]().split((5, 20, 15)))
    left, right = a.merge(b).merge(c), a.merge(b.merge(c))
    for found in (right, c.merge(a).merge(b)):
        np.testing.assert_allclose(found.m2, left.m2, rtol=1e-10)
        np.testing.assert_allclose(found.m4, left.m4, rtol=1e-9)


@pytest.mark.parametrize("extended", [False, True])
@pytest.mark.parametrize("batch", BATCHES)
def test_the_empty_summary_is_the_identity(batch, extended):
    summary = summary_of(BATCHES[batch]()) if extended else base(summary_of(BATCHES[batch]()))
    empty = ChannelSummary.empty(CHANNELS, extended=extended)
    for merged in (summary.merge(empty), empty.merge(summary)):
        np.testing.assert_array_equal(merged.pack(), summary.pack())


def test_a_channel_with_a_nonfinite_value_stays_nan_when_it_is_merged():
    broken = torch.zeros(4, CHANNELS)
    broken[0, 2], broken[1, 2], broken[2, 4] = torch.inf, -torch.inf, torch.nan
    merged = summary_of(torch.randn(8, CHANNELS)).merge(summary_of(broken))
    moments = (merged.mean, merged.m2, merged.m3, merged.m4, merged.absolute_sum)
    assert {tuple(np.isnan(moment)) for moment in moments} == {(False, False, True, False, True)}
    assert merged.nonfinite.tolist() == [0, 0, 2, 0, 1]
    assert np.isfinite([merged.minimum, merged.maximum]).all()


def test_an_extended_summary_merged_with_a_base_one_is_a_base_one():
    summary = summary_of(torch.randn(8, CHANNELS))
    for merged in (summary.merge(base(summary)), base(summary).merge(summary)):
        assert not merged.extended
        assert_close(merged, base(summary).merge(base(summary)))


@pytest.mark.parametrize("extended", [False, True])
@pytest.mark.parametrize("channels", [0, 1, 5])
def test_unpacking_a_packed_summary_changes_nothing(channels, extended):
    packed = np.arange(packed_size(channels, extended), dtype=np.float64)
    summary = ChannelSummary.unpack(packed, channels)
    np.testing.assert_array_equal(summary.pack(), packed)
    assert (summary.channels, summary.extended) == (channels, extended)


def test_the_packed_rows_are_the_fields_in_their_order():
    names = [field.name for field in fields(ChannelSummary)]
    assert names == [*EXTENDED_ROWS, "histogram"]
    assert EXTENDED_ROWS[: len(BASE_ROWS)] == BASE_ROWS
    packed = np.repeat(np.arange(len(BASE_ROWS)), CHANNELS)
    summary = ChannelSummary.unpack(packed, CHANNELS)
    assert [getattr(summary, name)[0] for name in BASE_ROWS] == list(range(len(BASE_ROWS)))


def test_a_float32_vector_is_unpacked_into_float64():
    summary = ChannelSummary.unpack(np.ones(14, dtype=np.float32), 2)
    assert summary.mean.dtype == np.float64


@pytest.mark.parametrize("shape", [(13,), (2, 7), (0,)])
def test_a_vector_of_the_wrong_length_is_refused(shape):
    message = (
        "a packed summary of 2 channels holds 14 numbers (base) or 532 (extended), in one "
        f"dimension; received shape {shape}."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        ChannelSummary.unpack(np.zeros(shape), 2)


def test_summaries_of_different_channels_do_not_merge():
    message = "summaries of 3 and of 4 channels do not merge: both must describe the same tensor."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        ChannelSummary.empty(3).merge(ChannelSummary.empty(4))


def test_nothing_cannot_be_merged():
    with pytest.raises(ValueError, match="no summary to merge: pass at least one"):
        merge_all([])


def test_one_summary_merges_into_itself():
    summary = summary_of(torch.randn(8, CHANNELS))
    assert merge_all([summary]) is summary


@pytest.mark.parametrize("missing", ["absolute_sum", "m3", "m4", "histogram"])
def test_a_summary_without_one_part_of_the_extension_merges_as_a_base_one(missing):
    summary = summary_of(torch.randn(8, CHANNELS))
    partial = replace(summary, **{missing: None})
    for merged in (partial.merge(summary), summary.merge(partial)):
        assert [name for name in EXTENDED_ROWS if getattr(merged, name) is None] == [
            *("absolute_sum", "m3", "m4"),
        ]
        assert not merged.extended


def test_an_empty_summary_is_a_base_one_unless_told_otherwise():
    assert not ChannelSummary.empty(3).extended
    assert ChannelSummary.empty(3, extended=True).extended


def test_the_rows_of_a_matrix_are_named_in_their_order():
    matrix = np.arange(len(EXTENDED_ROWS) * 2, dtype=np.float64).reshape(-1, 2)
    counts = np.ones((1, 512))
    base_rows = ChannelSummary.of_rows(matrix[: len(BASE_ROWS)], None)
    extended = ChannelSummary.of_rows(matrix, counts)
    for summary, names in ((base_rows, BASE_ROWS), (extended, EXTENDED_ROWS)):
        for name, row in zip(names, matrix, strict=False):
            np.testing.assert_array_equal(getattr(summary, name), row)
    assert base_rows.m3 is None
    assert base_rows.histogram is None
    assert extended.histogram is counts


@pytest.mark.parametrize("factor", [1.0, 0.5, 0.125, 8.0, 1 / 3])
def test_a_scaled_summary_is_that_of_the_scaled_values(factor):
    x = torch.randn(5, 4, dtype=torch.float64)
    x[0, 0] = 0
    packed = [summarize(values, 1, extended=True).numpy() for values in (x, x * factor)]
    whole, wanted = (ChannelSummary.unpack(p, 4) for p in packed)
    found = whole.scaled(factor)
    for name in ("count", "mean", "m2", "minimum", "maximum", "zeros", "absolute_sum", "m3", "m4"):
        np.testing.assert_allclose(getattr(found, name), getattr(wanted, name), rtol=1e-12)
    if factor == 1 / 3:
        assert np.isnan(found.histogram).all()
    else:
        np.testing.assert_array_equal(found.histogram, wanted.histogram)


@pytest.mark.parametrize("exponent", [-3, 3])
def test_a_scaled_histogram_keeps_what_leaves_it_in_its_last_bins(exponent):
    # float32 holds 2^-149 to 2^128; bin 0 has the subnormal numbers, bin 254 the largest
    x = torch.tensor([2.0**-127, 2.0**-126, 2.0**-124, 1.0, 2.0**124, 2.0**126, 2.0**127])
    values = torch.cat([x, -x[::2]]).double()[:, None]
    found = summary_of(values).scaled(2.0**exponent)
    wanted = summary_of(values * 2.0**exponent)
    np.testing.assert_array_equal(found.histogram, wanted.histogram)


def test_moments_that_leave_the_range_of_float64_are_infinite_silently():
    huge = replace(ChannelSummary.empty(1), count=np.ones(1), mean=np.array([1e200]))
    opposite = replace(huge, mean=np.array([-1e200]))
    assert huge.merge(opposite).m2.tolist() == [np.inf]
    assert replace(huge, m2=np.array([1e200])).scaled(1e60).m2.tolist() == [np.inf]


@pytest.mark.parametrize("factor", [-1.0, 0.0, np.inf, np.nan])
def test_a_factor_that_no_value_survives_is_refused(factor):
    with pytest.raises(ValueError, match=f"^factor={factor} must be finite and positive$"):
        ChannelSummary.empty(2).scaled(factor)
