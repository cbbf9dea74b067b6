"""The loss that is put on a network whose loss nobody has named, compared with torch's own."""

import math

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from sppkit.gate.training_loss import TrainingLoss


def leaf(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(1)).requires_grad_()


def test_logits_with_labels_have_torchs_cross_entropy():
    logits, labels = leaf(6, 5), torch.tensor([0, 1, 2, 3, 4, 0])
    loss = TrainingLoss(0, {})
    assert torch.equal(loss(logits, labels), F.cross_entropy(logits, labels))
    assert loss.describe() == {
        "kind": "cross-entropy",
        "labels": "real",
        "classes": 5,
        "chance": math.log(5),
        "outputs": [
            {
                "path": "",
                "kind": "cross-entropy",
                "classes": 5,
                "labels": "real",
                "chance": math.log(5),
            }
        ],
    }


@pytest.mark.parametrize(
    ("shape", "axis", "positions"),
    [
        ((6, 5), None, (6,)),
        ((6, 7, 5), 2, (6, 7)),  # tokens
        ((6, 5, 7), 1, (6, 7)),  # a sequence of channels
        ((6, 5, 4, 3), 1, (6, 4, 3)),  # a map
        ((6, 4, 3, 5), 3, (6, 4, 3)),  # a map, channels last
        ((6, 5, 2, 4, 3), None, (6, 2, 4, 3)),  # a volume
    ],
)
def test_classes_are_along_the_channel_axis(shape, axis, positions):
    logits, labels = leaf(*shape), torch.randint(5, positions)
    found = TrainingLoss(0, {"": axis})(logits, labels)
    usual = logits.movedim(axis or 1, 1)
    assert float(found.detach()) == pytest.approx(
        float(F.cross_entropy(usual.detach(), labels)), rel=1e-5
    )


def test_zero_logits_have_the_loss_of_chance():
    loss = TrainingLoss(0, {})
    assert float(loss(torch.zeros(64, 10, requires_grad=True), None).detach()) == pytest.approx(
        math.log(10)
    )
    assert loss.describe()["chance"] == pytest.approx(loss.value)
    assert loss.describe()["labels"] == "random"


def test_random_labels_are_those_of_the_seed_and_leave_the_global_generator_alone():
    logits, state = leaf(50, 7), torch.get_rng_state()
    losses = [float(TrainingLoss(seed, {})(logits, None).detach()) for seed in (3, 3, 4)]
    assert losses[0] == losses[1] != losses[2]
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("labels", [torch.tensor([9, 0]), torch.tensor([0]), torch.zeros(2)])
def test_labels_that_do_not_fit_are_drawn(labels):
    loss = TrainingLoss(0, {})
    loss(leaf(2, 5), labels)
    assert loss.describe()["labels"] == "random"


@pytest.mark.parametrize("shape", [(40,), (40, 1), (40, 1, 3, 3)])
def test_one_channel_is_a_regression(shape):
    loss = TrainingLoss(0, {})
    output = torch.zeros(shape, requires_grad=True)
    loss(output, None)
    stated = loss.describe()
    assert (stated["kind"], stated["classes"]) == ("mean square", 0)
    assert stated["chance"] == pytest.approx(loss.value)  # zero is the answer of chance
    assert stated["chance"] == pytest.approx(1.0, rel=5 * (2 / output.numel()) ** 0.5)


def test_targets_that_the_data_has_are_used():
    output, targets = leaf(8, 1), torch.randn(8, 1)
    loss = TrainingLoss(0, {})
    assert torch.equal(loss(output, targets), F.mse_loss(output, targets))
    assert loss.describe()["labels"] == "real"


@pytest.mark.parametrize("function", [torch.softmax, torch.log_softmax])
def test_probabilities_and_their_logarithms_have_the_loss_of_their_logits(function):
    logits, labels = leaf(6, 5), torch.arange(6) % 5
    of_output = TrainingLoss(0, {})(function(logits, 1), labels)
    assert float(of_output.detach()) == pytest.approx(
        float(F.cross_entropy(logits.detach(), labels)), rel=1e-5
    )


def test_a_probability_of_zero_has_a_finite_loss():
    certain = torch.tensor([[1.0, 0.0], [0.0, 1.0]], requires_grad=True)
    value = TrainingLoss(0, {})(certain, torch.tensor([1, 0]))
    assert float(value.detach()) == pytest.approx(-math.log(1e-12), rel=1e-5)


def test_the_models_own_loss_is_taken_as_it_is():
    loss = TrainingLoss(0, {})
    own = leaf(3).square().mean()
    assert torch.equal(loss({"loss": own, "logits": leaf(3, 4)}, None), own)
    stated = loss.describe()
    assert (stated["kind"], stated["labels"], stated["chance"]) == ("the model's own", "none", None)


def test_the_losses_of_several_outputs_are_added_up():
    loss = TrainingLoss(0, {})
    whole = loss({"classes": leaf(4, 3), "depth": leaf(4, 1)}, None)
    assert loss.describe()["kind"] == "cross-entropy and mean square"
    assert float(whole.detach()) == pytest.approx(sum(part.value for part in loss.parts))
    assert loss.describe()["chance"] == pytest.approx(math.log(3) + float(loss.parts[1].chance))


def test_the_users_function_replaces_all_this():
    def squares(output, labels):
        return output.pow(2).sum()

    loss, output = TrainingLoss(0, {}, squares), leaf(4, 3)
    assert float(loss(output, None).detach()) == pytest.approx(float(output.detach().pow(2).sum()))
    assert loss.describe()["kind"] == "squares"
    assert loss.output["second_moment"] > 0


@pytest.mark.parametrize("kind", ["complex", "half", "jagged"])
def test_outputs_of_other_types_have_a_loss_and_a_gradient(kind):
    if kind == "jagged":
        parts = [leaf(2, 3), leaf(4, 3)]
        output = torch.nested.as_nested_tensor(parts, layout=torch.jagged)
        leaves = parts
    else:
        dtype = {"complex": torch.complex64, "half": torch.bfloat16}[kind]
        leaves = [torch.randn(4, 3, dtype=dtype).requires_grad_()]
        output = leaves[0] * 1
    TrainingLoss(0, {})(output, None).backward()
    assert all(part.grad is not None and part.grad.abs().sum() > 0 for part in leaves)


def test_an_output_that_is_not_finite_has_a_loss_that_is_not():
    loss = TrainingLoss(0, {})
    loss(nn.Parameter(torch.full((4, 3), math.nan)) * 1, None)
    assert math.isnan(loss.value)
