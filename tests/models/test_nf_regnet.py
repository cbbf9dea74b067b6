import pytest
import torch

from sppkit.models import SqueezeExcite
from sppkit.models.nf_regnet import nf_regnet
from sppkit.theory import nonlinearity_gain


def _blocks(network):
    return [block for stage in network.stages for block in stage]


def _on_meta(**arguments):
    with torch.device("meta"):
        return nf_regnet(**arguments)


@pytest.mark.parametrize(
    ("variant", "parameters"), [("b0", 8_764_288), ("b1", 10_223_984), ("b5", 49_741_728)]
)
def test_parameters_of_timms_convention_are_timms(variant, parameters):
    """N10: channels rounded to multiples of 8, no skip gains."""
    network = _on_meta(variant=variant, convention="timm", skip_gain=None)
    assert sum(p.numel() for p in network.parameters()) == parameters


def test_widths_are_three_quarters_of_the_patterns():
    stages = _on_meta(variant="b0").stages
    assert [stage[-1].branch.conv3.out_channels for stage in stages] == [36, 78, 156, 330]
    rounded = _on_meta(variant="b0", convention="timm").stages
    assert [stage[-1].branch.conv3.out_channels for stage in rounded] == [40, 80, 160, 328]
    assert _on_meta(variant="b0").head.conv.out_channels == 960


def test_branches_expand_what_enters_in_groups_of_8():
    """N4: by 2.25, and by 1 in the first block; SE behind the 3x3, on the inner channels."""
    first, second = _blocks(_on_meta(variant="b0"))[:2]
    assert (first.branch.conv1.out_channels, first.branch.conv2.groups) == (32, 4)
    assert (second.branch.conv1.out_channels, second.branch.conv2.groups) == (80, 10)
    names = [name for name, _ in second.branch.named_children()]
    assert names == ["conv1", "activation2", "conv2", "squeeze_excite", "activation3", "conv3"]
    assert isinstance(second.branch.squeeze_excite, SqueezeExcite)
    assert second.branch.squeeze_excite.reduce.out_features == 40


def test_every_stage_halves_the_sides():
    network = nf_regnet("b0").eval()
    x = network.stem(torch.randn(1, 3, 64, 64))
    sides = [x.shape[-1]]
    for stage in network.stages:
        x = stage(x)
        sides.append(x.shape[-1])
    assert sides == [32, 16, 8, 4, 2]


def test_a_block_computes_the_formula():
    torch.manual_seed(0)
    block = nf_regnet("cifar", skip_gain=0.7).stages[1][1]
    x = torch.randn(2, 40, 8, 8)
    h = nonlinearity_gain("silu") * torch.nn.functional.silu(x) / 1.04**0.5
    torch.testing.assert_close(block(x), x + 0.2 * 0.7 * block.branch(h))


def test_squeeze_excite_can_be_left_out():
    branch = _blocks(_on_meta(variant="b0", squeeze_excite=0.0))[1].branch
    assert not any(isinstance(module, SqueezeExcite) for module in branch)


def test_an_unknown_variant_lists_all():
    with pytest.raises(ValueError, match=r"b0, b1, .*digits; got 'b9'"):
        nf_regnet("b9")
