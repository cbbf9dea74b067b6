"""Networks that join branches by concatenation or gates: dense, inception, U-Net, highway."""

import torch
from torch import Tensor, nn

from benchmarks.verdict.networks.parts import (
    Detach,
    Scale,
    activation,
    initialise,
    normalisation,
)
from benchmarks.verdict.networks.residual import ResidualNetwork


class DenseLayer(nn.Module):
    """Concatenate x with a convolution of norm and nonlinearity of x (arXiv 1608.06993)."""

    def __init__(self, inputs: int, growth: int, norm: str, nonlinearity: str) -> None:
        super().__init__()
        self.norm = normalisation(norm, inputs)
        self.activation = activation(nonlinearity)
        self.conv = nn.Conv2d(inputs, growth, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.conv(self.activation(self.norm(x)))], 1)


def dense(
    depth: int = 8,
    growth: int = 6,
    norm: str = "batch",
    nonlinearity: str = "relu",
    gain: float | None = 1.0,
) -> nn.Module:
    """Build a DenseNet of one dense block."""
    width = 8
    blocks: list[nn.Module] = []
    for _ in range(depth):
        blocks.append(DenseLayer(width, growth, norm, nonlinearity))
        width += growth
    end = nn.Sequential(normalisation(norm, width), activation(nonlinearity))
    model = ResidualNetwork(nn.Conv2d(1, 8, 3, 2, 1), blocks, end, width)
    initialise(model, nonlinearity, gain)
    return model


class InceptionBlock(nn.Module):
    """Concatenate 1x1, 3x3, 5x5 and pooled branches; one of them may stop the gradient."""

    def __init__(
        self, width: int, norm: str, nonlinearity: str, scales: tuple[float, ...], detached: bool
    ) -> None:
        super().__init__()
        quarter = width // 4
        self.branches = nn.ModuleList(
            nn.Sequential(nn.Conv2d(width, quarter, size, padding=size // 2), Scale(scale))
            for size, scale in zip((1, 3, 5), scales, strict=True)
        )
        pooled = nn.Sequential(nn.AvgPool2d(3, 1, 1), nn.Conv2d(width, quarter, 1))
        self.branches.append(pooled)
        self.stop = Detach() if detached else nn.Identity()
        self.norm = normalisation(norm, width)
        self.activation = activation(nonlinearity)

    def forward(self, x: Tensor) -> Tensor:
        outputs = [branch(x) for branch in self.branches]
        outputs[0] = self.stop(outputs[0])
        return self.activation(self.norm(torch.cat(outputs, 1)))


def inception(
    depth: int = 5,
    width: int = 24,
    norm: str = "batch",
    nonlinearity: str = "relu",
    gain: float | None = 1.0,
    scales: tuple[float, ...] = (1.0, 1.0, 1.0),
    detached: bool = False,
) -> nn.Module:
    """Build a stack of Inception blocks."""
    blocks: list[nn.Module] = [
        InceptionBlock(width, norm, nonlinearity, scales, detached) for _ in range(depth)
    ]
    stem = nn.Sequential(nn.Conv2d(1, width, 3, 2, 1), activation(nonlinearity))
    model = ResidualNetwork(stem, blocks, nn.Identity(), width)
    initialise(model, nonlinearity, gain)
    return model


class HighwayBlock(nn.Module):
    """t * f(x) + (1 - t) * x with a learned gate t (Srivastava et al. 2015, 1505.00387)."""

    def __init__(self, width: int, nonlinearity: str) -> None:
        super().__init__()
        self.transform = nn.Linear(width, width)
        self.activation = activation(nonlinearity)
        self.gate = nn.Linear(width, width)
        self.sigmoid = nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        opened = self.sigmoid(self.gate(x))
        return opened * self.activation(self.transform(x)) + (1 - opened) * x


class StackedPerceptron(nn.Module):
    """Flattened pixels, a linear stem, blocks, a linear head."""

    def __init__(self, blocks: list[nn.Module], width: int, out: int) -> None:
        super().__init__()
        self.stem = nn.Linear(64, width)
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(out, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.blocks(self.stem(x.flatten(1))))


def highway(
    depth: int = 12,
    width: int = 32,
    nonlinearity: str = "tanh",
    gain: float | None = 1.0,
    gate_bias: float = -1.0,
) -> nn.Module:
    """Build a highway network whose gates begin at sigmoid(gate_bias)."""
    blocks: list[nn.Module] = [HighwayBlock(width, nonlinearity) for _ in range(depth)]
    model = StackedPerceptron(blocks, width, width)
    initialise(model, nonlinearity, gain)
    for block in blocks:
        nn.init.constant_(block.gate.bias, gate_bias)  # type: ignore[arg-type]
    return model


class GatedLinear(nn.Module):
    """a(x) * sigmoid(b(x)) (Dauphin et al. 2016, 1612.08083), or without the sigmoid."""

    def __init__(self, inputs: int, outputs: int, bilinear: bool, norm: str) -> None:
        super().__init__()
        self.value = nn.Linear(inputs, outputs)
        self.gate = nn.Linear(inputs, outputs)
        self.squash = nn.Identity() if bilinear else nn.Sigmoid()
        self.norm = normalisation(norm, outputs, spatial=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.value(x) * self.squash(self.gate(x)))


def gated_linear(
    depth: int = 8,
    width: int = 48,
    bilinear: bool = False,
    norm: str = "none",
    gain: float | None = 1.0,
) -> nn.Module:
    """Build a plain stack of gated linear units."""
    blocks: list[nn.Module] = [GatedLinear(width, width, bilinear, norm) for _ in range(depth)]
    model = StackedPerceptron(blocks, width, width)
    initialise(model, "identity", gain)
    return model


class Maxout(nn.Module):
    """The larger of two linear layers (Goodfellow et al. 2013, 1302.4389)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, 2 * width)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x).unflatten(-1, (2, -1)).amax(-2)


def maxout(depth: int = 8, width: int = 32, gain: float | None = 1.0) -> nn.Module:
    """Build a maxout network."""
    blocks: list[nn.Module] = [Maxout(width) for _ in range(depth)]
    model = StackedPerceptron(blocks, width, width)
    initialise(model, "identity", gain)
    return model


class UNet(nn.Module):
    """Two halvings, two upsamplings, concatenation with the encoder, global mean, head."""

    def __init__(self, width: int, norm: str, nonlinearity: str, keep_skip: bool) -> None:
        super().__init__()

        def block(inputs: int, outputs: int) -> nn.Sequential:
            return nn.Sequential(
                nn.Conv2d(inputs, outputs, 3, padding=1),
                normalisation(norm, outputs),
                activation(nonlinearity),
                nn.Conv2d(outputs, outputs, 3, padding=1),
                normalisation(norm, outputs),
                activation(nonlinearity),
            )

        skip = 2 if keep_skip else 1
        self.down_1, self.down_2 = block(1, width), block(width, 2 * width)
        self.middle = block(2 * width, 2 * width)
        self.up_2, self.up_1 = block(2 * width * skip, width), block(width * skip, width)
        self.pool, self.grow = nn.MaxPool2d(2), nn.Upsample(scale_factor=2)
        self.head = nn.Linear(width, 10)
        self.keep_skip = keep_skip

    def forward(self, x: Tensor) -> Tensor:
        first = self.down_1(x)
        second = self.down_2(self.pool(first))
        out = self.grow(self.middle(self.pool(second)))
        out = self.grow(self.up_2(self._join(out, second)))
        return self.head(self.up_1(self._join(out, first)).mean((2, 3)))

    def _join(self, x: Tensor, skip: Tensor) -> Tensor:
        return torch.cat([x, skip], 1) if self.keep_skip else x


def unet(
    width: int = 8,
    norm: str = "batch",
    nonlinearity: str = "relu",
    gain: float | None = 1.0,
    keep_skip: bool = True,
) -> nn.Module:
    """Build a small U-Net (arXiv 1505.04597) that classifies."""
    model = UNet(width, norm, nonlinearity, keep_skip)
    initialise(model, nonlinearity, gain)
    return model
