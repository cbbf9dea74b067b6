"""What the files of several families are built of."""

import pytest
import torch
from torch import nn

from sppkit.models.choices import require_one_of
from sppkit.models.layers.effective_weight import EffectiveWeightConv2d
from sppkit.models.named_layers import in_sequence
from sppkit.models.normalizer_free import NormalizerFreeLayers, find_convention
from sppkit.models.topology import ConvolutionShape, group_stages, make_convolution


def names(sequence):
    return [name for name, _ in sequence.named_children()]


def test_named_layers_stand_in_the_order_given_without_those_that_are_none():
    sequence = in_sequence(conv=nn.Identity(), norm=None, activation=nn.ReLU())
    assert names(sequence) == ["conv", "activation"]
    assert torch.equal(sequence(torch.tensor([-1.0, 2.0])), torch.tensor([0.0, 2.0]))


def test_an_argument_that_is_none_of_the_choices_is_named_with_all_of_them():
    require_one_of("norm", "batch", ("none", "batch"))
    with pytest.raises(ValueError, match=r"^norm is one of none, batch; got 'bach'$"):
        require_one_of("norm", "bach", ("none", "batch"))


@pytest.mark.parametrize(("kernel_size", "stride", "side"), [(1, 1, 8), (3, 1, 8), (7, 2, 4)])
def test_a_convolution_keeps_the_size_but_for_its_stride(kernel_size, stride, side):
    convolution = make_convolution(
        4,
        6,
        kernel_size=kernel_size,
        stride=stride,
        initialize=nn.init.ones_,
        padding_mode="circular",
        groups=2,
        bias=True,
    )
    signal = convolution(torch.ones(1, 4, 8, 8))
    assert torch.equal(signal, torch.full((1, 6, side, side), 2.0 * kernel_size**2))


def test_blocks_are_grouped_in_order_of_execution():
    blocks = [nn.Identity() for _ in range(6)]
    stages = group_stages(blocks, (1, 3, 2))
    assert [len(stage) for stage in stages] == [1, 3, 2]
    assert [block for stage in stages for block in stage] == blocks


def test_a_convolution_that_does_not_say_its_weight_is_refused_by_name():
    class Forgetful(EffectiveWeightConv2d):
        pass

    with pytest.raises(NotImplementedError, match="Forgetful does not say what its weight is"):
        Forgetful(1, 1, 1)(torch.ones(1, 1, 1, 1))


@pytest.mark.parametrize(
    ("behind", "order"),
    [
        (1, ["conv1", "squeeze_excite", "activation2", "conv2"]),
        (2, ["conv1", "activation2", "conv2", "squeeze_excite"]),
    ],
)
def test_squeeze_and_excite_stands_behind_the_convolution_of_that_number(behind, order):
    layers = NormalizerFreeLayers(find_convention("deepmind"), "relu", "zeros")
    shapes = [ConvolutionShape(8, 16, 1, 1), ConvolutionShape(16, 4, 3, 1)]
    branch = layers.branch(shapes, squeeze_excite=0.5, behind=behind)
    assert names(branch) == order
    assert branch.squeeze_excite.reduce.in_features == shapes[behind - 1].out_channels
    assert names(layers.branch(shapes, squeeze_excite=0.0, behind=behind)) == [
        name for name in order if name != "squeeze_excite"
    ]
