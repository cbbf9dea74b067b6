import pytest
import torch
from torch import nn
from torch.nn import functional

from sppkit.training.distillation import DistillationLoss, distillation_loss


def test_the_loss_is_the_cross_entropy_of_two_distributions_b5():
    """B5: knowledge distillation, mean of - sum softmax(teacher) log softmax(student)."""
    torch.manual_seed(0)
    student, teacher = torch.randn(2, 5, 7, dtype=torch.double)
    expected = -(functional.softmax(teacher, 1) * functional.log_softmax(student, 1)).sum(1).mean()
    torch.testing.assert_close(distillation_loss(student, teacher), expected)


def test_equal_logits_leave_the_teachers_entropy_and_no_gradient():
    logits = torch.randn(4, 6, dtype=torch.double, requires_grad=True)
    loss = distillation_loss(logits, logits)
    entropy = torch.distributions.Categorical(logits=logits.detach()).entropy().mean()
    torch.testing.assert_close(loss.detach(), entropy)
    loss.backward()
    assert logits.grad.abs().max().item() < 1e-12


def test_a_high_temperature_compares_logits():
    """T² times the gradient tends to (z - v) / C / N for logits of mean 0 (Hinton et al., 2.1)."""
    student = torch.randn(3, 4, dtype=torch.double)
    student -= student.mean(1, keepdim=True)
    teacher = torch.randn(3, 4, dtype=torch.double)
    teacher -= teacher.mean(1, keepdim=True)
    student.requires_grad_()
    distillation_loss(student, teacher, temperature=1e4).backward()
    expected = (student.detach() - teacher) / 4 / 3
    torch.testing.assert_close(student.grad, expected, atol=1e-4, rtol=1e-3)


def test_the_teacher_is_frozen_and_stays_in_evaluation():
    teacher = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.9), nn.BatchNorm1d(4))
    loss = DistillationLoss(teacher)
    loss.train()
    assert not any(module.training for module in teacher.modules())
    student = nn.Linear(3, 4)
    x = torch.randn(8, 3)
    first, second = loss(student(x), x), loss(student(x), x)
    assert torch.equal(first, second)
    first.backward()
    assert student.weight.grad is not None
    assert all(parameter.grad is None for parameter in teacher.parameters())


@pytest.mark.parametrize("shape", [(2, 3), (3, 4), (4,)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match=r"logits of one shape.*\(2, 4\) and "):
        distillation_loss(torch.zeros(2, 4), torch.zeros(shape))


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan")])
def test_temperatures_that_are_not_positive_are_refused(temperature):
    with pytest.raises(ValueError, match="temperature is positive; got"):
        distillation_loss(torch.zeros(2, 4), torch.zeros(2, 4), temperature=temperature)
