"""The variants of scaled weight standardisation, against the worked example and formulas."""

import math

import pytest
import torch
from torch import nn

import sppkit
from sppkit.models.layers import ScaledStandardizedConv2d, standardize_filters
from sppkit.models.layers.scaled_standardization import EpsPlace

ROW = torch.tensor([[1.0, 2.0, 3.0, 4.0]])


@pytest.mark.parametrize("eps_place", EpsPlace.__args__)
def test_every_variant_agrees_on_the_worked_example(eps_place):
    """N2: [1, 2, 3, 4] becomes [-0.67, -0.22, 0.22, 0.67], wherever a tiny eps stands."""
    expected = torch.tensor([[-0.670820, -0.223607, 0.223607, 0.670820]])
    standardized = standardize_filters(ROW, eps=1e-12, eps_place=eps_place)
    torch.testing.assert_close(standardized, expected, atol=1e-6, rtol=0)


def test_the_unbiased_variance_shortens_filters():
    """N2: norm sqrt((N - 1) / N) = 0.866025 for N = 4."""
    norm = standardize_filters(ROW, unbiased=True).norm().item()
    assert norm == pytest.approx(0.866025, abs=1e-6)


@pytest.mark.parametrize(
    ("eps_place", "norm"),
    [
        ("floor", lambda n, var, eps: math.sqrt(max(n * var, eps))),
        ("variance", lambda n, var, eps: math.sqrt(n) * math.sqrt(var + eps)),
        ("deviation", lambda n, var, eps: math.sqrt(n) * (math.sqrt(var) + eps)),
    ],
)
@pytest.mark.parametrize("scale", [1.0, 1e-3])
def test_eps_stands_where_its_place_says(eps_place, norm, scale):
    """N2: eps under N var, added to var, added to the deviation."""
    row = ROW.double() * scale
    expected = (row - 2.5 * scale) / norm(4, 1.25 * scale**2, 1e-4)
    standardized = standardize_filters(row, eps=1e-4, eps_place=eps_place)
    torch.testing.assert_close(standardized, expected, atol=1e-12, rtol=1e-9)


def test_timms_convention_is_a_batch_normalisation_of_the_filters():
    """N2: eps added to the variance, gamma in the convolution, as timm computes it."""
    torch.manual_seed(0)
    convolution = ScaledStandardizedConv2d(
        4, 6, 3, eps=1e-5, eps_place="variance", gamma=1.7139588594436646
    )
    nn.init.uniform_(convolution.gain, 0.5, 2.0)
    scale = convolution.gain * convolution.gamma * convolution.fan_in**-0.5
    expected = nn.functional.batch_norm(
        convolution.weight.reshape(1, 6, -1), None, None, weight=scale, training=True, eps=1e-5
    )
    torch.testing.assert_close(convolution.effective_weight(), expected.view(6, 4, 3, 3))


def test_gamma_scales_the_effective_weight_and_is_no_parameter():
    """N2: the gain of the nonlinearity may stand in the convolution."""
    convolution = ScaledStandardizedConv2d(4, 6, 3, gamma=2.0)
    norms = convolution.effective_weight().flatten(1).norm(dim=1)
    torch.testing.assert_close(norms, torch.full((6,), 2.0))
    assert {name for name, _ in convolution.named_parameters()} == {"weight", "bias", "gain"}


def test_filters_of_one_weight_are_zero_with_a_warning_and_refused_where_unbiased():
    """N2: fan-in 1."""
    with pytest.warns(UserWarning, match="fan-in 1"):
        convolution = ScaledStandardizedConv2d(4, 4, 1, groups=4)
    assert convolution.effective_weight().eq(0).all()
    with pytest.raises(ValueError, match="no unbiased variance"):
        ScaledStandardizedConv2d(4, 4, 1, groups=4, unbiased=True)


def test_an_unknown_place_of_eps_lists_all():
    with pytest.raises(ValueError, match="floor, variance, deviation; got 'mean'"):
        ScaledStandardizedConv2d(2, 2, 1, eps_place="mean")


def test_only_other_conventions_are_shown_in_the_printed_model():
    assert "eps" not in repr(ScaledStandardizedConv2d(2, 2, 3))
    shown = repr(ScaledStandardizedConv2d(2, 2, 3, eps=1e-5, eps_place="variance", gamma=1.7))
    assert "eps=1e-05, eps_place='variance', gamma=1.7" in shown


def test_the_recorder_reads_the_effective_weight_beside_the_stored_one():
    """B4, D3: as a signal of its own."""
    model = nn.Sequential(ScaledStandardizedConv2d(3, 8, 3), nn.Flatten(), nn.Linear(8 * 36, 2))
    recording = sppkit.probe(model, input_size=(3, 8, 8), batch_size=4, seeds=1)
    rows = recording.table().query("layer == '0' and tensor == 'weight'").set_index("signal")
    effective = rows.loc["effective weight"]
    assert effective["mean_unit_wise_norm"] == pytest.approx(1.0, rel=1e-5)
    assert effective["average_channel_squared_mean"] == pytest.approx(0.0, abs=1e-12)
    assert rows.loc["weight", "mean_unit_wise_norm"] != pytest.approx(1.0, rel=1e-3)
