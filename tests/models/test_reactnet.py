import math

import numpy as np
import pytest
import torch
from torch import nn

from sppkit.models import build
from sppkit.models.layers import (
    BinaryConv2d,
    BinaryScaledStandardizedConv2d,
    RSign,
    ScaledStandardizedConv2d,
)
from sppkit.models.reactnet import CHANNELS_A, reactnet_a_variances


def _on_meta(name, **arguments):
    with torch.device("meta"):
        return build(name, **arguments)


def _layers(network):
    return [layer for stage in network.stages for layer in stage]


# -- ladders


def test_betas_of_reactnet_18_b3():
    """B3: 1, 1, 1.04, 1.08, then 1.12, 1, 1.04, 1.08: nothing is credited to a first block."""
    variances = [layer.beta**2 for layer in _layers(_on_meta("reactnet18_bf"))]
    expected = [1.0, 1.0, 1.04, 1.08] + 3 * [1.12, 1.0, 1.04, 1.08]
    np.testing.assert_allclose(variances, expected, atol=1e-6)


def test_betas_of_reactnet_a_b3():
    """B3: (1, 1.04), (1.08, 1.12), then reset by each transition; up to (1.40, 1.44)."""
    pairs = reactnet_a_variances()
    short = [(1.0, 1.04), (1.08, 1.12)]
    long = [(1.0 + 0.08 * i, 1.04 + 0.08 * i) for i in range(6)]
    np.testing.assert_allclose(pairs, [*short * 3, *long, (1.0, 1.04)], atol=1e-6)
    assert pairs[11] == pytest.approx((1.40, 1.44))
    betas = [layer.beta for layer in _layers(_on_meta("reactnet_a_bf"))]
    np.testing.assert_allclose(np.square(betas), np.ravel(pairs), atol=1e-12)


@pytest.mark.parametrize("norm", ["bn", "none"])
@pytest.mark.parametrize("network", ["reactnet18", "reactnet_a"])
def test_only_batch_free_networks_scale(network, norm):
    layers = _layers(_on_meta(f"{network}_{norm}"))
    assert {(layer.alpha, layer.beta) for layer in layers} == {(1.0, 1.0)}


# -- blocks


def test_a_layer_adds_its_scaled_branch_to_its_input_b3():
    """B3: g(x + alpha f(x / beta)) with f = conv(RSign(.)), g = RPReLU."""
    torch.manual_seed(0)
    layer = build("reactnet18_cifar").stages[0][3]
    x = torch.randn(2, 16, 8, 8)
    signs = torch.sign(x / math.sqrt(1.08) + layer.branch.sign.shift.bias.view(-1, 1, 1))
    residual = nn.functional.conv2d(signs, layer.branch.conv.effective_weight(), padding=1)
    torch.testing.assert_close(layer(x), layer.activation(x + 0.2 * residual))


def test_a_transition_pools_and_projects_what_is_divided_by_beta_b3():
    """B3: average pooling and a 1x1 on the skip path of ReActNet-18."""
    torch.manual_seed(0)
    layer = build("reactnet18_cifar").stages[1][0]
    x = torch.randn(2, 16, 8, 8)
    scaled = x / math.sqrt(1.12)
    skip = layer.shortcut.conv(nn.functional.avg_pool2d(scaled, 2))
    torch.testing.assert_close(layer(x), layer.activation(skip + 0.2 * layer.branch(scaled)))
    assert isinstance(layer.shortcut.conv, BinaryScaledStandardizedConv2d)


def test_channels_are_doubled_by_two_branches_side_by_side_b3():
    """B3: two 1x1, each added to the input, concatenated."""
    torch.manual_seed(0)
    spatial, doubling = build("reactnet_a_cifar", width=8).stages[0][:2]
    x = torch.randn(2, 8, 8, 8)
    h = spatial(x)
    signs = torch.sign(h / math.sqrt(1.04))
    halves = [h + 0.2 * branch(signs) for branch in doubling.branches]
    torch.testing.assert_close(doubling(h), doubling.activation(torch.cat(halves, 1)))
    assert doubling(h).shape == (2, 16, 8, 8)


def test_strided_layers_of_reactnet_a_pool_their_skip_path():
    layers = _layers(build("reactnet_a_cifar"))
    pools = [isinstance(getattr(layer, "shortcut", None), nn.AvgPool2d) for layer in layers]
    assert [i for i, pooled in enumerate(pools) if pooled] == [2, 6]


# -- architecture


@pytest.mark.parametrize("prefix", ["", "qa_"])
@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("reactnet_a_bf", 29_332_648),
        ("reactnet_a_bn", 29_343_592),
        ("reactnet_a_none", 29_321_704),
        ("reactnet18_bf", 11_699_624),
        ("reactnet18_bn", 11_704_424),
        # a gain per filter of "bf" is missing: half of what batch normalisation has
        ("reactnet18_none", 11_699_624 - (11_704_424 - 11_699_624)),
    ],
)
def test_parameters_of_reactnets_b6(prefix, name, parameters):
    """B6: A and 18, with and without batch normalisation; binary weights change no count."""
    assert sum(p.numel() for p in _on_meta(prefix + name).parameters()) == parameters


@pytest.mark.parametrize(
    ("norm", "binary", "kind"),
    [
        ("bf", "all", BinaryScaledStandardizedConv2d),
        ("bf", "activations", ScaledStandardizedConv2d),
        ("bn", "all", BinaryConv2d),
        ("none", "activations", nn.Conv2d),
    ],
)
def test_what_is_binary_b6(norm, binary, kind):
    """B6: activations only, or weights as well; the stem is neither."""
    network = build("reactnet18_cifar", norm=norm, binary=binary)
    assert all(type(layer.branch.conv) is kind for layer in _layers(network))
    assert all(isinstance(layer.branch.sign, RSign) for layer in _layers(network))
    assert not isinstance(network.stem.conv, BinaryConv2d)
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(norms) == (1 + 16 + 3 if norm == "bn" else 0)


def test_published_channels():
    assert [32 * factor for factor in CHANNELS_A] == [
        *(64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024)
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"norm": "gn"}, "norm is one of bf, bn, none; got 'gn'"),
        ({"binary": "weights"}, "binary is one of all, activations; got 'weights'"),
        ({"initial_weights": "zero"}, "positive, fan_in; got 'zero'"),
    ],
)
def test_wrong_values_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        build("reactnet18_cifar", **arguments)
