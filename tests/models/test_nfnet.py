import numpy as np
import pytest
import torch
from torch import nn

from sppkit.models import ScaledStandardizedConv2d, SqueezeExcite, build
from sppkit.models.nfnet import VARIANTS, nfnet
from sppkit.theory import nonlinearity_gain, normalizer_free_ladder


def _blocks(network):
    return [block for stage in network.stages for block in stage]


def _parameters(network):
    return sum(parameter.numel() for parameter in network.parameters())


def _on_meta(**arguments):
    with torch.device("meta"):
        return nfnet(**arguments)


@pytest.mark.parametrize(
    ("variant", "parameters"),
    [
        ("f0", 71_489_284),
        ("f1", 132_634_256),
        ("f2", 193_779_228),
        ("f3", 254_924_200),
        ("f4", 316_069_172),
        ("f5", 377_214_144),
        ("f6", 438_359_116),
    ],
)
def test_parameters_are_the_published_ones(variant, parameters):
    """N10: those of DeepMind's weights, with a skip gain per block."""
    network = _on_meta(variant=variant)
    assert _parameters(network) == parameters
    blocks = len(_blocks(network))
    assert blocks == 12 * (int(variant[1]) + 1)
    assert _parameters(_on_meta(variant=variant, skip_gain=None)) == parameters - blocks


def test_blocks_know_the_variance_that_enters():
    """N3: F0 enters at 1 | 1.04, 1.04 | 1.08, 1.04, 1.08, 1.12, 1.16, 1.2 | 1.24, 1.04, 1.08."""
    entering = [1, 1.04, 1.04, 1.08, 1.04, 1.08, 1.12, 1.16, 1.2, 1.24, 1.04, 1.08]
    betas = [block.beta for block in _blocks(_on_meta(variant="f0"))]
    np.testing.assert_allclose(betas, np.sqrt(entering), rtol=0, atol=1e-6)
    assert _blocks(_on_meta(variant="f1"))[-6].beta ** 2 == pytest.approx(1.48)


def test_a_block_has_two_grouped_convolutions_and_squeeze_excite_at_the_end():
    """N4: groups of 128, half of the outer channels inside, SE with half of the outer ones."""
    branch = _blocks(_on_meta(variant="f0"))[4].branch
    convolutions = [m for m in branch if isinstance(m, ScaledStandardizedConv2d)]
    shapes = [(c.in_channels, c.out_channels, c.kernel_size[0], c.groups) for c in convolutions]
    assert shapes == [(1536, 768, 1, 1), (768, 768, 3, 6), (768, 768, 3, 6), (768, 1536, 1, 1)]
    assert isinstance(branch[-1], SqueezeExcite)
    assert branch[-1].reduce.out_features == 768
    assert branch[-1].gain == 2.0


def test_the_stem_quarters_the_sides_and_the_plus_variants_are_wider():
    stem = _on_meta(variant="f0").stem
    convolutions = [m for m in stem if isinstance(m, nn.Conv2d)]
    assert [(c.out_channels, c.stride[0]) for c in convolutions] == [
        *((16, 2), (32, 1), (64, 1), (128, 2)),
    ]
    plus = _on_meta(variant="f0+")
    assert [stage[-1].branch.conv4.out_channels for stage in plus.stages] == [384, 768, 2048, 2048]
    assert plus.stem.conv4.out_channels == 192
    assert plus.head.classifier.in_features == 2 * 2048


def test_a_block_computes_the_formula():
    torch.manual_seed(0)
    block = nfnet("cifar", skip_gain=0.7).stages[1][1]
    x = torch.randn(2, 64, 8, 8)
    h = nonlinearity_gain("gelu") * torch.nn.functional.gelu(x) / 1.04**0.5
    torch.testing.assert_close(block(x), x + 0.2 * 0.7 * block.branch(h))


def test_strided_skip_paths_average_before_they_convolve():
    torch.manual_seed(0)
    block = nfnet("cifar", skip_gain=0.0).stages[1][0]
    x = torch.randn(2, 32, 8, 8)
    h = nonlinearity_gain("gelu") * torch.nn.functional.gelu(x) / block.beta
    pooled = torch.nn.functional.avg_pool2d(h, 2)
    torch.testing.assert_close(block(x), block.shortcut.conv(pooled))


def test_stochastic_depth_grows_by_the_convention():
    """N4: F0's rates are 0.25 i / 12; timm's reach 0.25 and are rescaled."""
    blocks = _blocks(_on_meta(variant="f0", stochastic_depth=0.25))
    assert blocks[0].stochastic_depth is None
    rates = [block.stochastic_depth.rate for block in blocks[1:]]
    assert rates == pytest.approx([0.25 * i / 12 for i in range(1, 12)])
    last = _blocks(_on_meta(variant="f0", stochastic_depth=0.25, convention="timm"))[-1]
    assert (last.stochastic_depth.rate, last.stochastic_depth.rescale) == (0.25, True)


def test_without_skip_gains_the_last_convolutions_are_silent():
    network = nfnet("digits", in_channels=1, skip_gain=None)
    for block in _blocks(network):
        assert block.skip_gain is None
        assert block.branch.conv4.gain.eq(0).all()
    x = torch.randn(2, 1, 8, 8)
    torch.testing.assert_close(
        network.stages[1][1](h := network.stages[1][0](network.stages[0](network.stem(x)))), h
    )


def test_dropout_stands_before_the_classifier():
    assert not any(isinstance(m, nn.Dropout) for m in _on_meta(variant="f0").modules())
    head = _on_meta(variant="f0", dropout=VARIANTS["f0"].dropout).head
    assert [name for name, _ in head.named_children()][-2:] == ["dropout", "classifier"]
    assert head.dropout.p == 0.2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"variant": "f9"}, r"f0, f1, .*digits; got 'f9'"),
        ({"convention": "jax"}, r"deepmind, timm; got 'jax'"),
        ({"activation": "mish", "convention": "timm"}, "no published gain of 'mish'"),
        ({"activation": "gellu"}, "did you mean 'gelu'"),
    ],
)
def test_wrong_values_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        nfnet(**{"variant": "digits", **arguments})


def test_a_wide_nfnet_follows_the_ladder_where_nothing_is_averaged(read_blocks):
    """N7, N8: 1 + 0.04 i in the first stage; a pooled transition divides white noise by 4."""
    measured = read_blocks(
        lambda: build("nfnet_cifar", skip_gain=1.0, padding_mode="circular"),
        size=(3, 32, 32),
        seeds=8,
    )
    ladder = normalizer_free_ladder(VARIANTS["cifar"].depths).average_channel_variance
    assert measured.average_channel_variance[0] == pytest.approx(ladder[0], rel=0.1)
    assert 0.2 < measured.average_channel_variance[1] / ladder[1] < 0.6
