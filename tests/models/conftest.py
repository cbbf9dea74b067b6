"""Read block statistics with plain hooks: an oracle that shares no code with the recorder."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor, nn


@dataclass
class BlockStatistics:
    """Means over seeds, one value per block, in order of execution."""

    average_channel_variance: np.ndarray
    average_channel_squared_mean: np.ndarray
    residual_average_channel_variance: np.ndarray


def _reader(rows: list[tuple[float, float]]) -> Callable[[nn.Module, object, Tensor], None]:
    def read(module: nn.Module, inputs: object, output: Tensor) -> None:
        variance, mean = torch.var_mean(output.double(), dim=(0, 2, 3), correction=0)
        rows.append((variance.mean().item(), mean.square().mean().item()))

    return read


def _read_once(network: nn.Module, x: Tensor) -> np.ndarray:
    outputs: list[tuple[float, float]] = []
    residuals: list[tuple[float, float]] = []
    for stage in network.stages:
        for block in stage:
            block.register_forward_hook(_reader(outputs))
            block.branch.register_forward_hook(_reader(residuals))
    with torch.no_grad():
        network(x)
    variance, squared_mean = zip(*outputs, strict=True)
    return np.array([variance, squared_mean, [variance for variance, _ in residuals]])


@pytest.fixture
def read_blocks():
    """Build with seeds 0, 1, ..., feed gaussian noise, and return mean `BlockStatistics`."""

    def read(build: Callable[[], nn.Module], *, size, batch=8, seeds=4) -> BlockStatistics:
        readings = []
        for seed in range(seeds):
            torch.manual_seed(seed)
            readings.append(_read_once(build(), torch.randn(batch, *size)))
        return BlockStatistics(*np.mean(readings, axis=0))

    return read


def assert_follows(measured, ladder):
    """Compare the variances of blocks and branches with those of theory."""
    np.testing.assert_allclose(
        measured.average_channel_variance, ladder.average_channel_variance, rtol=0.05
    )
    np.testing.assert_allclose(
        measured.residual_average_channel_variance,
        ladder.residual_average_channel_variance,
        rtol=0.05,
    )
