"""EfficientNet-B0 with its normalisation, and five ways to take that out, none of which trains.

    sppkit check examples/efficientnet.py:with_batch_norm
    sppkit check examples/efficientnet.py:without_normalization --try-fix

Architecture: Tan, Le, 2019, arXiv 1905.11946. The sick variants are mistakes that were made in
earnest, with the average channel variance that they leave of a 32 x 32 picture:

- `without_normalization`: batch normalisation removed, initialisation by fan-out kept (1e-28);
- `with_dynamic_tanh`: tanh(a x) in its place, as for transformers, weights not adapted (1e-41);
- `standardized_without_fan_in`: weights standardised, and not divided by the root of the fan-in;
- `standardized_selu`: the same with SELU, which cannot hold against it either;
- `unit_weights`: weights of unit variance, whose scaling is computed and then not used.
"""

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

INPUT_SIZE = (3, 32, 32)

# expansion, channels, repeats, stride, kernel size
STAGES = (
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)


class Convolution(nn.Conv2d):
    """A convolution that keeps the size of the picture, initialised by fan-out without groups."""

    def __init__(
        self, channels: int, outputs: int, size: int = 1, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__(channels, outputs, size, stride, size // 2, groups=groups)
        nn.init.normal_(self.weight, std=(2 / (size**2 * outputs)) ** 0.5)
        assert self.bias is not None
        nn.init.zeros_(self.bias)


class StandardizedConvolution(Convolution):
    """Each filter standardised to mean 0 and variance 1, whatever its fan-in."""

    def forward(self, x: Tensor) -> Tensor:
        """Convolve with the standardised weights."""
        deviation, mean = torch.std_mean(self.weight, (1, 2, 3), keepdim=True, correction=0)
        weight = (self.weight - mean) / (deviation + 1e-6)
        return conv2d(x, weight, self.bias, self.stride, self.padding, groups=self.groups)


class UnitConvolution(Convolution):
    """Weights of unit variance; what should scale them by the fan-in never reaches the picture."""

    def __init__(self, *args: int, **kwargs: int) -> None:
        super().__init__(*args, **kwargs)
        nn.init.normal_(self.weight)


class DynamicTanh(nn.Module):
    """gain tanh(a x) + bias: Zhu et al., 2025, arXiv 2503.10622."""

    def __init__(self, channels: int, a: float = 0.5) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.tensor(a))
        self.gain = nn.Parameter(torch.ones(channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Squash."""
        return self.gain * torch.tanh(self.a * x) + self.bias


@dataclass(frozen=True)
class Parts:
    """What the variants differ in."""

    convolution: type[Convolution] = Convolution
    normalization: Callable[[int], nn.Module] = nn.BatchNorm2d
    nonlinearity: Callable[[], nn.Module] = nn.SiLU


class SqueezeExcite(nn.Module):
    """Scale channels by a gate that sees their means."""

    def __init__(self, channels: int, squeezed: int, parts: Parts) -> None:
        super().__init__()
        self.reduce = parts.convolution(channels, squeezed)
        self.nonlinearity = parts.nonlinearity()
        self.expand = parts.convolution(squeezed, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Gate."""
        gate = self.expand(self.nonlinearity(self.reduce(x.mean((2, 3), keepdim=True))))
        return x * torch.sigmoid(gate)


class Block(nn.Module):
    """Expand, convolve each channel, gate, project; with a skip path where the sizes agree."""

    def __init__(
        self, channels: int, outputs: int, expansion: int, stride: int, size: int, parts: Parts
    ) -> None:
        super().__init__()
        inner = channels * expansion
        layers: list[nn.Module] = []
        if expansion > 1:
            layers += layer(channels, inner, parts)
        layers += layer(inner, inner, parts, size=size, stride=stride, groups=inner)
        layers.append(SqueezeExcite(inner, max(1, channels // 4), parts))
        layers += [parts.convolution(inner, outputs), parts.normalization(outputs)]
        self.branch = nn.Sequential(*layers)
        self.skips = stride == 1 and channels == outputs

    def forward(self, x: Tensor) -> Tensor:
        """Add the branch, or replace by it."""
        return x + self.branch(x) if self.skips else self.branch(x)


def layer(channels: int, outputs: int, parts: Parts, **shape: int) -> Iterator[nn.Module]:
    """Yield a convolution with what follows it."""
    yield parts.convolution(channels, outputs, **shape)
    yield parts.normalization(outputs)
    yield parts.nonlinearity()


def build(parts: Parts, classes: int = 100) -> nn.Sequential:
    """Put EfficientNet-B0 together."""
    blocks, channels = [], 32
    for expansion, outputs, repeats, stride, size in STAGES:
        for repeat in range(repeats):
            step = 1 if repeat else stride
            blocks.append(Block(channels, outputs, expansion, step, size, parts))
            channels = outputs
    return nn.Sequential(
        *layer(3, 32, parts, size=3, stride=2),
        *blocks,
        *layer(channels, 1280, parts),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(1280, classes),
    )


def _none(channels: int) -> nn.Module:
    return nn.Identity()


with_batch_norm = functools.partial(build, Parts())
without_normalization = functools.partial(build, Parts(normalization=_none))
with_dynamic_tanh = functools.partial(build, Parts(normalization=DynamicTanh))
standardized_without_fan_in = functools.partial(
    build, Parts(StandardizedConvolution, normalization=_none)
)
standardized_selu = functools.partial(build, Parts(StandardizedConvolution, _none, nn.SELU))
unit_weights = functools.partial(build, Parts(UnitConvolution, _none))
