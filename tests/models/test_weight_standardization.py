import pytest
import torch

from sppkit.models.layers import WeightStandardizedConv2d


@pytest.mark.parametrize(("unbiased", "norm"), [(False, 27**0.5), (True, 26**0.5)])
def test_filters_have_mean_zero_and_the_norm_of_their_number_of_weights(unbiased, norm):
    """D11: weight standardisation has no 1 / sqrt(fan-in)."""
    convolution = WeightStandardizedConv2d(3, 5, 3, unbiased=unbiased, eps=0.0)
    filters = convolution.effective_weight().flatten(1)
    torch.testing.assert_close(filters.mean(1), torch.zeros(5), atol=1e-6, rtol=0)
    torch.testing.assert_close(filters.norm(dim=1), torch.full((5,), norm))


def test_the_output_is_the_convolution_with_the_effective_weight():
    convolution = WeightStandardizedConv2d(4, 6, 3, 2, 1, groups=2)
    x = torch.randn(2, 4, 7, 7)
    expected = torch.nn.functional.conv2d(
        x, convolution.effective_weight(), convolution.bias, 2, 1, groups=2
    )
    torch.testing.assert_close(convolution(x), expected)


def test_eps_is_added_to_the_deviation():
    convolution = WeightStandardizedConv2d(1, 1, (1, 4), eps=0.5)
    with torch.no_grad():
        convolution.weight.copy_(torch.tensor([1.0, 2.0, 3.0, 4.0]).view(1, 1, 1, 4))
    expected = torch.tensor([-1.5, -0.5, 0.5, 1.5]) / (1.25**0.5 + 0.5)
    torch.testing.assert_close(convolution.effective_weight().flatten(), expected)


def test_filters_of_one_weight_have_no_unbiased_deviation():
    with pytest.raises(ValueError, match="no unbiased deviation"):
        WeightStandardizedConv2d(4, 4, 1, groups=4, unbiased=True)
