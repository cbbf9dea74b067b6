import numpy as np
import pytest
import torch
from torch.nn import functional

from sppkit.models.layers import (
    DataDependentBias2d,
    EUNConv2d,
    HadamardTransform,
    hadamard_matrix,
    partial_identity_,
)
from sppkit.probing import batch_dependence

# -- EUNConv


def test_the_output_does_not_change_under_a_change_of_scale_and_offset_e1():
    """E1: y(5 x - 11) = y(x) to 1e-4."""
    torch.manual_seed(0)
    convolution = EUNConv2d(8, 16, 3, padding=1)
    x = torch.randn(4, 8, 9, 9)
    torch.testing.assert_close(convolution(5 * x - 11), convolution(x), atol=1e-4, rtol=0)


def test_the_input_is_standardised_by_two_numbers_e1():
    """E1: one biased mean and variance over samples, channels and positions; eps in the root."""
    convolution = EUNConv2d(3, 4, 3, 2, 1, eps=0.5)
    with torch.no_grad():
        convolution.bias.copy_(torch.arange(4.0))
    x = torch.randn(2, 3, 7, 7) * torch.tensor([1.0, 5.0, 0.1]).view(3, 1, 1) + 2.0
    values = x.double().numpy()
    standardized = (values - values.mean()) / np.sqrt(values.var(ddof=0) + 0.5)
    expected = functional.conv2d(
        torch.from_numpy(standardized).float(), convolution.weight, convolution.bias, 2, 1
    )
    torch.testing.assert_close(convolution(x), expected, atol=1e-5, rtol=1e-5)


def test_gradients_flow_through_the_two_numbers_e1():
    """E1: the statistics are part of the graph, so a shift of x has gradient 0."""
    convolution = EUNConv2d(2, 3, 3).double()
    x = torch.randn(2, 2, 5, 5, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(convolution, (x,))
    (gradient,) = torch.autograd.grad(convolution(x).square().sum(), x)
    assert gradient.sum().abs().item() < 1e-9 * gradient.abs().sum().item()


def test_the_second_moment_of_the_output_is_two_e2():
    """E2: He's weights double the second moment 1 of what is standardised; means are 0."""
    moments, means = [], []
    for seed in range(4):
        torch.manual_seed(seed)
        y = EUNConv2d(64, 128, 3, padding=1, padding_mode="circular")(torch.randn(4, 64, 16, 16))
        moments.append(y.square().mean().item())
        means.append(y.mean(dim=(0, 2, 3)).square().mean().item())
    assert np.mean(moments) == pytest.approx(2.0, rel=0.02)
    assert np.mean(means) < 0.01


def test_a_prediction_depends_on_the_batch_in_evaluation_too_e7():
    """E7: f(x)[:1] against f(x[:1]) is not 0."""
    torch.manual_seed(0)
    convolution = EUNConv2d(3, 4, 3).eval()
    assert batch_dependence(convolution, torch.randn(4, 3, 8, 8)) > 0.01


def test_eps_is_shown():
    assert "3, 4, kernel_size=(3, 3), stride=(1, 1), eps=1e-05" in repr(EUNConv2d(3, 4, 3))


# -- RescaleNet's bias


def test_the_bias_takes_the_mean_of_the_first_eight_batches_e4():
    """E4: 8 calls measure a running mean and damp the bias by 0.01; the 9th uses both whole."""
    torch.manual_seed(0)
    layer = DataDependentBias2d(3)
    with torch.no_grad():
        layer.bias.fill_(2.0)
    batches = [torch.randn(4, 3, 5, 5) + call for call in range(9)]
    means = torch.stack([batch.mean(dim=(0, 2, 3)) for batch in batches])
    for call, batch in enumerate(batches[:8], start=1):
        expected = batch - means[:call].mean(0).view(-1, 1, 1) + 0.02
        torch.testing.assert_close(layer(batch), expected, atol=1e-5, rtol=1e-5)
    last = batches[8] - means[:8].mean(0).view(-1, 1, 1) + 2.0
    torch.testing.assert_close(layer(batches[8]), last, atol=1e-5, rtol=1e-5)
    assert layer.call.item() == 8


def test_evaluating_leaves_the_bias_as_it_was_e4():
    """E4: unlike the authors' layer, ours measures in training mode only."""
    layer = DataDependentBias2d(3).eval()
    x = torch.randn(4, 3, 5, 5) + 7.0
    assert torch.equal(layer(x), x)
    assert layer.call.item() == 0


def test_the_stored_mean_takes_no_gradient():
    layer = DataDependentBias2d(3)
    x = torch.randn(4, 3, 5, 5, requires_grad=True)
    layer(x).sum().backward()
    assert torch.equal(x.grad, torch.ones_like(x))
    torch.testing.assert_close(layer.bias.grad, torch.full((3,), 0.01 * 100))


# -- Hadamard and identity


@pytest.mark.parametrize("size", [1, 2, 8, 64])
def test_hadamard_matrices_over_the_root_of_their_size_are_orthogonal_e4(size):
    """E4: H / sqrt(n) is orthogonal, and symmetric."""
    matrix = hadamard_matrix(size)
    torch.testing.assert_close(matrix @ matrix.T, torch.eye(size), atol=1e-6, rtol=0)
    assert torch.equal(matrix, matrix.T)
    assert (matrix.abs() - size**-0.5).abs().max().item() < 1e-7


def test_a_hadamard_matrix_of_another_size_is_refused():
    with pytest.raises(ValueError, match="power of two rows; got 12"):
        hadamard_matrix(12)


def test_the_transform_mixes_channels_and_keeps_norms():
    transform = HadamardTransform(16)
    assert not list(transform.parameters())
    x = torch.randn(2, 16, 3, 4)
    y = transform(x)
    expected = (x.permute(0, 2, 3, 1) @ hadamard_matrix(16)).permute(0, 3, 1, 2)
    torch.testing.assert_close(y, expected)
    torch.testing.assert_close(y.norm(dim=1), x.norm(dim=1))


@pytest.mark.parametrize(("outputs", "inputs"), [(3, 5), (5, 3), (4, 4)])
def test_a_partial_identity_passes_the_first_channels_e4(outputs, inputs):
    """E4: every weight of the initialisation is 0 or 1."""
    weight = partial_identity_(torch.randn(outputs, inputs, 1, 1))
    x = torch.randn(1, inputs, 2, 2)
    y = functional.conv2d(x, weight)
    shared = min(inputs, outputs)
    assert torch.equal(y[:, :shared], x[:, :shared])
    assert not y[:, shared:].any()


def test_a_partial_identity_of_a_3x3_is_refused():
    with pytest.raises(ValueError, match=r"1x1 convolution.*got \(4, 4, 3, 3\)"):
        partial_identity_(torch.randn(4, 4, 3, 3))
