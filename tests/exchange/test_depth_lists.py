"""Lists of the library signal_propagation_plot, made here by hooks as it makes them."""

import numpy as np
import pytest
import torch
from torch import nn

import sppkit
from sppkit.exchange import from_depth_lists


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU())
        self.again = nn.Conv2d(8, 8, 3, padding=1)

    def forward(self, x):
        return self.again(self.again(self.features(x)))


def lists(model, x):
    """Hook every module, and take means of channels with torch's unbiased variance."""
    squared, variance, handles = [], [], []
    for name, module in model.named_modules():

        def hook(module, args, output, name=name):
            squared.append((name, (output.mean((0, 2, 3)) ** 2).mean().item()))
            variance.append((name, output.var((0, 2, 3)).mean().item()))

        handles.append(module.register_forward_hook(hook))
    model(x)
    for handle in handles:
        handle.remove()
    return squared, variance


@pytest.fixture
def measured():
    torch.manual_seed(0)
    model, x = Net(), torch.randn(64, 3, 12, 12)
    return model, x, *lists(model, x)


def test_the_numbers_are_those_of_our_own_recording(measured):
    """S7."""
    model, x, squared, variance = measured
    theirs = from_depth_lists(squared, variance).table()
    with sppkit.record(model) as recording:
        model(x).sum().backward()
    ours = recording.table()
    ours = ours[ours["signal"] == "activation"]
    keys = ["layer", "call"]
    for name in ("average_channel_squared_mean", "average_channel_variance"):
        both = (
            theirs[[*keys, name]]
            .astype({"layer": str})
            .merge(ours[[*keys, name]].astype({"layer": str}), on=keys)
        )
        assert set(both["layer"]) == {"features.0", "features.1", "again", ""}
        np.testing.assert_allclose(both[f"{name}_x"], both[f"{name}_y"], rtol=2e-4, atol=1e-9)


def test_leaves_are_drawn_in_the_order_of_the_lists_and_calls_apart(measured):
    *_, squared, variance = measured
    recording = from_depth_lists(squared, variance)
    table = recording.table()
    assert table["layer"].tolist() == [
        *("features.0", "features.1", "features", "again", "again", ""),
    ]
    assert table["role"].tolist() == [*("leaf", "leaf", "container", "leaf", "leaf", "container")]
    assert table["call"].tolist() == [0, 0, 0, 0, 1, 0]
    figure = sppkit.plot_signal_propagation(recording)
    assert len(figure.axes[0].get_lines()[0].get_xdata()) == 4


def test_one_list_is_enough(measured):
    *_, variance = measured
    table = from_depth_lists(variance=variance).table()
    assert table["average_channel_squared_mean"].isna().all()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "give the list of squared means, of variances, or both"),
        (([("a", 1.0)], [("b", 1.0)]), "the two lists name different layers"),
        (([("a", 1.0)], [1.0]), "variance must be a list of pairs"),
        (([("a", "x")],), "entry 0 of average_channel_squared_mean is no number: 'x'"),
    ],
)
def test_what_is_no_such_list_is_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        from_depth_lists(*arguments)
