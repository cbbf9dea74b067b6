import pytest
import torch
from torch import nn

from benchmarks.workloads import WORKLOADS, Circumstances, make_training

BY_NAME = {workload.name: workload for workload in WORKLOADS}

# Published sizes: torchvision's documentation for ResNet-50 and EfficientNet-B0, the many CIFAR
# ResNet-18s; the others by hand.
PARAMETERS = {
    "mlp": 100 * (64 * 64 + 64) + 64 * 10 + 10,
    "effb0": 5_288_548,
    "resnet50": 25_557_032,
    "resnet18": 11_173_962,
}

SMALL = Circumstances(small=True)


@pytest.mark.parametrize("name", PARAMETERS)
def test_networks_have_the_published_number_of_parameters(name):
    workload = BY_NAME[name]
    model = workload.network(**workload.arguments)
    assert sum(parameter.numel() for parameter in model.parameters()) == PARAMETERS[name]


@pytest.mark.parametrize("name", BY_NAME)
def test_a_step_changes_the_parameters_a_little(name):
    training = make_training(BY_NAME[name], SMALL)
    before = nn.utils.parameters_to_vector(training.model.parameters()).clone()
    for _ in range(20):
        training.step()
    after = nn.utils.parameters_to_vector(training.model.parameters())
    assert not torch.equal(before, after)
    assert (after - before).norm() < 1e-2 * before.norm()


@pytest.mark.parametrize("name", BY_NAME)
def test_the_network_without_in_place_operations_is_the_same_one(name):
    outputs = []
    for in_place in (True, False):
        training = make_training(BY_NAME[name], Circumstances(small=True, in_place=in_place))
        training.model.eval()
        outputs.append(training.model(training.inputs))
    assert torch.equal(*outputs)


def test_without_in_place_nothing_works_in_place():
    for workload in WORKLOADS:
        model = workload.network(**workload.small, in_place=False)
        assert not any(getattr(module, "inplace", False) for module in model.modules())


def test_the_same_batch_and_weights_come_each_time():
    first, second = (make_training(BY_NAME["gpt"], SMALL) for _ in range(2))
    assert torch.equal(first.inputs, second.inputs)
    pairs = zip(first.model.parameters(), second.model.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_a_twin_is_another_model_with_the_same_weights():
    training = make_training(BY_NAME["mlp"], SMALL)
    twin = training.twin()
    twin.step()
    pairs = zip(training.model.parameters(), twin.model.parameters(), strict=True)
    assert not any(torch.equal(a, b) for a, b in pairs)


def test_a_batch_can_be_asked_for():
    assert len(make_training(BY_NAME["unet"], Circumstances(small=True, batch=5)).inputs) == 5
