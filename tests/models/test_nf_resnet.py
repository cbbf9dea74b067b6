import numpy as np
import pytest
import torch

from sppkit.models import (
    ScaledStandardizedConv2d,
    bn_resnet50,
    nf_resnet20,
    nf_resnet26,
    nf_resnet26_cifar,
    nf_resnet50,
)
from sppkit.models.nf_resnet import nf_resnet
from sppkit.theory import nonlinearity_gain, normalizer_free_ladder
from tests.models.conftest import assert_follows


def _blocks(network):
    return [block for stage in network.stages for block in stage]


def _parameters(network):
    return sum(parameter.numel() for parameter in network.parameters())


def _visible(**arguments):
    """Build a network with the theory's conditions: branches seen, no loss at borders, no pool."""
    return nf_resnet26(
        **{"skip_gain": 1.0, "padding_mode": "circular", "stem_pool": False, **arguments}
    )


# -- architecture


def test_resnet50_has_the_parameters_of_batch_normalisation_and_16_skip_gains():
    network = nf_resnet50()
    skip_gains = [block.skip_gain for block in _blocks(network)]
    assert len(skip_gains) == 16
    assert _parameters(network) - len(skip_gains) == 25_557_032
    assert _parameters(network) - len(skip_gains) == _parameters(bn_resnet50(order="post"))


def test_other_parameter_counts():
    assert _parameters(nf_resnet26()) == 15_995_176 + 8
    assert _parameters(nf_resnet26_cifar()) == 882_402
    # bn_resnet20(order="post") and 9 skip gains
    assert _parameters(nf_resnet20()) == 272_762 + 9


@pytest.mark.parametrize(
    ("variant", "arguments", "parameters"),
    [
        ("26", {"skip_gain": None}, 15_995_176),
        ("50", {"skip_gain": None}, 25_557_032),
        ("50", {}, 25_557_048),
        ("101", {"skip_gain": None}, 44_549_160),
        (
            "50",
            {"skip_gain": None, "squeeze_excite": 1 / 16, "convention": "timm"},
            28_088_024,
        ),
    ],
)
def test_published_parameter_counts(variant, arguments, parameters):
    """N10: timm's numbers, and DeepMind's with a skip gain per block."""
    with torch.device("meta"):
        assert _parameters(nf_resnet(variant, **arguments)) == parameters


def test_blocks_of_288_and_600():
    for variant, blocks in (("288", 96), ("600", 200)):
        with torch.device("meta"):
            network = nf_resnet(variant, width=4)
        assert len(_blocks(network)) == blocks
        assert _blocks(network)[-1].beta ** 2 == pytest.approx(1 + 0.04 * (blocks // 4 - 1))


def test_squeeze_excite_stands_at_the_end_of_the_branches():
    """N4: with a quarter of the channels inside, twice the gate."""
    network = nf_resnet("digits", width=8, in_channels=1, squeeze_excite=0.25, skip_gain=0.7)
    block = network.stages[0][1]
    assert [name for name, _ in block.branch.named_children()][-1] == "squeeze_excite"
    assert (block.branch.squeeze_excite.reduce.out_features, block.branch[-1].gain) == (2, 2.0)


def test_an_unknown_variant_or_convention_lists_all():
    with pytest.raises(ValueError, match=r"digits, 20, .*600; got '51'"):
        nf_resnet("51")
    with pytest.raises(ValueError, match="deepmind, timm; got 'jax'"):
        nf_resnet("digits", convention="jax")


def test_cifar_member_has_the_stated_widths():
    network = nf_resnet26_cifar()
    assert [stage[-1].branch.conv3.out_channels for stage in network.stages] == [64, 128, 256, 512]
    assert network.stem(torch.randn(1, 3, 32, 32)).shape == (1, 16, 32, 32)


def test_block_computes_the_formula():
    torch.manual_seed(0)
    block = nf_resnet20(width=4, skip_gain=0.7, activation="silu").stages[0][1]
    x = torch.randn(2, 4, 8, 8)
    h = nonlinearity_gain("silu") * torch.nn.functional.silu(x) / 1.04**0.5
    torch.testing.assert_close(block(x), x + 0.2 * 0.7 * block.branch(h))


def test_transition_takes_its_shortcut_from_the_preactivated_signal():
    block = nf_resnet20(width=4, skip_gain=0.7).stages[1][0]
    x = torch.randn(2, 4, 8, 8)
    h = nonlinearity_gain("relu") * torch.relu(x) / 1.12**0.5
    torch.testing.assert_close(block(x), block.shortcut(h) + 0.14 * block.branch(h))
    assert block.shortcut.stride == (2, 2)


def test_skip_gain_may_be_given_as_a_whole_number():
    assert nf_resnet20(skip_gain=1).stages[0][0].skip_gain.dtype == torch.float32


def test_blocks_know_the_variance_that_enters():
    betas = [block.beta for block in _blocks(nf_resnet50(width=4))]
    expected = normalizer_free_ladder((3, 4, 6, 3)).entering_variance ** 0.5
    np.testing.assert_allclose(betas, expected, rtol=1e-12)


def test_branches_are_silent_at_initialisation_and_can_be_heard():
    assert {block.skip_gain.item() for block in _blocks(nf_resnet20())} == {0.0}
    assert {block.skip_gain.item() for block in _blocks(nf_resnet20(skip_gain=1.0))} == {1.0}


def test_stochastic_depth_grows_with_the_block_and_is_off_by_default():
    assert all(block.stochastic_depth is None for block in _blocks(nf_resnet20()))
    blocks = _blocks(nf_resnet20(stochastic_depth=0.18))
    assert blocks[0].stochastic_depth is None
    np.testing.assert_allclose(
        [block.stochastic_depth.rate for block in blocks[1:]], 0.02 * np.arange(1, 9)
    )


def test_every_convolution_is_standardised():
    convolutions = [m for m in nf_resnet50(width=4).modules() if isinstance(m, torch.nn.Conv2d)]
    assert len(convolutions) == 53
    assert all(isinstance(convolution, ScaledStandardizedConv2d) for convolution in convolutions)


def test_classifier_starts_small():
    torch.manual_seed(0)
    classifier = nf_resnet50().head.classifier
    assert classifier.weight.std().item() == pytest.approx(0.01, rel=0.01)
    assert classifier.bias.abs().max().item() == 0.0


# -- signal propagation at initialisation


@pytest.mark.parametrize(("alpha", "activation"), [(0.2, "relu"), (1.0, "relu"), (0.2, "gelu")])
def test_blocks_follow_the_ladder(read_blocks, alpha, activation):
    measured = read_blocks(
        lambda: _visible(alpha=alpha, activation=activation), size=(3, 64, 64), batch=4
    )
    ladder = normalizer_free_ladder((2, 2, 2, 2), alpha=alpha)
    assert_follows(measured, ladder)
    assert measured.average_channel_squared_mean.max() < 0.1


def test_small_images_follow_the_ladder(read_blocks):
    measured = read_blocks(
        lambda: nf_resnet26_cifar(width=64, skip_gain=1.0, padding_mode="circular"),
        size=(3, 32, 32),
        batch=4,
    )
    ladder = normalizer_free_ladder((2, 2, 2, 2))
    np.testing.assert_allclose(
        measured.average_channel_variance, ladder.average_channel_variance, rtol=0.05
    )


def test_silent_branches_leave_only_the_transitions_divisions(read_blocks):
    measured = read_blocks(lambda: _visible(skip_gain=0.0), size=(3, 64, 64), batch=4)
    expected = np.repeat([1, 1 / 1.08, 1 / 1.08**2, 1 / 1.08**3], 2)
    np.testing.assert_allclose(measured.average_channel_variance, expected, rtol=0.05)
