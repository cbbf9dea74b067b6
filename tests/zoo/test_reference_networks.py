"""Our networks compute what those of timm and torchvision compute with the same weights."""

import importlib.util

import pytest
import torch

from sppkit.models.bn_resnet import bn_resnet
from sppkit.models.nf_regnet import nf_regnet
from sppkit.models.nf_resnet import nf_resnet
from sppkit.models.nfnet import nfnet
from tests.zoo.mapping import load_from_timm, load_from_torchvision, randomize
from tests.zoo.torchvision_shim import import_torchvision


def require(library):
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed: pip install -c constraints.txt -e '.[zoo]'")


def parameters(model):
    return sum(parameter.numel() for parameter in model.parameters())


def largest_difference(ours, theirs, side):
    """Give the largest difference between outputs, in units of their standard deviation."""
    x = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = theirs(x)
        return ((ours(x) - expected).abs().max() / expected.std()).item()


TIMM = {
    "nf_resnet26": (nf_resnet, {"variant": "26"}, 64),
    "nf_resnet50": (nf_resnet, {"variant": "50"}, 64),
    "nf_seresnet50": (nf_resnet, {"variant": "50", "squeeze_excite": 1 / 16}, 64),
    "nf_regnet_b0": (nf_regnet, {"variant": "b0"}, 64),
    "nfnet_f0": (nfnet, {"variant": "f0"}, 96),
}


@pytest.mark.parametrize("name", TIMM)
def test_normalizer_free_networks_compute_what_timms_do(name):
    """N10: with the same numbers of parameters, and outputs equal to 1e-4."""
    require("timm")
    import_torchvision()
    import timm

    factory, arguments, side = TIMM[name]
    theirs = randomize(timm.create_model(name, pretrained=False)).eval()
    ours = factory(**arguments, convention="timm", skip_gain=None).eval()
    assert parameters(ours) == parameters(theirs)
    load_from_timm(ours, theirs)
    assert largest_difference(ours, theirs, side) < 1e-4


def test_a_gain_that_is_not_timms_would_be_noticed():
    require("timm")
    import_torchvision()
    import timm

    theirs = randomize(timm.create_model("nf_resnet26", pretrained=False)).eval()
    ours = nf_resnet("26", convention="timm", skip_gain=None).eval()
    load_from_timm(ours, theirs)
    for module in ours.modules():
        if hasattr(module, "gamma"):
            module.gamma = 1.7128585504
    assert largest_difference(ours, theirs, 64) > 1e-4


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_post_activation_resnet50_computes_what_torchvisions_does(mode):
    require("torchvision")
    models = import_torchvision().models
    theirs = randomize(models.resnet50(weights=None)).train(mode == "train")
    ours = bn_resnet("50", order="post").train(mode == "train")
    assert parameters(ours) == parameters(theirs)
    load_from_torchvision(ours, theirs)
    assert largest_difference(ours, theirs, 64) < 1e-4
