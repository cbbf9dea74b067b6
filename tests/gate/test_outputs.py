"""Which outputs of a network a loss is put on, and what an output says of the inputs."""

import math

import pytest
import torch
from torch import nn

from sppkit.gate.outputs import describe_output, trained_outputs
from tests.cases import DataclassOutput, DictOutput


def paths(output):
    return [path for path, _ in trained_outputs(output)]


def test_what_other_outputs_are_computed_from_is_left_out():
    assert paths(DictOutput()(torch.randn(3, 8))) == ["logits", "boxes.0"]


def test_a_loss_that_the_model_returns_is_all_that_is_trained():
    assert paths(DataclassOutput()(torch.randn(3, 8))) == ["loss"]


def test_several_losses_are_trained_together_as_detectors_return_them():
    w = torch.ones(3, requires_grad=True)
    losses = {"loss_box": w.sum(), "loss_class": w.prod(), "features": w * 2}
    assert paths(losses) == ["loss_box", "loss_class"]


def test_a_number_beside_logits_that_is_no_loss_is_not_trained():
    w = torch.ones(3, requires_grad=True)
    assert paths({"logits": w * 2, "temperature": w.exp().sum()}) == ["logits"]


def test_a_number_alone_is_a_loss():
    assert paths(torch.ones(3, requires_grad=True).sum()) == [""]


def test_auxiliary_heads_are_trained_beside_the_main_one():
    body, main, aux = nn.Linear(4, 4), nn.Linear(4, 2), nn.Linear(4, 2)
    h = body(torch.randn(3, 4))
    assert paths((main(h), aux(h))) == ["0", "1"]
    assert paths((h, main(h), aux(h))) == ["1", "2"]


def test_an_output_that_is_returned_twice_is_trained_once():
    y = nn.Linear(4, 4)(torch.randn(3, 4))
    assert paths((y, y)) == ["0"]


def test_outputs_without_gradient_or_values_are_not_trained():
    y = nn.Linear(4, 4)(torch.randn(3, 4))
    assert paths({"classes": y.argmax(1), "scores": y, "none": y[:0]}) == ["scores"]


def test_the_moments_of_an_output_are_those_of_its_definition():
    y = torch.randn(20, 3, 5, generator=torch.Generator().manual_seed(0)) * 2 + 7
    found = describe_output(y)
    assert found["second_moment"] == pytest.approx(float(y.double().pow(2).mean()))
    assert found["variance_across_samples"] == pytest.approx(
        float(((y - y.mean(0)).double() ** 2).mean()), rel=1e-6
    )


def test_an_output_that_is_the_same_for_every_sample_has_no_variance_across_them():
    y = torch.randn(1, 30).expand(8, 30)
    found = describe_output(y)
    assert found["variance_across_samples"] == 0.0
    assert found["second_moment"] > 0


def test_one_sample_has_no_variance_across_samples():
    assert math.isnan(describe_output(torch.randn(1, 30))["variance_across_samples"])
    assert math.isnan(describe_output(torch.tensor(3.0))["variance_across_samples"])


def test_large_values_do_not_overflow():
    found = describe_output(torch.full((2, 2), 1e30))
    assert found["second_moment"] == pytest.approx(1e60)


def test_complex_and_sparse_outputs_are_read_by_their_parts():
    z = torch.tensor([[3 + 4j], [3 - 4j]])
    assert describe_output(z) == {"second_moment": 12.5, "variance_across_samples": 8.0}
    assert describe_output(torch.eye(2).to_sparse())["second_moment"] == 0.5
