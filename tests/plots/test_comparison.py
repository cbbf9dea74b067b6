"""Comparisons are read back as data: lines, ratios, the axis they share."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import sppkit
from sppkit.plots.comparison import comparable
from sppkit.signals import Signal
from tests.cases import PostActivationResNet
from tests.plots.test_over_training import record


def plain(layers, gain=1.0):
    """Linear layers that multiply the variance by gain² each, exactly."""
    made = [nn.Linear(4, 4, bias=False) for _ in range(layers)]
    for layer in made:
        nn.init.orthogonal_(layer.weight, gain)
    return nn.Sequential(*made)


def probe(model, run, seeds=1):
    return sppkit.probe(model, input_size=(4,), seeds=seeds, run=run, batch_size=64)


def lines(axes):
    return {
        line.get_label(): (np.asarray(line.get_xdata()), np.asarray(line.get_ydata()))
        for line in axes.lines
    }


def test_networks_of_different_depth_share_an_axis_and_ratios_are_to_the_first():
    flat, steep = probe(plain(5), "flat"), probe(plain(9, gain=2.0), "steep")
    figure = sppkit.plot_comparison(flat, steep, statistic="second_moment")
    above, below = figure.axes
    x, y = lines(above)["steep"]
    np.testing.assert_allclose(x, np.linspace(0, 1, 9))
    np.testing.assert_allclose(y[1:] / y[:-1], 4, rtol=1e-5)  # gain²
    table = flat.table().query("signal == 'activation' and role == 'leaf'")
    level = table["second_moment"].iloc[0]
    x, ratio = lines(below)["steep"]
    np.testing.assert_allclose(ratio, y / level, rtol=1e-5)
    np.testing.assert_allclose(lines(below)["flat"][1], 1)
    assert below.get_yscale() == "log"
    assert below.get_title(loc="left") == "Ratio to flat"
    assert "Depth" in below.get_xlabel()


def test_between_its_places_the_first_run_is_interpolated_in_its_logarithm():
    steep, other = probe(plain(3, gain=2.0), "steep"), probe(plain(5), "other")
    recording = sppkit.combine([steep, other])
    frame, kind = comparable(
        recording.table(), recording.structure(), Signal.ACTIVATION, "second_moment", "auto"
    )
    assert kind == "depth"
    first = frame[frame["run"] == "steep"]["mean"].to_numpy()
    middle = np.sqrt(first[:-1] * first[1:])
    expected = [*np.stack([first[:-1], middle], 1).ravel(), first[-1]]
    rows = frame[frame["run"] == "other"]
    np.testing.assert_allclose(rows["mean"] / rows["ratio"], expected, rtol=1e-6)


def test_networks_with_as_many_blocks_are_compared_block_by_block():
    runs = [
        sppkit.probe(PostActivationResNet, input_size=(3, 16, 16), seeds=2, seed=seed, run=name)
        for name, seed in (("a", 0), ("b", 7))
    ]
    above, below = sppkit.plot_comparison(*runs).axes
    blocks = runs[1].table().query("signal == 'activation' and tap in ('stem', 'block')")
    expected = np.exp(
        blocks.assign(value=np.log(blocks["average_channel_variance"]))
        .groupby("block")["value"]
        .mean()
    )
    x, y = lines(above)["b"]
    assert x.tolist() == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(y, expected)
    np.testing.assert_allclose(lines(below)["b"][1], y / lines(above)["a"][1])
    assert below.get_xlabel() == "Residual block (0 = stem)"
    by_depth = sppkit.plot_comparison(*runs, axis="depth")
    assert lines(by_depth.axes[0])["b"][0].tolist() == [0, 0.25, 0.5, 0.75, 1]


def test_the_last_common_step_is_drawn_unless_one_is_asked_for():
    runs = record(run="short", steps=3), record(run="long", steps=6)
    assert "step 2, train pass" in sppkit.plot_comparison(*runs).get_supxlabel()
    assert "step 1, train pass" in sppkit.plot_comparison(*runs, step=1).get_supxlabel()


def test_what_is_not_finite_or_zero_leaves_a_gap_in_line_and_ratio():
    dead = plain(4, gain=3.0)
    dead[2].weight.data.zero_()
    above, below = sppkit.plot_comparison(
        probe(plain(4), "live"), probe(dead, "dead"), statistic="second_moment"
    ).axes
    assert np.isnan(lines(above)["dead"][1]).tolist() == [False, False, True, True]
    assert np.isnan(lines(below)["dead"][1]).tolist() == [False, False, True, True]
    back = sppkit.plot_comparison(
        probe(dead, "dead"), probe(plain(4), "live"), statistic="second_moment"
    )
    assert np.isnan(lines(back.axes[1])["live"][1]).tolist() == [False, False, True, True]


def test_gradients_and_other_statistics_are_compared_too():
    runs = probe(plain(4), "a"), probe(plain(4, gain=2.0), "b")
    above, _ = sppkit.plot_comparison(*runs, signal="gradient", statistic="second_moment").axes
    assert above.get_title(loc="left") == "Gradient: Second moment"
    y = lines(above)["b"][1]
    np.testing.assert_allclose(y[:-1] / y[1:], 4, rtol=1e-5)


def test_what_cannot_be_compared_is_said():
    one = probe(plain(3), "one")
    with pytest.raises(ValueError, match="needs two runs or more, and there is 1"):
        sppkit.plot_comparison(one)
    with pytest.raises(ValueError, match="needs two runs or more, and there is 0"):
        sppkit.plot_comparison()
    with pytest.raises(ValueError, match="needs residual blocks in all runs"):
        sppkit.plot_comparison(one, one, axis="block")
    with pytest.raises(ValueError, match=r"axis='blocks' is not known; there are: auto, block"):
        sppkit.plot_comparison(one, one, axis="blocks")
    with pytest.raises(ValueError, match="no statistic 'loss'"):
        sppkit.plot_comparison(one, one, statistic="loss")
    with pytest.raises(ValueError, match="no step in common"):
        sppkit.plot_comparison(record(every=7), _without_step_0(record(run="b")))


def _without_step_0(recording):
    table = recording.table()
    return sppkit.Recording.from_frames(
        table[table["step"] > 0], recording.structure(), recording.metadata
    )


def test_the_frames_that_were_given_are_left_as_they_were():
    torch.manual_seed(0)
    runs = probe(plain(3), "a"), probe(plain(3), "b")
    before = runs[0].table()
    sppkit.plot_comparison(*runs)
    pd.testing.assert_frame_equal(runs[0].table(), before)
