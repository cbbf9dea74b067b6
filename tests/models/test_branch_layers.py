"""Layers at, in and behind residual branches, and the dropout of self-normalizing networks."""

import math

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

import sppkit
from sppkit.models.layers import (
    LayerScale,
    Residual,
    ResidualGain,
    ScaledStandardizedConv2d,
    SelfNormalizingActivation,
    SqueezeExcite,
    StochasticDepth,
    normalize_weights,
    stochastic_depth_rates,
)

# -- squeeze-and-excite


def test_squeeze_excite_computes_the_formula():
    """D11, N4: gain * sigmoid(expand(relu(reduce(means)))) * x."""
    layer = SqueezeExcite(6, 3)
    x = torch.randn(2, 6, 4, 5)
    means = x.mean((2, 3))
    hidden = torch.relu(means @ layer.reduce.weight.T + layer.reduce.bias)
    gate = torch.sigmoid(hidden @ layer.expand.weight.T + layer.expand.bias)
    torch.testing.assert_close(layer(x), 2.0 * gate[:, :, None, None] * x)


@pytest.mark.parametrize(("gain", "factor"), [(2.0, 1.0), (1.0, 0.25)])
def test_a_gain_of_two_keeps_the_variance_where_means_are_small(gain, factor):
    """N4: the gate is 1/2, so that a gain of 1 quarters the variance."""
    torch.manual_seed(0)
    x = torch.randn(8, 64, 32, 32)
    variance = SqueezeExcite(64, 16, gain=gain)(x).var().item()
    assert variance == pytest.approx(factor, rel=0.01)


def test_squeeze_excite_takes_sequences_and_volumes():
    for size in ((7,), (3, 4, 5)):
        x = torch.randn(2, 4, *size)
        assert SqueezeExcite(4, 2)(x).shape == x.shape


def test_squeeze_excite_without_a_hidden_channel_is_refused():
    with pytest.raises(ValueError, match="1 hidden channel or more, got 0"):
        SqueezeExcite(4, 0)


# -- gains


def test_a_residual_gain_starts_at_zero_and_learns():
    """N5: SkipInit."""
    layer = ResidualGain()
    x = torch.randn(3, 2)
    assert layer(x).eq(0).all()
    layer(x).sum().backward()
    assert layer.gain.grad.item() == pytest.approx(x.sum().item())


@pytest.mark.parametrize(("axis", "size"), [(-1, (2, 5, 3)), (1, (2, 3, 4, 4))])
def test_layer_scale_multiplies_channels(axis, size):
    layer = LayerScale(3, 0.5, channel_axis=axis)
    with torch.no_grad():
        layer.gain.copy_(torch.tensor([1.0, 2.0, 3.0]))
    x = torch.ones(size)
    y = layer(x).movedim(axis, 0).flatten(1)
    assert y.unique(dim=1).flatten().tolist() == [1.0, 2.0, 3.0]


# -- stochastic depth


def test_the_two_conventions_of_stochastic_depth():
    """N4: kept samples as they are, or divided by the share that is kept."""
    torch.manual_seed(0)
    x = torch.ones(4000, 3)
    plain, rescaled = StochasticDepth(0.25)(x), StochasticDepth(0.25, rescale=True)(x)
    assert plain.unique().tolist() == [0.0, 1.0]
    assert rescaled.unique().tolist() == pytest.approx([0.0, 4 / 3])
    # 5 standard deviations of a share of 4000
    spread = 5 * math.sqrt(0.25 * 0.75 / 4000)
    assert plain.mean().item() == pytest.approx(0.75, abs=spread)
    assert rescaled.mean().item() == pytest.approx(1.0, abs=spread * 4 / 3)


def test_rates_of_f0_are_a_quarter_of_the_share_of_depth():
    """N4: 0.25 i / 12, and up to the rate itself in timm."""
    rates = stochastic_depth_rates((1, 2, 6, 3), 0.25)
    assert rates == pytest.approx([0.25 * i / 12 for i in range(12)])
    reached = stochastic_depth_rates((1, 2, 6, 3), 0.25, reaches_rate=True)
    assert reached == pytest.approx([0.25 * i / 11 for i in range(12)])
    assert stochastic_depth_rates((1,), 0.25, reaches_rate=True) == [0.0]


# -- a block of anything


def test_a_residual_block_adds_what_its_end_leaves_of_the_branch():
    branch, gain = nn.Linear(4, 4), ResidualGain(0.5)
    x = torch.randn(3, 4)
    block = Residual(branch, end=(gain,), scale=0.2)
    torch.testing.assert_close(block(x), x + 0.2 * 0.5 * branch(x))
    projected = Residual(nn.Linear(4, 6), skip=nn.Linear(4, 6))
    torch.testing.assert_close(projected(x), projected.skip(x) + projected.branch(x))


def test_the_branch_of_a_residual_block_is_read_before_gain_and_drop():
    """D5, N7: at the end of the branch, whatever comes behind."""
    torch.manual_seed(0)
    blocks = [
        Residual(nn.Linear(8, 8), end=(ResidualGain(0.0), StochasticDepth(0.5)), scale=0.2)
        for _ in range(3)
    ]
    recording = sppkit.probe(nn.Sequential(nn.Linear(8, 8), *blocks), input_size=(8,), seeds=1)
    rows = recording.table().query("tap == 'residual branch' and signal == 'activation'")
    assert list(rows["layer"]) == ["1.branch", "2.branch", "3.branch"]
    assert (rows["average_channel_variance"] > 0.05).all()


# -- self-normalizing networks


def test_alpha_dropout_keeps_mean_and_variance_of_selus_fixed_point():
    """D11: SELU's constants, and the dropout that fits them."""
    torch.manual_seed(0)
    activation = SelfNormalizingActivation(0.1)
    y = activation(torch.randn(400_000))
    assert y.mean().item() == pytest.approx(0.0, abs=0.01)
    assert y.var().item() == pytest.approx(1.0, abs=0.02)
    assert activation.eval()(torch.tensor(1.0)).item() == pytest.approx(1.0507009873554805)
    assert activation(torch.tensor(-50.0)).item() == pytest.approx(-1.7580993408473766)


def test_alpha_dropout_of_images_drops_whole_channels():
    torch.manual_seed(0)
    y = SelfNormalizingActivation(0.5, channels=True)(torch.randn(16, 8, 5, 5))
    constant = y.flatten(2).var(2).eq(0)
    assert 0.2 < constant.double().mean().item() < 0.8


@pytest.mark.parametrize("rate", [-0.1, 1.0])
def test_rates_of_alpha_dropout_outside_their_range_are_refused(rate):
    with pytest.raises(ValueError, match=r"\[0, 1\)"):
        SelfNormalizingActivation(rate)


# -- weight normalisation


def _convolutional():
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ConvTranspose2d(4, 5, 3), nn.Flatten(), nn.Linear(5 * 36, 2)
    )


def test_weight_normalisation_changes_nothing_at_first():
    """G1: g = ||v||."""
    torch.manual_seed(0)
    model = _convolutional()
    x = torch.randn(2, 3, 6, 6)
    before = model(x)
    assert normalize_weights(model) == ("0", "1", "3")
    torch.testing.assert_close(model(x), before)


def test_weight_normalisation_separates_length_and_direction():
    """G1: w = g v / ||v||, per output unit."""
    model = _convolutional()
    normalize_weights(model)
    for name, axes in (("0", (1, 2, 3)), ("1", (0, 2, 3)), ("3", (1,))):
        layer = model.get_submodule(name)
        length = layer.parametrizations.weight.original0
        with torch.no_grad():
            length.fill_(3.0)
            layer.parametrizations.weight.original1.mul_(7.0)
        norms = torch.linalg.vector_norm(layer.weight, dim=axes)
        torch.testing.assert_close(norms, torch.full_like(norms, 3.0))


def test_the_recorder_reads_the_normalised_weight():
    """G1, B4: as effective weight."""
    model = _convolutional()
    normalize_weights(model, layers="0")
    recording = sppkit.probe(model, input_size=(3, 6, 6), batch_size=4, seeds=1)
    rows = recording.table().query("signal == 'effective weight'")
    assert list(rows["layer"]) == ["0"]


def test_layers_that_standardise_or_are_parametrised_are_left_alone():
    orthogonal = nn.utils.parametrizations.orthogonal(nn.Linear(4, 4))
    model = nn.Sequential(ScaledStandardizedConv2d(3, 4, 3), orthogonal)
    assert normalize_weights(model) == ()
    assert not parametrize.is_parametrized(model[0])


def test_a_pattern_that_matches_no_layer_is_refused():
    with pytest.raises(ValueError, match="layers='head' matched no layer"):
        normalize_weights(_convolutional(), layers="head")
