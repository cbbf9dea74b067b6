import numpy as np
import torch

from sppkit.models import bn_resnet20, nf_resnet20, sn_resnet20


def _blocks(network):
    return [block for stage in network.stages for block in stage]


def _shapes(network):
    """List kernel, channels and stride of every convolution by where it stands."""
    return [
        (name, module.in_channels, module.out_channels, module.kernel_size, module.stride)
        for name, module in network.named_modules()
        if isinstance(module, torch.nn.Conv2d)
    ]


def test_parameter_count():
    # weights as bn_resnet20, a bias per filter instead of normalisations
    network = sn_resnet20()
    weights = sum(m.weight.numel() for m in network.modules() if isinstance(m, torch.nn.Conv2d))
    filters = sum(m.out_channels for m in network.modules() if isinstance(m, torch.nn.Conv2d))
    assert sum(p.numel() for p in network.parameters()) == weights + filters + 650 == 271_962


def test_the_three_families_have_equal_topology():
    for width in (16, 8):
        shapes = _shapes(sn_resnet20(width=width))
        assert _shapes(bn_resnet20(width=width)) == shapes
        assert _shapes(nf_resnet20(width=width)) == shapes


def test_merges_keep_magnitude():
    block = sn_resnet20(width=4).stages[0][1]
    x = torch.randn(2, 4, 8, 8)
    expected = (x + block.branch(torch.selu(x))) / 2**0.5
    torch.testing.assert_close(block(x), expected)


def test_variance_stays_near_one(read_blocks):
    measured = read_blocks(lambda: sn_resnet20(width=64, padding_mode="circular"), size=(3, 32, 32))
    np.testing.assert_allclose(measured.average_channel_variance, 1.0, rtol=0.1)
    np.testing.assert_allclose(measured.residual_average_channel_variance, 1.0, rtol=0.1)
    assert measured.average_channel_squared_mean.max() < 0.05


def test_zero_padding_costs_variance_but_bounds_it(read_blocks):
    measured = read_blocks(lambda: sn_resnet20(width=64), size=(3, 32, 32))
    assert measured.average_channel_variance.max() < 1.1
    assert measured.average_channel_variance.min() > 0.5
