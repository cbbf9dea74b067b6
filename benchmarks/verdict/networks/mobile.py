"""Modern convolutional blocks: ConvNeXt, MBConv with squeeze-and-excite, ShuffleNet."""

import torch
from torch import Tensor, nn

from benchmarks.verdict.networks.parts import activation, initialise, normalisation
from benchmarks.verdict.networks.residual import ResidualNetwork


class ConvNextBlock(nn.Module):
    """x + layer_scale * pointwise(gelu(pointwise(norm(depthwise(x))))), arXiv 2201.03545."""

    def __init__(self, width: int, norm: str, scale: float, keep_skip: bool) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.norm = normalisation(norm, width)
        self.up = nn.Conv2d(width, 4 * width, 1)
        self.activation = nn.GELU()
        self.down = nn.Conv2d(4 * width, width, 1)
        self.layer_scale = nn.Parameter(torch.full((width, 1, 1), scale))
        self.keep_skip = keep_skip

    def forward(self, x: Tensor) -> Tensor:
        out = self.down(self.activation(self.up(self.norm(self.depthwise(x)))))
        out = self.layer_scale * out
        return x + out if self.keep_skip else out


def convnext(
    depth: int = 6,
    width: int = 16,
    norm: str = "layer",
    layer_scale: float = 1e-6,
    gain: float | None = 1.0,
    keep_skip: bool = True,
    end_norm: bool = True,
) -> nn.Module:
    """Build a ConvNeXt of one stage."""
    blocks: list[nn.Module] = [
        ConvNextBlock(width, norm, layer_scale, keep_skip) for _ in range(depth)
    ]
    end = normalisation(norm if end_norm else "none", width)
    model = ResidualNetwork(nn.Conv2d(1, width, 2, stride=2), blocks, end, width)
    initialise(model, "identity", gain)
    return model


class SqueezeExcite(nn.Module):
    """x times a gate per channel, from the means over positions (Hu et al., 1709.01507)."""

    def __init__(self, width: int, bias: float, doubled: bool) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(width, max(width // 4, 4), 1)
        self.inner = nn.ReLU()
        self.expand = nn.Conv2d(max(width // 4, 4), width, 1)
        self.gate = nn.Sigmoid()
        self.bias, self.factor = bias, 2.0 if doubled else 1.0

    def forward(self, x: Tensor) -> Tensor:
        squeezed = self.inner(self.reduce(x.mean((2, 3), keepdim=True)))
        return x * self.factor * self.gate(self.expand(squeezed) + self.bias)


class InvertedResidual(nn.Module):
    """MBConv: expand, depthwise, squeeze-and-excite, project, with a skip path."""

    def __init__(
        self, width: int, norm: str, nonlinearity: str, gate_bias: float, gated: bool, skip: bool
    ) -> None:
        super().__init__()
        hidden = 3 * width
        self.expand = nn.Sequential(
            nn.Conv2d(width, hidden, 1), normalisation(norm, hidden), activation(nonlinearity)
        )
        self.depthwise = nn.Sequential(
            nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden),
            normalisation(norm, hidden),
            activation(nonlinearity),
        )
        self.excite = SqueezeExcite(hidden, gate_bias, False) if gated else nn.Identity()
        self.project = nn.Sequential(nn.Conv2d(hidden, width, 1), normalisation(norm, width))
        self.skip = skip

    def forward(self, x: Tensor) -> Tensor:
        out = self.project(self.excite(self.depthwise(self.expand(x))))
        return x + out if self.skip else out


def inverted_residual(
    depth: int = 4,
    width: int = 12,
    norm: str = "batch",
    nonlinearity: str = "silu",
    gain: float | None = 1.0,
    gate_bias: float = 0.0,
    gated: bool = True,
    keep_skip: bool = True,
) -> nn.Module:
    """Build a network of MBConv blocks (EfficientNet, arXiv 1905.11946)."""
    blocks: list[nn.Module] = [
        InvertedResidual(width, norm, nonlinearity, gate_bias, gated, keep_skip)
        for _ in range(depth)
    ]
    stem = nn.Sequential(
        nn.Conv2d(1, width, 3, 2, 1), normalisation(norm, width), activation(nonlinearity)
    )
    model = ResidualNetwork(stem, blocks, nn.Identity(), width)
    initialise(model, nonlinearity, gain)
    return model


class ShuffleBlock(nn.Module):
    """Split the channels, transform one half, concatenate, shuffle (ShuffleNet v2)."""

    def __init__(self, width: int, norm: str, nonlinearity: str) -> None:
        super().__init__()
        half = width // 2
        self.branch = nn.Sequential(
            nn.Conv2d(half, half, 1),
            normalisation(norm, half),
            activation(nonlinearity),
            nn.Conv2d(half, half, 3, padding=1, groups=half),
            normalisation(norm, half),
            nn.Conv2d(half, half, 1),
            normalisation(norm, half),
            activation(nonlinearity),
        )

    def forward(self, x: Tensor) -> Tensor:
        kept, changed = x.chunk(2, 1)
        joined = torch.stack([kept, self.branch(changed)], 2)
        return joined.flatten(1, 2)


def shuffle(
    depth: int = 6,
    width: int = 32,
    norm: str = "batch",
    nonlinearity: str = "relu",
    gain: float | None = 1.0,
) -> nn.Module:
    """Build a ShuffleNet of one stage (arXiv 1807.11164)."""
    blocks: list[nn.Module] = [ShuffleBlock(width, norm, nonlinearity) for _ in range(depth)]
    stem = nn.Sequential(nn.Conv2d(1, width, 3, 2, 1), normalisation(norm, width), nn.ReLU())
    model = ResidualNetwork(stem, blocks, nn.Identity(), width)
    initialise(model, nonlinearity, gain)
    return model
