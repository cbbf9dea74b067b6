"""Which layers an initialisation is about, and how many inputs one of their outputs sums up."""

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from sppkit.init import fan_in, fan_out, weighted_layers
from tests.cases import PostActivationResNet, Tokens


def test_linear_maps_are_found_and_norms_and_embeddings_are_not():
    names = list(weighted_layers(Tokens()))
    assert "head" in names
    assert "encoder.layers.0.linear1" in names
    assert not [n for n in names if "norm" in n or "embedding" in n]


def test_a_container_stands_for_the_layers_inside():
    chosen = weighted_layers(PostActivationResNet(), ["layer1.0", "fc"])
    assert list(chosen) == ["layer1.0.conv1", "layer1.0.conv2", "fc"]


def test_a_shared_layer_is_found_once():
    layer = nn.Linear(4, 4)
    assert list(weighted_layers(nn.Sequential(layer, nn.ReLU(), layer))) == ["0"]


def test_a_layer_alone_is_found_under_the_name_of_the_root():
    assert list(weighted_layers(nn.Linear(4, 4))) == [""]


def test_a_parametrized_layer_is_a_linear_map_too():
    model = nn.Sequential(parametrizations.weight_norm(nn.Linear(4, 4)), nn.LazyLinear(3))
    assert list(weighted_layers(model)) == ["0"]


def test_a_name_that_matches_nothing_is_refused():
    with pytest.raises(ValueError, match=r"layers='layer9' matched no layer.*'layer"):
        weighted_layers(PostActivationResNet(), "layer9")


@pytest.mark.parametrize(
    ("layer", "size"),
    [
        (nn.Linear(12, 5, bias=False), (12,)),
        (nn.Conv2d(6, 4, 3, bias=False), (6, 9, 9)),
        (nn.Conv2d(6, 6, 3, groups=6, bias=False), (6, 9, 9)),
        (nn.Conv1d(8, 4, 5, groups=2, bias=False), (8, 20)),
        (nn.ConvTranspose2d(6, 4, 4, stride=2, padding=3, bias=False), (6, 9, 9)),
        (nn.ConvTranspose2d(6, 4, 4, stride=2, padding=3, groups=2, bias=False), (6, 9, 9)),
        (nn.ConvTranspose1d(4, 4, 3, stride=1, padding=2, bias=False), (4, 20)),
    ],
    ids=str,
)
def test_fan_in_is_the_number_of_inputs_of_an_output_as_counted_by_a_layer_of_ones(layer, size):
    """With weights and inputs of one, an output is the number of inputs it sums up."""
    with torch.no_grad():
        layer.weight.fill_(1.0)
        counted = layer(torch.ones(1, *size)).mean()
    assert fan_in(layer) == pytest.approx(float(counted))


@pytest.mark.parametrize(
    ("layer", "size"),
    [
        (nn.Linear(12, 5, bias=False), (12,)),
        (nn.Conv2d(6, 4, 3, padding=2, bias=False), (6, 9, 9)),
        (nn.Conv2d(6, 12, 3, padding=2, groups=6, bias=False), (6, 9, 9)),
        (nn.Conv2d(6, 4, 4, stride=2, padding=3, bias=False), (6, 10, 10)),
        (nn.Conv1d(8, 4, 5, padding=4, groups=2, bias=False), (8, 20)),
        (nn.ConvTranspose2d(6, 4, 4, stride=2, bias=False), (6, 9, 9)),
        (nn.ConvTranspose2d(6, 4, 3, stride=2, groups=2, bias=False), (6, 9, 9)),
    ],
    ids=str,
)
def test_fan_out_is_the_number_of_outputs_of_an_input_as_counted_by_the_backward_pass(layer, size):
    """With weights of one, the gradient of the summed output counts the outputs of an input."""
    with torch.no_grad():
        layer.weight.fill_(1.0)
    x = torch.ones(1, *size, requires_grad=True)
    layer(x).sum().backward()
    assert fan_out(layer) == pytest.approx(float(x.grad.mean()))


def test_the_fans_of_a_transposed_layer_are_those_of_its_adjoint_exchanged():
    layer = nn.Conv2d(6, 4, 3, stride=2, groups=2)
    adjoint = nn.ConvTranspose2d(4, 6, 3, stride=2, groups=2)
    assert layer.weight.shape == adjoint.weight.shape
    assert (fan_in(adjoint), fan_out(adjoint)) == (fan_out(layer), fan_in(layer))
