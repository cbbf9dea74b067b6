"""What is measured of the output of a layer, against numpy's definitions."""

import numpy as np
import pytest
import torch
from torch import nn

from sppkit.init.sequential import average_channel_variance, second_moment, variance

CASES = [
    (nn.Conv2d(3, 4, 1), (6, 4, 5, 5), 1),
    (nn.ConvTranspose1d(3, 4, 1), (6, 4, 9), 1),
    (nn.Linear(3, 4), (6, 4), 1),
    (nn.Linear(3, 4), (6, 7, 4), 2),
]


@pytest.mark.parametrize(("module", "shape", "axis"), CASES, ids=str)
def test_statistics_are_numpys(module, shape, axis):
    generator = torch.Generator().manual_seed(0)
    output = torch.randn(shape, generator=generator) * 3 + 10 * torch.randn(4).view(
        *(4 if a == axis else 1 for a in range(len(shape)))
    )
    channels = np.moveaxis(output.double().numpy(), axis, 0).reshape(4, -1)
    assert variance(module, output) == pytest.approx(channels.var())
    assert second_moment(module, output) == pytest.approx((channels**2).mean())
    assert average_channel_variance(module, output) == pytest.approx(channels.var(1).mean())
