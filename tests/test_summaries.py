import numpy as np
import pytest
import torch

from sppkit.summaries import TOTALS, Selection, Summaries
from sppkit.summary import EXTENDED_ROWS, ChannelSummary, packed_size
from tests.oracle import by_channel, summary_of

SHAPES = {
    "equal": [(8, 3), (5, 3), (6, 3)],
    "one": [(8, 3)],
    "channels differ": [(8, 1), (5, 4, 2), (6, 2)],
    "one value per channel": [(1, 3), (5, 2)],
    "no values": [(8, 2), (0, 3), (5, 2)],
    "no channels": [(8, 2), (5, 0), (5, 3)],
    "no channels at the end": [(8, 2), (5, 0)],
    "no channels at the beginning": [(5, 0), (8, 2)],
    "one channel or none": [(5, 0), (8, 1), (5, 0), (4, 1)],
    "nothing at all": [(5, 0), (5, 0)],
}

# What the channels of a tensor add up to, from its values: x is (C, values per channel).
ADDED_UP = {
    "values": lambda x: x.size,
    "samples": lambda x: x.shape[1] if len(x) else 0,
    "nonempty_channels": lambda x: len(x) if x.size else 0,
    "mean": lambda x: x.mean() if x.size else np.nan,
    "pooled_m2": lambda x: ((x - x.mean()) ** 2).sum() if x.size else np.nan,
    "squared_means": lambda x: (x.mean(1) ** 2).sum() if x.size else 0,
    "variances": lambda x: x.var(1).sum() if x.size else 0,
    "least": lambda x: x.min(initial=np.inf),
    "greatest": lambda x: x.max(initial=-np.inf),
    "zeros": lambda x: (x == 0).sum(),
    "nonfinite": lambda x: 0,
    "dead_channels": lambda x: (x == 0).all(1).sum() if x.size else 0,
    "squares": lambda x: (x**2).sum(),
    "norms": lambda x: np.linalg.norm(x, axis=1).sum(),
    "greatest_norm": lambda x: np.linalg.norm(x, axis=1).max(initial=-np.inf),
}


def tensors_of(shapes) -> list[torch.Tensor]:
    """Tensors that differ in mean and scale; in the last channel of the first all is zero."""
    tensors = [(k + 1) * torch.randn(shape).double() + k for k, shape in enumerate(shapes)]
    if tensors[0].shape[1] > 1:
        tensors[0][:, -1:] = 0
    return tensors


def base(summary: ChannelSummary) -> ChannelSummary:
    """Drop the extension."""
    packed = summary.pack()[: packed_size(summary.channels, False)]
    return ChannelSummary.unpack(packed, summary.channels)


@pytest.mark.parametrize("extended", [False, True])
@pytest.mark.parametrize("shapes", SHAPES)
def test_channels_of_tensors_side_by_side_add_up_to_each_tensor(shapes, extended):
    tensors = tensors_of(SHAPES[shapes])
    parts = [summary_of(tensor) for tensor in tensors]
    if not extended:
        parts = [base(p) for p in parts]
    side_by_side = Summaries.of(parts)
    assert set(ADDED_UP) == set(TOTALS)
    assert side_by_side.channels.extended is extended
    for name, definition in ADDED_UP.items():
        wanted = [definition(by_channel(tensor, 1)) for tensor in tensors]
        with np.errstate(invalid="ignore"):  # the mean of no values is 0 / 0
            found = getattr(side_by_side, name)
        known = ~np.isnan(wanted)
        np.testing.assert_allclose(found[known], np.array(wanted)[known], 1e-12, err_msg=name)


def test_parts_that_not_all_tensors_have_are_lost_side_by_side():
    extended = summary_of(torch.randn(4, 2))
    side_by_side = Summaries.of([extended, base(summary_of(torch.randn(4, 5)))])
    assert not side_by_side.channels.extended
    assert side_by_side.channels.m4 is None


def test_nothing_cannot_be_put_side_by_side():
    with pytest.raises(ValueError, match="at least one"):
        Summaries.of([])


@pytest.mark.parametrize("shapes", ["channels differ", "no channels", "no values"])
@pytest.mark.parametrize("is_known", [False, True])
def test_a_selection_of_tensors_has_their_numbers(shapes, is_known):
    parts = [summary_of(tensor) for tensor in tensors_of(SHAPES[shapes])]
    every = Summaries.of(parts)
    starts = np.cumsum(every.sizes) - every.sizes
    chosen = [2, 0, 1]
    if is_known:
        with np.errstate(invalid="ignore"):
            assert [len(getattr(every, name)) for name in TOTALS] == [3] * len(TOTALS)
    taken = every.take(Selection.of(chosen, starts[chosen], every.sizes[chosen]))
    wanted = Summaries.of([parts[number] for number in chosen])
    assert len(taken) == 3
    for name in (*EXTENDED_ROWS, "histogram"):
        found = getattr(taken.channels, name)
        np.testing.assert_array_equal(found, getattr(wanted.channels, name), name)
    with np.errstate(invalid="ignore"):
        for name in (*TOTALS, "square_sum", "norm", "deviation"):
            np.testing.assert_array_equal(getattr(taken, name), getattr(wanted, name), name)


def test_a_selection_takes_totals_that_were_added_up_elsewhere():
    every = Summaries.of([summary_of(torch.randn(4, 2)), summary_of(torch.randn(4, 3))])
    every.know({"mean": np.array([7.0, 8.0])})
    taken = every.take(Selection.of([1], starts=[2], sizes=[3]))
    assert taken.mean.tolist() == [8.0]
    np.testing.assert_array_equal(taken.zeros, every.zeros[1:])


def test_a_selection_of_base_summaries_is_one():
    every = Summaries.of([base(summary_of(torch.randn(4, 5)))])
    taken = every.take(Selection.of([0], starts=[0], sizes=[5]))
    assert taken.channels.histogram is None
