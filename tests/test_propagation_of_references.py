"""The reference networks, measured by sppkit itself, follow the curves of the papers."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

import sppkit
from sppkit.expectation import expected_ladder
from sppkit.models import build


def measured(name, *, size, tap="block", seeds=4, batch_size=16, input="gaussian", **arguments):
    recording = sppkit.probe(
        lambda: build(name, **arguments),
        input_size=size,
        seeds=seeds,
        batch_size=batch_size,
        input=input,
        signals=["activation", "weight", "effective weight"],
        run=name,
    )
    table = recording.table()
    rows = table[(table["signal"] == "activation") & (table["tap"] == tap)]
    means = rows.groupby("block")[
        ["average_channel_variance", "average_channel_squared_mean"]
    ].mean()
    ladder = expected_ladder(recording.structure(), table, recording.metadata[name])
    return means["average_channel_variance"], means["average_channel_squared_mean"], ladder


@pytest.mark.parametrize(("stem_pool", "tolerance"), [(False, 0.05), (True, 0.12)])
def test_nf_resnet50_follows_one_plus_i_alpha_squared_and_resets(stem_pool, tolerance):
    """N8: normaliser-free."""
    size = (3, 64, 64) if not stem_pool else (3, 128, 128)
    variance, _, ladder = measured(
        "nf_resnet50",
        size=size,
        seeds=3,
        batch_size=8,
        skip_gain=1.0,
        padding_mode="circular",
        stem_pool=stem_pool,
    )
    expected = [1 + 0.04 * i for depth in (3, 4, 6, 3) for i in range(1, depth + 1)]
    assert np.allclose(ladder.average_channel_variance, expected)
    assert np.allclose(variance / expected, 1, atol=tolerance)


def test_relu_bn_residual_networks_grow_by_one_per_block():
    """N8: pre-activation, normalised last."""
    variance, squared_mean, ladder = measured(
        "bn_resnet26", size=(3, 64, 64), order="relu-bn", padding_mode="circular", stem_pool=False
    )
    expected = np.array([2, 3] * 4)
    assert np.allclose(ladder.average_channel_variance, expected, rtol=0.01)
    assert np.allclose(variance / expected, 1, atol=0.05)
    assert (squared_mean < 0.01).all()


def test_bn_relu_residual_networks_grow_by_one_minus_one_over_pi():
    """N8: pre-activation, normalised first."""
    variance, squared_mean, ladder = measured(
        "bn_resnet26", size=(3, 64, 64), order="bn-relu", padding_mode="circular", stem_pool=False
    )
    steps = np.array([2, 3] * 4)
    assert np.allclose(variance / ((1 - 1 / np.pi) * steps), 1, atol=0.05)
    # A squared mean is that of one gaussian number per channel: 256 of them, over 4 seeds, spread
    # by sqrt(2 / 1024) = 4.4 %; three of these.
    assert np.allclose(squared_mean / (steps / np.pi), 1, atol=0.13)
    assert np.allclose(ladder.average_channel_variance, (1 - 1 / np.pi) * steps, rtol=0.01)


def test_post_activation_residual_networks_follow_the_walk_of_rectified_sums():
    """N8, S9: post-activation."""
    variance, squared_mean, ladder = measured(
        "bn_resnet20", size=(3, 32, 32), order="post", padding_mode="circular", width=64
    )
    assert np.allclose(squared_mean[:3] / [0.318, 0.685, 1.085], 1, atol=0.05)
    assert np.allclose(variance[:3] / [0.683, 0.999, 1.342], 1, atol=0.05)
    assert np.allclose(variance / ladder.average_channel_variance, 1, atol=0.05)


def test_residual_branches_of_batchnorm_networks_have_unit_variance():
    variance, _, _ = measured(
        "bn_resnet20", size=(3, 32, 32), order="post", tap="residual branch", seeds=2
    )
    assert np.allclose(variance, 1, atol=0.01)


def test_white_noise_is_not_neutral_where_a_network_averages():
    """Average pooling quarters the variance of white noise and keeps that of 1/f noise."""
    from torch import nn

    def pooling():
        return nn.Sequential(nn.AvgPool2d(2), nn.AvgPool2d(2), nn.Conv2d(3, 4, 1))

    last = {}
    for source in ("gaussian", "pink"):
        recording = sppkit.probe(pooling, input_size=(3, 32, 32), input=source, seeds=2)
        rows = recording.table().query("signal == 'activation' and layer == '1'")
        last[source] = rows["average_channel_variance"].mean()
    assert last["gaussian"] == pytest.approx(1 / 16, rel=0.1)
    assert last["pink"] > 5 * last["gaussian"]


class _BareProjections(nn.Module):
    """Pre-activation blocks whose transitions project their input as it is, not normalised."""

    def __init__(self, pool=False):
        super().__init__()
        widths = (64, 64, 96, 96, 128)
        self.stem = circular(3, widths[0])
        self.blocks = nn.ModuleList(_BareBlock(*pair, pool) for pair in pairwise(widths))

    def forward(self, x):
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return x


class _BareBlock(nn.Module):
    def __init__(self, channels, out, pool):
        super().__init__()
        self.norm, self.conv = nn.BatchNorm2d(channels), circular(channels, out)
        self.pool = nn.AvgPool2d(3, 1, 1) if pool and out != channels else nn.Identity()
        self.skip = nn.Identity() if out == channels else nn.Conv2d(channels, out, 1, bias=False)

    def forward(self, x):
        return self.skip(self.pool(x)) + self.conv(torch.relu(self.norm(x)))


def circular(channels, out):
    layer = nn.Conv2d(channels, out, 3, padding=1, padding_mode="circular", bias=False)
    nn.init.kaiming_normal_(layer.weight)
    return layer


def ladder_of(build):
    recording = sppkit.probe(build, input_size=(3, 16, 16), seeds=5, batch_size=16, run="net")
    table = recording.table()
    rows = table[(table["signal"] == "activation") & (table["tap"] == "block")]
    variance = rows.groupby("block")["average_channel_variance"].mean()
    return variance, expected_ladder(recording.structure(), table, recording.metadata["net"])


def test_a_projection_of_values_that_are_not_normalised_keeps_a_share_of_them():
    variance, ladder = ladder_of(_BareProjections)
    stem, branch = 2.0, 2 * (0.5 - 0.5 / np.pi)  # He's weights, of noise and of a rectified unit
    expected = [stem + branch]
    for kept in (1 / 3, 1, 1 / 3):  # torch's own draw of a projection has gain 1/3
        expected.append(kept * expected[-1] + branch)
    assert np.allclose(ladder.average_channel_variance, expected, rtol=0.04)
    assert np.allclose(variance, expected, rtol=0.06)


def test_where_a_projection_reads_averages_nothing_is_expected():
    _, ladder = ladder_of(lambda: _BareProjections(pool=True))
    assert ladder is None
