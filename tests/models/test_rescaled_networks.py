import math

import numpy as np
import pytest
import torch
from torch import nn

import sppkit
from sppkit.models import build, find_reference
from sppkit.models.layers import DataDependentBias2d, EUNConv2d
from sppkit.models.rescalenet import weight_multiplier
from sppkit.models.rescaling import rescaled_ladder
from sppkit.probing import batch_dependence


def _on_meta(name, **arguments):
    with torch.device("meta"):
        return build(name, **arguments)


def _blocks(network):
    return [block for stage in network.stages for block in stage]


# -- scales


@pytest.mark.parametrize(
    ("blocks", "branch", "first", "last", "product"),
    [
        (16, 0.25, 0.968246, 0.983739, 0.695608),
        (33, 0.174078, 0.984732, 0.992278, math.sqrt(32 / 65)),
    ],
)
def test_scales_of_branch_and_skip_path_e3(blocks, branch, first, last, product):
    """E3: L^(-1/2), sqrt(b / (b + 1)), whose product is sqrt((L - 1) / (2 L - 1))."""
    ladder = rescaled_ladder(blocks)
    assert len(ladder) == blocks
    assert {round(scales.branch, 6) for scales in ladder} == {branch}
    assert ladder[0].skip == pytest.approx(first, abs=1e-6)
    assert ladder[-1].skip == pytest.approx(last, abs=1e-6)
    assert math.prod(scales.skip for scales in ladder) == pytest.approx(product, abs=1e-6)


def test_the_networks_have_these_scales_e3():
    """E3: EUNNet-50 and -101, a learned scalar per block that starts at 1."""
    for name, depth in (("eunnet50", 16), ("eunnet101", 33), ("rescalenet50", 16)):
        blocks = _blocks(_on_meta(name))
        assert [block.scales for block in blocks] == rescaled_ladder(depth)
    assert all(block.scale.item() == 1.0 for block in _blocks(build("eunnet26_digits")))


def test_fewer_than_two_blocks_have_no_ladder():
    with pytest.raises(ValueError, match="two blocks or more; got 1"):
        rescaled_ladder(1)


@pytest.mark.parametrize("name", ["eunnet26_cifar", "rescalenet26_cifar"])
def test_a_block_scales_adds_and_rectifies(name):
    block = build(name).eval().stages[1][0]
    with torch.no_grad():
        block.scale.fill_(3.0)
    x = torch.randn(2, 64, 8, 8)
    skip, branch = rescaled_ladder(8)[2]
    expected = torch.relu(skip * block.shortcut(x) + branch * 3.0 * block.branch(x))
    torch.testing.assert_close(block(x), expected)
    assert isinstance(block.shortcut.pool, nn.AvgPool2d)


def test_weights_of_rescalenet_have_he_times_their_multiplier_e4():
    """E4: (L / (b + 1))^(1/6) (1 - dropout)^(1/2) times sqrt(2 / fan-in); the paper's beta."""
    torch.manual_seed(0)
    for index, block in enumerate(_blocks(build("rescalenet26_cifar", width=32))):
        multiplier = (8 / (7 + index + 1)) ** (1 / 6)
        assert weight_multiplier(index, 8) == pytest.approx(multiplier, rel=1e-12)
        weight = block.branch.conv2.weight
        expected = multiplier * math.sqrt(2 / weight[0].numel())
        assert weight.std().item() == pytest.approx(expected, rel=0.05)
        # three of them and L^(-1/2) are the paper's sqrt(1 / (b + 1)), b + 1 = L + k
        assert multiplier**3 * 8**-0.5 == pytest.approx((8 + index) ** -0.5, rel=1e-12)
    assert weight_multiplier(3, 8, dropout=0.19) == pytest.approx(
        0.9 * weight_multiplier(3, 8), rel=1e-12
    )


# -- architecture


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("eunnet50", 25_530_488),
        ("eunnet101", 44_496_521),
        ("eunnet200", 64_585_898),
        ("eunnet_x50_32x4d", 24_994_808),
        ("eunnet_x101_32x8d", 88_689_929),
        ("rescalenet50", 25_528_568),
    ],
)
def test_parameters_of_eunnets_and_rescalenet_e6(name, parameters):
    """E6: the published counts."""
    assert sum(p.numel() for p in _on_meta(name).parameters()) == parameters


def test_resnext_forms_group_their_3x3():
    blocks = _blocks(_on_meta("eunnet_x50_32x4d"))
    convolutions = [block.branch.conv2 for block in blocks]
    assert {convolution.groups for convolution in convolutions} == {32}
    assert [convolutions[i].in_channels for i in (0, 3, 7, 13)] == [128, 256, 512, 1024]
    assert _blocks(_on_meta("eunnet_x101_32x8d"))[0].branch.conv2.in_channels == 256


def test_dropout_is_in_the_last_two_stages_and_before_the_classifier():
    network = _on_meta("eunnet50", convolution_dropout=0.03, classifier_dropout=0.3)
    blocks = _blocks(network)
    dropped = [sum(isinstance(m, nn.Dropout2d) for m in block.branch) for block in blocks]
    assert dropped == [0] * 7 + [3] * 9
    assert [name for name, _ in network.head.named_children()][-2:] == ["dropout", "classifier"]
    assert not [m for m in _on_meta("eunnet50").modules() if isinstance(m, nn.Dropout2d)]


def test_all_convolutions_are_of_their_family():
    eun = _on_meta("eunnet50")
    convolutions = [m for m in eun.modules() if isinstance(m, nn.Conv2d)]
    assert len(convolutions) == 53
    assert all(isinstance(convolution, EUNConv2d) for convolution in convolutions)
    rescale = _on_meta("rescalenet50")
    biases = [m for m in rescale.modules() if isinstance(m, DataDependentBias2d)]
    assert len(biases) == 16 * 3 + 4 + 2


def test_an_unknown_size_lists_all():
    with pytest.raises(ValueError, match="26, 50, 101, 200, x50_32x4d, x101_32x8d; got '34'"):
        build("eunnet50", variant="34")


# -- signal propagation at initialisation


@pytest.fixture(scope="module")
def eunnet50():
    """Block statistics of EUNNet-50 under gaussian noise, means over seeds."""
    recording = sppkit.probe(
        lambda: build("eunnet50"),
        input_size=find_reference("eunnet50").input_size,
        seeds=2,
        batch_size=8,
        signals=["activation"],
    )
    table = recording.table()
    rows = table[(table["signal"] == "activation") & (table["tap"] == "block")]
    return rows.groupby("block")[
        ["average_channel_variance", "average_channel_squared_mean", "zero_fraction"]
    ].mean()


def test_eunnets_variance_is_flat_and_its_squared_mean_climbs_within_stages(eunnet50):
    variance = eunnet50["average_channel_variance"].to_numpy()
    squared_mean = eunnet50["average_channel_squared_mean"].to_numpy()
    assert (variance > 0.58).all()
    assert (variance < 0.70).all()
    # The published ends of stages are those of one seed; a mean over 256 to 2048 channels and two
    # seeds of squares spreads by sqrt(2 / 512) = 6 % and less, larger inputs raise later stages.
    ends = squared_mean[[0, 2, 3, 6, 7, 12, 13, 15]]
    published = [0.32, 0.46, 0.35, 0.53, 0.39, 0.67, 0.42, 0.55]
    np.testing.assert_allclose(ends, published, rtol=0.12)


def test_the_density_of_activations_climbs_from_a_half_e5(eunnet50):
    """E5: the fraction of non-zero values is .50 at the start of a stage, up to .82 at its end."""
    density = 1 - eunnet50["zero_fraction"].to_numpy()
    np.testing.assert_allclose(density[[0, 3, 7, 13]], 0.50, atol=0.01)
    assert density.max() == density[12] == pytest.approx(0.82, abs=0.01)


def test_rescalenet_is_flat_within_stages():
    torch.manual_seed(0)
    recording = sppkit.probe(
        lambda: build("rescalenet26_cifar", width=32), input_size=(3, 32, 32), seeds=2
    )
    table = recording.table().query("signal == 'activation' and tap == 'block'")
    variance = table.groupby("block")["average_channel_variance"].mean().to_numpy()
    np.testing.assert_allclose(variance[1::2] / variance[::2], 0.9, atol=0.1)


@pytest.mark.parametrize("training", [True, False])
def test_predictions_of_eunnet_depend_on_the_batch_e7(training):
    """E7: f(x)[:1] against f(x[:1]) is not 0, in evaluation either; it is for NF-ResNets."""
    torch.manual_seed(0)
    x = torch.randn(4, 3, 32, 32)
    x[1:] *= 3.0
    assert batch_dependence(build("eunnet26_cifar").train(training), x) > 0.01
    assert batch_dependence(build("nf_resnet20").train(training), x) < 1e-5
    dependence = batch_dependence(build("bn_resnet20").train(training), x)
    assert dependence > 0.01 if training else dependence < 1e-5
