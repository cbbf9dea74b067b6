"""SkipInit and Fixup: networks whose branches start silent."""

import pytest
import torch
from torch import nn

import sppkit
from sppkit.models import build
from sppkit.models.fixup_resnet import branch_scale, fixup_resnet
from sppkit.models.skipinit_resnet import skipinit_resnet


def _blocks(network):
    return [block for stage in network.stages for block in stage]


def _parameters(network):
    return sum(parameter.numel() for parameter in network.parameters())


# -- Fixup


@pytest.mark.parametrize(
    ("blocks", "convolutions", "scale"), [(16, 3, 0.5), (8, 2, 0.353553), (1, 2, 1.0)]
)
def test_scale_of_fixups_branches(blocks, convolutions, scale):
    """N5: L^(-1 / (2 m - 2))."""
    assert branch_scale(blocks, convolutions) == pytest.approx(scale, abs=1e-6)


def test_branches_of_one_convolution_are_refused():
    with pytest.raises(ValueError, match="2 convolutions or more; got 1"):
        branch_scale(8, 1)


def test_fixup_resnet50_has_its_parameters():
    """N5, N10: a ResNet-50's weights, 7 scalars in each of 16 blocks, one at stem and head."""
    with torch.device("meta"):
        assert _parameters(fixup_resnet("50")) == 25_504_026


def test_weights_of_fixup_have_hes_deviation_by_fan_out_times_the_scale():
    """N5: and 0 in the last convolution and the classifier."""
    torch.manual_seed(0)
    network = fixup_resnet("26")
    block = network.stages[3][1]
    scale = 8**-0.25
    for convolution, fan_out in ((block.branch.conv1, 512), (block.branch.conv2, 512 * 9)):
        expected = scale * (2 / fan_out) ** 0.5
        assert convolution.weight.std().item() == pytest.approx(expected, rel=0.01)
    assert block.branch.conv3.weight.eq(0).all()
    assert network.head.classifier.weight.eq(0).all()
    shortcut = network.stages[3][0].shortcut.weight
    assert shortcut.std().item() == pytest.approx((2 / 2048) ** 0.5, rel=0.01)


@pytest.mark.parametrize("on_identity", [False, True])
def test_a_block_of_fixup_computes_the_formula(on_identity):
    torch.manual_seed(0)
    network = fixup_resnet("digits", width=4, in_channels=1, bias_on_identity=on_identity)
    block = network.stages[0][1]
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.add_(torch.rand_like(parameter))
    x = torch.rand(2, 4, 6, 6)
    branch = block.branch
    h = x + block.first_bias.bias
    inner = torch.relu(branch.conv1(h) + branch.bias2a.bias) + branch.bias2b.bias
    residual = branch.conv2(inner) * branch.scale.scale + branch.bias.bias
    expected = torch.relu((h if on_identity else x) + residual)
    torch.testing.assert_close(block(x), expected)


def test_fixup_and_skipinit_have_only_scalars_and_weights_to_hold_the_signal():
    scalars = [n for n, p in build("fixup_resnet20").named_parameters() if p.dim() == 0]
    # 2 in the stem and head, and in blocks of 2 convolutions: first, two between, scale, last
    assert len(scalars) == 2 + 9 * 5
    assert not any(isinstance(m, nn.BatchNorm2d) for m in build("skipinit_resnet20").modules())


# -- SkipInit


def test_a_block_of_skipinit_computes_the_formula():
    """N5: x + gain * f(relu(x)), the gain at 0 first."""
    torch.manual_seed(0)
    block = skipinit_resnet("digits", width=4, in_channels=1, skip_gain=0.5).stages[0][1]
    x = torch.randn(2, 4, 6, 6)
    torch.testing.assert_close(block(x), x + 0.5 * block.branch(torch.relu(x)))
    silent = skipinit_resnet("digits", width=4, in_channels=1).stages[0][1]
    assert torch.equal(silent(x), x)


def test_skipinits_convolutions_have_biases_but_for_the_stem():
    network = build("skipinit_resnet20")
    convolutions = {n: m for n, m in network.named_modules() if isinstance(m, nn.Conv2d)}
    assert [name for name, m in convolutions.items() if m.bias is None] == ["stem.conv"]
    assert network.head.classifier.weight.eq(0).all()


def test_hes_initialisation_doubles_the_second_moment_of_open_branches(read_blocks):
    """N5: each block adds as much as enters it; a transition starts anew with two of them."""
    measured = read_blocks(
        lambda: skipinit_resnet(
            "26-cifar", width=64, skip_gain=1.0, padding_mode="circular", classes=10
        ),
        size=(3, 16, 16),
        batch=4,
    )
    moments = measured.average_channel_variance + measured.average_channel_squared_mean
    ratios = moments[1:] / moments[:-1]
    assert ratios == pytest.approx([2.0] * 7, rel=0.25)


def test_the_silence_of_skipinits_branches_is_said():
    """N9: gains of zero are named."""
    recording = sppkit.probe(
        lambda: build("skipinit_resnet_digits"),
        input_size=(1, 8, 8),
        seeds=1,
        batch_size=4,
        run="skipinit",
    )
    names = recording.metadata["skipinit"]["silent_residual_gains"]
    assert names == [f"stages.{stage}.{block}.skip_gain" for stage in (0, 1) for block in (0, 1)]


def test_unknown_variants_list_all():
    for factory in (skipinit_resnet, fixup_resnet):
        with pytest.raises(ValueError, match=r"digits, 20, .*600; got '51'"):
            factory("51")
