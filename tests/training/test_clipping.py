import pytest
import torch
from torch import nn

from sppkit.training.clipping import (
    AdaptiveGradientClipping,
    GlobalNormClipping,
    ValueClipping,
    unit_wise_norm,
)


class Holder(nn.Module):
    """One parameter with a gradient."""

    def __init__(self, weight, gradient):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight))
        self.weight.grad = torch.tensor(gradient)


def clipped(weight, gradient, **arguments):
    model = Holder(weight, gradient)
    clip = AdaptiveGradientClipping(model, 0.01, **arguments)
    clip()
    return model.weight.grad, clip


# -- adaptive


@pytest.mark.parametrize(
    ("weight", "gradient", "expected", "count"),
    [
        ([[3.0, 4.0], [0.0, 0.0]], [[1.0, 0.0], [1e-3, 0.0]], [[0.05, 0.0], [1e-5, 0.0]], 2),
        ([3.0, 4.0], [1.0, 0.0], [0.05, 0.0], 1),
        (2.0, 1.0, 0.02, 1),
        (0.0, 1.0, 1e-5, 1),
    ],
    ids=["matrix", "vector", "scalar", "scalar of zero"],
)
def test_the_worked_cases(weight, gradient, expected, count):
    """N6: rows of a matrix are units, a vector and a scalar are one, eps lets zeros move."""
    result, clip = clipped(weight, gradient)
    torch.testing.assert_close(result, torch.tensor(expected))
    assert clip.counts() == {"weight": count}


def test_clipping_twice_is_clipping_once():
    """N6: idempotent."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(8, 4))
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)
    clip = AdaptiveGradientClipping(model, 0.01)
    clip()
    once = [parameter.grad.clone() for parameter in model.parameters()]
    clip()
    for parameter, gradient in zip(model.parameters(), once, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)


def test_small_gradients_pass():
    result, clip = clipped([[3.0, 4.0]] * 2, [[0.02, 0.02], [0.3, 0.4]])
    torch.testing.assert_close(result, torch.tensor([[0.02, 0.02], [0.03, 0.04]]))
    assert clip.rate == 0.5


@pytest.mark.parametrize(
    ("layer", "units"),
    [
        (nn.Linear(6, 4), 4),
        (nn.Conv1d(6, 4, 3), 4),
        (nn.Conv2d(6, 4, 3, groups=2), 4),
        (nn.Conv3d(6, 4, 3), 4),
        (nn.ConvTranspose2d(6, 4, 3), 4),
        (nn.ConvTranspose2d(6, 4, 3, groups=2), 4),
        (nn.Embedding(5, 3), 5),
        (nn.Linear(1, 4), 1),
        (nn.LayerNorm(6), 1),
    ],
    ids=str,
)
def test_units_are_output_units_in_every_layout(layer, units):
    """N6: by layout; the gradient of one output touches one unit alone."""
    layer.weight.grad = torch.ones_like(layer.weight)
    clip = AdaptiveGradientClipping(layer, 1e-9)
    clip()
    assert clip.counts()["weight"] == units
    assert clip.rates()["weight"] == 1.0


def test_a_unit_of_a_transposed_convolution_is_what_makes_one_output_channel():
    layer = nn.ConvTranspose2d(4, 6, 3, groups=2, bias=False)
    x = torch.randn(2, 4, 5, 5)
    layer(x)[:, 4].sum().backward()
    norms = unit_wise_norm(layer.weight.grad, transposed_groups=2)
    assert norms.shape == (2, 1, 3, 1, 1)
    assert norms.flatten().nonzero().flatten().tolist() == [4]


def test_excluded_parameters_are_left_alone():
    """N6, B5: exclusion by name."""
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 2))
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    clip = AdaptiveGradientClipping(model, 1e-3, exclude="1.weight")
    clip()
    assert model[1].weight.grad.eq(1).all()
    assert model[0].weight.grad.lt(1).all()
    assert model[1].bias.grad.lt(1).all()
    assert set(clip.counts()) == {"0.weight", "0.bias", "1.bias"}


def test_an_exclusion_that_matches_nothing_is_refused():
    with pytest.raises(ValueError, match=r"exclude='fc' matched no parameter.*'\*fc\*' matches"):
        AdaptiveGradientClipping(nn.Linear(2, 2), exclude="fc")


def test_gradients_that_are_not_finite_stay_to_be_seen():
    result, clip = clipped([[3.0, 4.0]] * 2, [[float("inf"), 0.0], [float("nan"), 1.0]])
    assert result[0].tolist() == [float("inf"), 0.0]
    assert result[1].isnan().tolist() == [True, False]
    assert clip.rate == 0.0


@pytest.mark.parametrize("limit", [0.0, -1.0, float("nan")])
@pytest.mark.parametrize("method", [AdaptiveGradientClipping, ValueClipping, GlobalNormClipping])
def test_limits_that_are_not_above_zero_are_refused(method, limit):
    with pytest.raises(ValueError, match="above 0"):
        method(nn.Linear(2, 2), limit)


def test_eps_of_zero_is_refused():
    with pytest.raises(ValueError, match="eps of adaptive gradient clipping"):
        AdaptiveGradientClipping(nn.Linear(2, 2), eps=0.0)


# -- by value and by norm, under the same interface


def _model_with_gradient(values):
    model = nn.Linear(len(values), 1, bias=False)
    model.weight.grad = torch.tensor([values])
    return model


def test_values_are_cut_at_the_limit_and_counted():
    """G2: by value."""
    model = _model_with_gradient([0.5, -2.0, 3.0, 1.0])
    clip = ValueClipping(model, 1.0)
    clip()
    assert model.weight.grad.tolist() == [[0.5, -1.0, 1.0, 1.0]]
    assert clip.rate == 0.5


def test_the_whole_gradient_is_scaled_to_the_limit_and_counted():
    """G2: by global norm."""
    model = _model_with_gradient([3.0, 4.0])
    clip = GlobalNormClipping(model, 1.0)
    clip()
    torch.testing.assert_close(model.weight.grad, torch.tensor([[0.6, 0.8]]), atol=1e-5, rtol=0)
    model.weight.grad = torch.tensor([[0.3, 0.4]])
    clip()
    assert model.weight.grad.tolist() == [[pytest.approx(0.3), pytest.approx(0.4)]]
    assert clip.step_rates() == [1.0, 0.0]
    assert clip.rate == 0.5
    assert clip.rates() == {"": 0.5}


@pytest.mark.parametrize("method", [AdaptiveGradientClipping, ValueClipping, GlobalNormClipping])
def test_every_method_logs_its_rate_by_step(method):
    """G2: one interface, with the share that was clipped in each step and over all."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    clip = method(model, 1e-6)
    for scale in (1.0, 0.0):
        model.zero_grad()
        (scale * model(torch.randn(8, 4)).square().sum()).backward()
        clip()
    first, second = clip.step_rates()
    assert 0.5 < first <= 1.0
    assert second == 0.0
    assert clip.rate == pytest.approx(first / 2)
    clip.reset()
    assert (clip.rate, clip.step_rates(), clip.rates()) == (0.0, [], {})


@pytest.mark.parametrize("method", [AdaptiveGradientClipping, ValueClipping, GlobalNormClipping])
def test_a_model_without_gradients_is_left_alone(method):
    clip = method(nn.Linear(2, 2), 1.0)
    clip()
    assert clip.step_rates() == []
