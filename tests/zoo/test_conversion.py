"""Networks of timm and torchvision are converted by what a pass shows, or refused by name."""

import pytest
import torch
from torch import nn

from sppkit.init import Change, convert_to_normalizer_free
from tests.zoo.test_reference_networks import require
from tests.zoo.torchvision_shim import import_torchvision


def build(library, name):
    require("torchvision")
    torchvision = import_torchvision()
    torch.manual_seed(0)
    if library == "torchvision":
        return getattr(torchvision.models, name)()
    require("timm")
    import timm

    return timm.create_model(name)


CONVERTED = [
    ("torchvision", "resnet18", 8, 8),
    ("torchvision", "resnet50", 16, 16),
    ("torchvision", "mobilenet_v2", 17, 10),
    ("timm", "resnet26", 8, 8),
    ("timm", "resnetv2_34", 16, 16),
    ("timm", "resnetv2_50", 16, 16),
    ("timm", "regnetx_002", 13, 13),
]


@pytest.mark.parametrize(("library", "name", "blocks", "merges"), CONVERTED)
def test_every_branch_of_a_converted_network_gives_unit_variance(library, name, blocks, merges):
    """But for what zero padding takes of small pictures, such as 5/9 of a 3x3's at 2x2 pixels."""
    model, x = build(library, name), torch.randn(4, 3, 96, 96)
    with Change(model, x) as change:
        done = convert_to_normalizer_free(model, x, skip_gain=1.0)
    assert len(done.branches) == merges
    assert not [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    frame = change.after.set_index("tap")["average_channel_variance"]
    assert len(frame["block"]) == blocks
    assert len(frame["residual branch"]) == merges
    assert frame["residual branch"].between(0.4, 1.4).all(), frame["residual branch"].tolist()
    change.undo()
    assert sum(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in model.modules()) >= len(
        done.normalizations
    )


REFUSED = [
    ("torchvision", "efficientnet_b0", "goes through 'mul#1' in 'features.1.0.block.1'"),
    ("torchvision", "densenet121", "goes through 'cat"),
    ("torchvision", "vit_b_32", "'encoder.layers.encoder_layer_0.ln_1' is another normalisation"),
    ("timm", "resnetv2_50x1_bit", "is another normalisation, group_norm"),
    ("timm", "nf_resnet26", "no batch normalisation was called"),
]


@pytest.mark.parametrize(("library", "name", "message"), REFUSED)
def test_others_are_refused_by_name(library, name, message):
    model = build(library, name)
    side = 224 if name.startswith("vit") else 64
    with pytest.raises(ValueError, match=message):
        convert_to_normalizer_free(model, torch.randn(2, 3, side, side))
