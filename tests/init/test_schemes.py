"""Schemes by name, by the fans of a group."""

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from sppkit.init import fan_in, fan_out, initialize_weights, reset_biases


@pytest.mark.parametrize(
    ("nonlinearity", "squared_gain"),
    [("relu", 2.0), ("identity", 1.0), ("selu", 1.0), ("tanh", 1 / 0.394294)],
)
def test_the_variance_of_the_weights_is_gain_squared_by_fan_in(nonlinearity, squared_gain):
    torch.manual_seed(0)
    layer = nn.Conv2d(64, 128, 3)
    initialize_weights(layer, "he", nonlinearity)
    variance = float(layer.weight.detach().var()) * 64 * 9
    assert variance == pytest.approx(squared_gain, rel=5 * (2 / layer.weight.numel()) ** 0.5)
    assert not layer.bias.any()


def test_a_depthwise_layer_keeps_the_second_moment_where_torchs_fan_out_loses_it():
    torch.manual_seed(0)
    x = torch.relu(torch.randn(8, 256, 12, 12))
    layer = nn.Conv2d(256, 256, 3, groups=256, padding=1, padding_mode="circular", bias=False)
    with torch.no_grad():
        nn.init.kaiming_normal_(layer.weight, mode="fan_out")
        assert float(layer(x).square().mean()) < 0.02
        initialize_weights(layer, "he", "relu")
        # of 256 filters of 9 weights: the mean of their squared norms is 2 within 2 sqrt(2/2304);
        # the inputs' common mean adds its share through the squared sums of the filters
        assert float(layer(x).square().mean()) == pytest.approx(1.0, rel=0.25)


def test_a_transposed_layer_keeps_the_second_moment():
    torch.manual_seed(0)
    layer = nn.ConvTranspose2d(64, 32, 4, stride=2, bias=False)
    initialize_weights(layer, "he", "identity")
    with torch.no_grad():
        y = layer(torch.randn(16, 64, 20, 20))[..., 4:-4, 4:-4]
    assert float(y.square().mean()) == pytest.approx(1.0, rel=0.1)


@pytest.mark.parametrize("name", ["relu", "tanh", "gelu", "silu", "elu"])
def test_a_deep_chain_neither_explodes_nor_dies_after_it(name):
    """Ten layers at width 512: the second moment of pre-activations stays within a factor of 2.

    It is exact for relu; for functions that are no rays it is the gain at a unit signal, which the
    first layers keep and from which the later ones drift by little.
    """
    torch.manual_seed(0)
    layers = [nn.Linear(512, 512, bias=False) for _ in range(10)]
    g = getattr(F, name) if name != "tanh" else torch.tanh
    with torch.no_grad():
        x = torch.randn(128, 512)
        for layer in layers:
            initialize_weights(layer, "he", name)
            x = layer(g(x))
    assert 0.5 < float(x.square().mean()) < 2.0


def test_layers_may_have_nonlinearities_of_their_own():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(400, 400), nn.ReLU(), nn.Linear(400, 400))
    assert initialize_weights(model, "he", {"2": "relu"}) == ("0", "2")
    variances = [float(model[i].weight.detach().var()) * 400 for i in (0, 2)]
    assert variances == pytest.approx([1.0, 2.0], rel=0.02)


def test_a_generator_of_its_own_leaves_the_global_one_alone():
    state = torch.get_rng_state()
    drawn = []
    for _ in range(2):
        layer = nn.Linear(3, 3)
        torch.set_rng_state(state)
        initialize_weights(layer, "he", generator=torch.Generator().manual_seed(5))
        assert torch.equal(torch.get_rng_state(), state)
        drawn.append(layer.weight.detach().clone())
    assert torch.equal(*drawn)


def test_an_unknown_nonlinearity_is_refused_before_anything_is_changed():
    layer = nn.Linear(3, 3)
    before = layer.weight.detach().clone()
    with pytest.raises(ValueError, match=r"unknown nonlinearity 'rellu'.*did you mean 'relu'"):
        initialize_weights(layer, "he", "rellu")
    assert torch.equal(layer.weight, before)


def test_reset_biases_names_the_layers_that_have_one():
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3, bias=False), nn.Linear(3, 3))
    assert reset_biases(model) == ("0", "2")
    assert not model[0].bias.any()
    assert not model[2].bias.any()


LAYERS = [
    nn.Linear(300, 200),
    nn.Conv2d(64, 32, 3),
    nn.Conv2d(256, 512, 3, groups=256),
    nn.ConvTranspose2d(64, 32, 4, stride=2, groups=2),
]


@pytest.mark.parametrize("distribution", ["normal", "uniform"])
@pytest.mark.parametrize("layer", LAYERS, ids=str)
@pytest.mark.parametrize(
    ("scheme", "variance"),
    [
        ("he", lambda layer: 2 / fan_in(layer)),
        ("lecun", lambda layer: 1 / fan_in(layer)),
        ("xavier", lambda layer: 2 / (fan_in(layer) + fan_out(layer))),
        ("glorot", lambda layer: 2 / (fan_in(layer) + fan_out(layer))),
    ],
)
def test_a_scheme_has_the_variance_of_its_formula_in_both_distributions(
    scheme, variance, layer, distribution
):
    generator = torch.Generator().manual_seed(0)
    initialize_weights(layer, scheme, distribution=distribution, generator=generator)
    weight = layer.weight.detach()
    error = 5 * (2 / weight.numel()) ** 0.5
    assert float(weight.square().mean()) == pytest.approx(variance(layer), rel=error)
    if distribution == "uniform":
        limit = (3 * variance(layer)) ** 0.5
        assert 0.99 * limit < float(weight.abs().max()) <= limit * (1 + 1e-6)


@pytest.mark.parametrize("scheme", ["xavier", "he", "orthogonal"])
def test_a_dense_layer_without_stride_is_drawn_as_torch_draws_it(scheme):
    ours, theirs = nn.Conv2d(16, 8, 3), nn.Conv2d(16, 8, 3)
    draw = {
        "xavier": nn.init.xavier_normal_,
        "he": lambda w: nn.init.kaiming_normal_(w, nonlinearity="relu"),
        "orthogonal": nn.init.orthogonal_,
    }[scheme]
    torch.manual_seed(3)
    initialize_weights(ours, scheme)
    torch.manual_seed(3)
    draw(theirs.weight)
    assert torch.allclose(ours.weight, theirs.weight, rtol=1e-5)


@pytest.mark.parametrize(
    ("layer", "groups"),
    [
        (nn.Linear(40, 24), 1),
        (nn.Conv2d(12, 6, 3, groups=3), 3),
        (nn.Conv2d(8, 8, 3, groups=8), 8),
        (nn.Linear(24, 40), 1),
        (nn.ConvTranspose2d(6, 12, 2, stride=2, groups=3), 3),
    ],
    ids=str,
)
def test_orthogonal_weights_are_semi_orthogonal_in_each_group_up_to_one_scale(layer, groups):
    torch.manual_seed(0)
    initialize_weights(layer, "orthogonal", "relu")
    weight = layer.weight.detach().double()
    assert float(weight.square().mean()) == pytest.approx(2 / fan_in(layer), rel=1e-5)
    for block in weight.flatten(1).unflatten(0, (groups, -1)):
        rows, columns = block.shape
        product = block @ block.T if rows <= columns else block.T @ block
        assert torch.allclose(product / product[0, 0], torch.eye(len(product)).double(), atol=1e-5)


@pytest.mark.parametrize("scheme", ["lecun", "orthogonal"])
@pytest.mark.parametrize("layer", [nn.Linear(64, 256), nn.Conv2d(64, 64, 1, groups=8)], ids=str)
def test_outputs_keep_the_second_moment_whether_there_are_more_or_fewer_of_them(scheme, layer):
    torch.manual_seed(0)
    initialize_weights(layer, scheme)
    x = torch.randn(512, 64, *(4, 4)[: layer.weight.dim() - 2])
    with torch.no_grad():
        assert float(layer(x).square().mean()) == pytest.approx(1.0, rel=0.1)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"scheme": "kaiming"}, "scheme is one of he, lecun, xavier, glorot, orthogonal; got 'kai"),
        ({"distribution": "cauchy"}, "distribution is 'normal' or 'uniform'; got 'cauchy'"),
        ({"scheme": "orthogonal", "distribution": "uniform"}, "leave distribution='uniform' out"),
        ({"nonlinearity": {"": "rellu"}}, "unknown nonlinearity 'rellu'"),
    ],
    ids=str,
)
def test_what_cannot_be_drawn_is_refused_before_anything_is_changed(wrong, message):
    layer = nn.Linear(3, 3)
    before, state = layer.weight.detach().clone(), torch.get_rng_state()
    with pytest.raises(ValueError, match=message):
        initialize_weights(layer, **wrong)
    assert torch.equal(layer.weight, before)
    assert torch.equal(torch.get_rng_state(), state)
