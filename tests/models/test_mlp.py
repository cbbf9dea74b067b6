import pytest
import torch
from torch import nn

from sppkit.models.mlp import mlp, sn_mlp


def _preactivations(network, x):
    outputs = []
    for layer in network.hidden:
        layer.linear.register_forward_hook(lambda module, inputs, y: outputs.append(y.double()))
    with torch.no_grad():
        network(x)
    return outputs


def test_parameter_count():
    # linear layers with biases: 64 -> 32 -> 32 -> 10
    network = mlp(2, 32)
    expected = (64 + 1) * 32 + (32 + 1) * 32 + (32 + 1) * 10
    assert sum(p.numel() for p in network.parameters()) == expected


@pytest.mark.parametrize(("norm", "layer"), [("batch", nn.BatchNorm1d), ("layer", nn.LayerNorm)])
def test_norm_stands_between_linear_and_activation(norm, layer):
    first = mlp(2, 16, norm=norm).hidden[0]
    assert [type(module) for module in first] == [nn.Linear, layer, nn.ReLU]


def test_images_are_flattened():
    assert mlp(1, 8, in_features=48, classes=3)(torch.randn(5, 3, 4, 4)).shape == (5, 3)


def test_he_keeps_the_second_moment_and_loses_the_variance_over_samples():
    squares, variances = [], []
    for seed in range(8):
        torch.manual_seed(seed)
        layers = _preactivations(mlp(20, 256, in_features=256), torch.randn(256, 256))
        squares.append(layers[-1].square().mean().item())
        variances.append(layers[-1].var(0, correction=0).mean().item())
    # 2 in expectation; the mean over 8 seeds spreads by about sqrt(20 * 5 / 256 / 8) = 0.22 of it
    assert sum(squares) / 8 == pytest.approx(2.0, rel=0.5)
    assert sum(variances) / 8 < 0.3


def test_self_normalizing_activations_keep_mean_and_variance():
    torch.manual_seed(0)
    last = _preactivations(sn_mlp(20, 256, in_features=256), torch.randn(512, 256))[-1]
    assert last.var(0, correction=0).mean().item() == pytest.approx(1.0, rel=0.15)
    assert last.mean(0).square().mean().item() < 0.05


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"depth": 0}, "1 or more; got 0"),
        ({"norm": "group"}, "'batch' or 'layer'; got 'group'"),
        ({"activation": "rellu"}, "did you mean 'relu'"),
    ],
)
def test_wrong_values_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        mlp(**arguments)
