import re
import subprocess
import sys

import pytest
import torch

import sppkit.models
from sppkit.errors import TargetError
from sppkit.models import REFERENCES, build, find_reference
from sppkit.models.references.reference import variant_of

NAMES = [reference.name for reference in REFERENCES]
SMALL = [reference for reference in REFERENCES if reference.is_small]
SMALL_NAMES = [reference.name for reference in SMALL]
TWINS = ("bn_resnet20", "nf_resnet20", "nf_resnet26_cifar", "sn_resnet20")


def test_names_are_unique():
    assert len(set(NAMES)) == len(NAMES)


@pytest.mark.parametrize("reference", REFERENCES, ids=NAMES)
def test_every_reference_has_as_many_parameters_as_it_says(reference):
    with torch.device("meta"):
        network = reference.factory()()
    assert sum(parameter.numel() for parameter in network.parameters()) == reference.parameters


@pytest.mark.parametrize("name", SMALL_NAMES)
def test_every_small_reference_runs_forward_and_backward_on_its_input_size(name):
    network = build(name)
    logits = network(torch.randn(2, *find_reference(name).input_size))
    torch.nn.functional.cross_entropy(logits, torch.tensor([0, 1])).backward()
    assert torch.isfinite(logits).all()
    without = [n for n, p in network.named_parameters() if p.grad is None]
    assert without == []


@pytest.mark.parametrize("name", TWINS)
def test_every_twin_takes_the_common_keywords(name):
    network = build(name, classes=7, in_channels=2, padding_mode="circular", width=4)
    assert network.eval()(torch.randn(1, 2, 32, 32)).shape == (1, 7)
    assert all(isinstance(block.branch, torch.nn.Sequential) for s in network.stages for block in s)


@pytest.mark.parametrize("name", SMALL_NAMES)
def test_equal_seeds_build_equal_networks(name):
    states = []
    for _ in range(2):
        torch.manual_seed(3)
        states.append(build(name).state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


@pytest.mark.parametrize("reference", REFERENCES, ids=NAMES)
def test_every_reference_says_where_it_comes_from(reference):
    assert re.search(r"\b(19|20)\d\d\b", reference.paper), "a paper has a year"
    assert reference.family
    assert reference.summary
    assert reference.expectation
    assert reference.factory().__doc__


def test_a_variant_is_as_its_reference_where_nothing_is_said():
    reference = find_reference("nf_resnet26_cifar")
    variant = variant_of(reference, "wide", "twice the width", 7, {"width": 32}, family="wide ones")
    told = {"name": "wide", "summary": "twice the width", "parameters": 7, "family": "wide ones"}
    told["arguments"] = {"variant": "26-cifar", "classes": 10, "width": 32}
    assert vars(variant) == vars(reference) | told


def test_a_variant_changes_only_attributes_that_a_reference_has():
    with pytest.raises(TypeError, match="unexpected keyword argument 'input_sizes'"):
        variant_of(REFERENCES[0], "mlp2", "a second one", 1, input_sizes=(3, 8, 8))


def test_unknown_name_names_the_nearest_and_where_all_are():
    with pytest.raises(TargetError, match=r"did you mean 'nf_resnet50'") as error:
        build("nf_resnet5O")
    assert f"sppkit models lists all {len(NAMES)} of them" in str(error.value)


def test_unknown_argument_names_the_nearest_and_lists_all():
    with pytest.raises(TargetError, match=r"'clases' \(did you mean 'classes'\?\)") as error:
        build("nf_resnet20", clases=10)
    assert "skip_gain" in str(error.value)


def test_listing_the_references_does_not_import_torch():
    code = "import sys, sppkit.models as m; assert m.REFERENCES; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_public_name_resolves():
    assert set(sppkit.models.__all__) <= set(dir(sppkit.models))
    assert all(getattr(sppkit.models, name) is not None for name in sppkit.models.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nf_resnet51'"):
        _ = sppkit.models.nf_resnet51
