"""Where a network begins to answer the same to every sample."""

import pytest
import torch
from torch import nn

from sppkit.gate import record_evidence
from sppkit.gate.alike import alike_from
from sppkit.inputs import ProbeBatch
from sppkit.rules import judge
from tests.capture.test_left_as_found import all_hooks


class MeanOverBatch(nn.Module):
    def forward(self, x):
        return x.mean(0, keepdim=True).expand_as(x)


class Sum(nn.Module):
    """x + branch(x)."""

    def __init__(self, branch):
        super().__init__()
        self.branch = branch

    def forward(self, x):
        return x + self.branch(x)


def convolutional(inside):
    layers = [nn.Conv2d(1, 8, 3), nn.ReLU(), inside, nn.Conv2d(8, 8, 3), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(8 * 16, 5))


def batch():
    return ProbeBatch((torch.randn(6, 1, 8, 8),), {}, None, "given")


def test_the_layer_is_named_although_positions_still_differ():
    model = convolutional(MeanOverBatch())
    assert alike_from(model, batch()) == "2"
    assert not all_hooks(model)


def test_a_dead_branch_is_not_where_it_begins():
    dead = nn.Sequential(nn.Conv2d(8, 8, 1), MeanOverBatch())
    model = convolutional(Sum(dead))
    model[5].weight.data.zero_()
    assert alike_from(model, batch()) == "5"


def test_where_nothing_is_alike_nothing_is_named():
    assert alike_from(convolutional(nn.Identity()), batch()) == ""


@pytest.mark.parametrize("inside", [MeanOverBatch, nn.Identity])
def test_a_check_names_it_only_where_the_output_is_alike(inside):
    def build():
        return convolutional(inside())

    recording = record_evidence(build, input_size=(1, 8, 8), seeds=2, run="net")
    is_sick = inside is MeanOverBatch
    assert recording.metadata["net"].get("alike_from") == ("2" if is_sick else None)
    if is_sick:
        assert judge(recording).first_offender.layer == "2"
