import numpy as np
import pytest
import torch
from torch import nn

from sppkit.models import bn_resnet20, bn_resnet26, bn_resnet50
from sppkit.theory import postactivation_ladder, preactivation_ladder
from tests.models.conftest import assert_follows


def _parameters(network):
    return sum(parameter.numel() for parameter in network.parameters())


def _bottleneck_resnet(**arguments):
    """Build a network with the theory's conditions: no loss at borders, gaussian first block."""
    return bn_resnet26(padding_mode="circular", stem_pool=False, **arguments)


# -- architecture


def test_resnet50_has_torchvisions_parameters():
    assert _parameters(bn_resnet50(order="post")) == 25_557_032


def test_preactivation_resnet50_moves_the_normalisations():
    # "post" normalises what leaves the stem, the 4 projections and the 16 branches; the others what
    # enters the 16 blocks, and the head; two parameters per channel
    leaving = 64 + (256 + 512 + 1024 + 2048) + 3 * 256 + 4 * 512 + 6 * 1024 + 3 * 2048
    entering = (64 + 256 + 512 + 1024) + 2 * 256 + 3 * 512 + 5 * 1024 + 2 * 2048 + 2048
    assert _parameters(bn_resnet50()) == 25_557_032 + 2 * (entering - leaving) == 25_549_352
    assert _parameters(bn_resnet50(order="relu-bn")) == _parameters(bn_resnet50())


def test_other_parameter_counts():
    assert _parameters(bn_resnet26(order="post")) == 15_995_176
    assert _parameters(bn_resnet26()) == 15_987_496
    assert _parameters(bn_resnet20(order="post")) == 272_762
    assert _parameters(bn_resnet20()) == 272_538


@pytest.mark.parametrize(
    ("order", "layers"),
    [("bn-relu", ["norm", "relu"]), ("relu-bn", ["relu", "norm"])],
)
def test_order_of_normalisation_and_nonlinearity(order, layers):
    network = bn_resnet20(order=order)
    block = network.stages[0][0]
    for sequence in (block.preactivation, block.branch.activation2, network.head.activation):
        assert [name for name, _ in sequence.named_children()] == layers


def test_postactivation_ends_with_a_relu_after_the_merge():
    network = bn_resnet20(order="post", width=4)
    block = network.stages[1][0].eval()
    x = torch.randn(2, 4, 8, 8)
    expected = torch.relu(block.branch(x) + block.shortcut(x))
    torch.testing.assert_close(block(x), expected)
    assert isinstance(block.branch[-1], nn.BatchNorm2d)
    assert not hasattr(network.head, "activation")


def test_preactivation_shortcut_sees_the_preactivated_signal():
    block = bn_resnet20(width=4).stages[1][0].eval()
    x = torch.randn(2, 4, 8, 8)
    h = block.preactivation(x)
    torch.testing.assert_close(block(x), block.branch(h) + block.shortcut(h))


def test_identity_blocks_pass_the_signal_itself():
    block = bn_resnet20(width=4).stages[0][1].eval()
    x = torch.randn(2, 4, 8, 8)
    torch.testing.assert_close(block(x) - block.branch(block.preactivation(x)), x)


def test_unknown_order_is_refused():
    with pytest.raises(ValueError, match="bn-relu, relu-bn, post; got 'pre'"):
        bn_resnet20(order="pre")


# -- signal propagation at initialisation


def test_relu_bn_follows_its_ladder(read_blocks):
    measured = read_blocks(lambda: _bottleneck_resnet(order="relu-bn"), size=(3, 64, 64))
    ladder = preactivation_ladder((2, 2, 2, 2), order="relu-bn")
    assert_follows(measured, ladder)
    assert measured.average_channel_squared_mean.max() < 0.05


def test_bn_relu_follows_its_ladder(read_blocks):
    measured = read_blocks(lambda: _bottleneck_resnet(order="bn-relu"), size=(3, 64, 64))
    ladder = preactivation_ladder((2, 2, 2, 2), order="bn-relu")
    assert_follows(measured, ladder)
    # a squared mean averaged over C filters and S seeds spreads by sqrt(2 / (C S)): 4 sigma
    spread = np.sqrt(2 / (np.repeat([256, 512, 1024, 2048], 2) * 4))
    ratio = measured.average_channel_squared_mean / ladder.average_channel_squared_mean
    assert (abs(ratio - 1) < 4 * spread).all(), ratio


def test_postactivation_follows_its_ladder(read_blocks):
    measured = read_blocks(
        lambda: bn_resnet20(order="post", width=64, padding_mode="circular"), size=(3, 32, 32)
    )
    ladder = postactivation_ladder((3, 3, 3))
    assert_follows(measured, ladder)
    np.testing.assert_allclose(
        measured.average_channel_squared_mean, ladder.average_channel_squared_mean, rtol=0.05
    )
