import pytest
import torch
from torch import nn

import sppkit
from sppkit.models import build


def _count(network):
    return sum(parameter.numel() for parameter in network.parameters())


def _on_meta(name, **arguments):
    with torch.device("meta"):
        return build(name, **arguments)


@pytest.mark.parametrize(
    ("name", "arguments", "parameters"),
    [
        ("ffnn", {}, 3_725_924),
        ("ffnn", {"width": 100}, 398_200),
        ("ffnn_bn", {}, 3_725_924 + 9 * 2 * 512),
        ("ffnn_bn_fixed", {}, 3_725_924),
        ("cnn", {}, 1_299_364),
        ("cnn_bn_features", {}, 1_299_364 + 2 * (32 + 64 + 128)),
        ("cnn_bn_classifier", {}, 1_299_364 + 2 * (512 + 256)),
        ("cnn_bn", {}, 1_299_364 + 2 * (32 + 64 + 128 + 512 + 256)),
    ],
)
def test_parameters_of_the_plain_networks_d10(name, arguments, parameters):
    """D10: FFNN of 10 layers, CNN, by where and how they are normalised."""
    assert _count(_on_meta(name, **arguments)) == parameters


def test_hidden_weights_are_two_over_the_width_and_the_last_two_over_the_classes():
    torch.manual_seed(0)
    network = build("ffnn")
    linears = [module for module in network.modules() if isinstance(module, nn.Linear)]
    assert len(linears) == 10
    # a second moment of N weights spreads by sqrt(2 / N): 51,200 in the last layer, 4 sigma
    for linear in linears[:-1]:
        assert linear.weight.square().mean().item() == pytest.approx(2 / 512, rel=0.01)
    assert linears[-1].weight.square().mean().item() == pytest.approx(2 / 100, rel=0.025)
    assert all(not linear.bias.any() for linear in linears)


@pytest.mark.parametrize(("norm", "affine"), [("affine", True), ("fixed", False)])
def test_every_hidden_layer_is_normalised_before_its_activation(norm, affine):
    network = build("ffnn", norm=norm, depth=4, width=8)
    for layer in network.hidden:
        assert [type(module) for module in layer] == [nn.Linear, nn.BatchNorm1d, nn.ReLU]
        assert layer.norm.affine is affine


@pytest.mark.parametrize(
    ("normalized", "features", "classifier"),
    [("none", 0, 0), ("features", 3, 0), ("classifier", 0, 2), ("all", 3, 2)],
)
def test_the_parts_of_the_cnn_that_are_normalised(normalized, features, classifier):
    network = build("cnn_digits", normalized=normalized)
    kinds = (nn.BatchNorm1d, nn.BatchNorm2d)
    in_features = [module for module in network.features.modules() if isinstance(module, kinds)]
    in_classifier = [m for m in network.classifier.modules() if isinstance(m, kinds)]
    assert (len(in_features), len(in_classifier)) == (features, classifier)
    assert network(torch.randn(3, 1, 16, 16)).shape == (3, 10)


def test_the_second_moment_is_kept_without_normalisation():
    """Fan-out and fan-in agree but in the first layer, whose fan-in is 12 times as large."""
    recording = sppkit.probe(
        lambda: build("ffnn", width=256), input_size=(3, 32, 32), seeds=4, signals=["activation"]
    )
    rows = recording.table()
    linears = rows[rows["layer"].str.endswith(".linear")]
    moments = linears.groupby("depth")["second_moment"].mean().to_numpy()
    assert moments[0] == pytest.approx(2 * 3072 / 256, rel=0.1)
    # over 8 layers and 4 seeds it spreads by about sqrt(8 * 5 / 256 / 4) = 0.2
    assert moments[-1] == pytest.approx(moments[0], rel=0.5)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("ffnn", {"depth": 1}, "2 or more; got 1"),
        ("ffnn", {"norm": "batch"}, "'affine' or 'fixed'; got 'batch'"),
        ("cnn", {"normalized": "both"}, "none, features, classifier, all; got 'both'"),
        ("cnn", {"image_size": 20}, "a multiple of 8 .*; got 20"),
        ("gaur_cnn", {"norm": "layer"}, "none, batch, weight; got 'layer'"),
    ],
)
def test_wrong_values_are_refused(name, arguments, message):
    with pytest.raises(ValueError, match=message):
        build(name, **arguments)


# -- the arms against batch normalisation


def test_weight_normalisation_changes_nothing_at_initialisation():
    x = torch.randn(2, 3, 32, 32)
    outputs = []
    for name in ("gaur_cnn", "gaur_cnn_wn"):
        torch.manual_seed(0)
        outputs.append(build(name)(x))
    torch.testing.assert_close(outputs[0], outputs[1])


def test_dropout_can_be_switched_in_every_arm_g3():
    """G3: dropout arms, beside every norm."""
    for name in ("gaur_cnn_dropout", "gaur_cnn_wn_dropout"):
        network = build(name)
        dropouts = [m for m in network.modules() if isinstance(m, nn.Dropout2d)]
        assert [module.p for module in dropouts] == [0.2] * 6
    with_norm = build("gaur_cnn_bn", dropout=0.3)
    assert sum(isinstance(module, nn.Dropout2d) for module in with_norm.modules()) == 6
    assert not [m for m in build("gaur_cnn").modules() if isinstance(m, nn.Dropout2d)]
