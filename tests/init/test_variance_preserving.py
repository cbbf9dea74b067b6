"""Dividing weights by the measured gains."""

import pytest
import torch
from torch import nn

from sppkit.init import preserve_variance
from tests.init.test_branch_ends import residual_mlp
from tests.init.test_unit_variance import outputs_of


def channel_variance(y):
    return float(y.double().var(0, correction=0).mean())


def chain(bias, deviation=0.5, width=128, depth=6):
    layers = []
    for _ in range(depth):
        layer = nn.Linear(width, width, bias=bias)
        nn.init.normal_(layer.weight, std=deviation * width**-0.5)
        layers += [layer, nn.ReLU()]
    return nn.Sequential(*layers)


def test_the_gain_of_a_chain_is_measured_and_divided_out_in_one_step_per_layer():
    """Without biases relu(W x) is homogeneous: the variance of all layers is that of the input."""
    torch.manual_seed(0)
    model, x = chain(bias=False), 3 * torch.randn(512, 128)
    before = [layer.weight.detach().clone() for layer in model[::2]]
    done = preserve_variance(model, x)
    measured = [channel_variance(y) for y in outputs_of(model, x).values()]
    assert measured == pytest.approx([channel_variance(x)] * 6, rel=1e-5)
    assert [entry.iterations for entry in done] == [1] * 6
    assert done[0].before / done[0].target == pytest.approx(0.25, rel=0.1)  # 0.5² of a linear layer
    for entry, layer, weight in zip(done, model[::2], before, strict=True):
        gain = (entry.before / entry.target) ** 0.5
        assert torch.allclose(layer.weight, weight / gain, rtol=1e-4)


def test_with_biases_it_takes_a_few_steps_and_ends_within_the_tolerance():
    torch.manual_seed(0)
    model, x = chain(bias=True), torch.randn(256, 128)
    done = preserve_variance(model, x, statistic="second moment", tolerance=0.01)
    level = float(x.double().square().mean())
    moments = [float(y.double().square().mean()) for y in outputs_of(model, x).values()]
    assert moments == pytest.approx([level] * 6, rel=0.01)
    assert all(entry.target == pytest.approx(level) for entry in done)


def test_a_level_of_the_callers_is_used():
    torch.manual_seed(0)
    model, x = chain(bias=False), torch.randn(256, 128)
    preserve_variance(model, x, level=4.0)
    measured = [channel_variance(y) for y in outputs_of(model, x).values()]
    assert measured == pytest.approx([4.0] * 6, rel=1e-5)


def test_residual_sums_grow_by_alpha_squared_times_the_level():
    """The branches are nearly uncorrelated with the skip paths: 1 + i alpha² after i blocks."""
    torch.manual_seed(0)
    model, x = residual_mlp(width=256, blocks=5), torch.randn(512, 256)
    preserve_variance(model, x, alpha=0.3)
    with torch.no_grad():
        for number, block in enumerate(model, start=1):
            x = block(x)
            assert channel_variance(x) == pytest.approx(1 + 0.09 * number, rel=0.05)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"statistic": "variance"}, "statistic is one of average channel variance, second moment"),
        ({"level": 0.0}, "level is 0, expected a positive number"),
        ({"tolerance": 0.0}, "expected tolerance > 0"),
    ],
    ids=str,
)
def test_wrong_arguments_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        preserve_variance(nn.Linear(4, 4), torch.randn(8, 4), **wrong)


def test_a_constant_input_is_refused_with_the_layer_that_is_given_it():
    with pytest.raises(ValueError, match="what '0' is given is 0, expected a positive number"):
        preserve_variance(nn.Sequential(nn.Linear(4, 4)), torch.ones(8, 4))
