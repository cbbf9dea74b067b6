"""The layers that residual branches end with."""

import math

import pytest
import torch
from torch import nn

from sppkit.init.branch_ends import variances_at_branch_ends
from sppkit.models.layers import Residual
from tests.cases import PostActivationResNet


def residual_mlp(scale=1.0, width=8, blocks=2):
    def branch():
        return nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))

    return nn.Sequential(*(Residual(branch(), scale=scale) for _ in range(blocks)))


def run(model):
    return model(torch.randn(4, 8))


@pytest.mark.parametrize(("scale", "variance"), [(1.0, 0.04), (0.5, 0.16)])
def test_a_constant_in_front_of_the_sum_is_made_good_for(scale, variance):
    found = variances_at_branch_ends(residual_mlp(scale), run, 0.2)
    assert found == pytest.approx({"0.branch.2": variance, "1.branch.2": variance})


def test_an_alpha_of_one_needs_no_look_at_the_network():
    def fail(model):
        raise AssertionError

    assert variances_at_branch_ends(residual_mlp(), fail, 1.0) == {}


def test_a_branch_that_ends_with_a_normalisation_is_refused_by_name():
    with pytest.raises(ValueError, match=r"ends with 'layer1.0.bn2' \(batch_norm\) has none there"):
        variances_at_branch_ends(
            PostActivationResNet(), lambda m: m(torch.randn(2, 3, 16, 16)), 0.2
        )


def test_a_network_without_branches_is_refused():
    with pytest.raises(ValueError, match="no residual merge was found in Linear; leave it out"):
        variances_at_branch_ends(nn.Linear(8, 8), run, 0.2)


@pytest.mark.parametrize("alpha", [0.0, -1.0, math.inf, math.nan])
def test_an_alpha_that_is_no_positive_number_is_refused(alpha):
    with pytest.raises(ValueError, match="must be a positive number"):
        variances_at_branch_ends(residual_mlp(), run, alpha)
