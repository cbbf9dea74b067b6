"""Residual networks: pre- and post-activation, normaliser-free, Fixup, SkipInit, ReZero."""

import math

import torch
from torch import Tensor, nn

from benchmarks.verdict.networks.parts import (
    GlobalPool,
    Scale,
    StandardisedConv,
    activation,
    draw,
    initialise,
    normalisation,
)


class PostActivationBlock(nn.Module):
    """relu(skip(x) + gain * branch(x)), He et al. 2015."""

    def __init__(
        self, inputs: int, outputs: int, stride: int, nonlinearity: str, norm: str,
        groups: int, residual_gain: Scale, keep_skip: bool,
    ) -> None:  # fmt: skip
        super().__init__()
        self.branch = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, groups=groups if inputs > 1 else 1),
            normalisation(norm, outputs),
            activation(nonlinearity),
            nn.Conv2d(outputs, outputs, 3, 1, 1, groups=groups),
            normalisation(norm, outputs),
        )
        self.residual_gain = residual_gain
        self.keep_skip = keep_skip
        changes = inputs != outputs or stride != 1
        self.shortcut: nn.Module = nn.Identity()
        if changes and keep_skip:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride), normalisation(norm, outputs)
            )
        self.activation = activation(nonlinearity)

    def forward(self, x: Tensor) -> Tensor:
        out = self.residual_gain(self.branch(x))
        return self.activation(self.shortcut(x) + out if self.keep_skip else out)


class PreActivationBlock(nn.Module):
    """skip(x) + gain * branch(x), where the branch begins with norm and nonlinearity."""

    def __init__(
        self, inputs: int, outputs: int, stride: int, nonlinearity: str, norm: str,
        groups: int, residual_gain: Scale, keep_skip: bool,
    ) -> None:  # fmt: skip
        super().__init__()
        self.branch = nn.Sequential(
            normalisation(norm, inputs),
            activation(nonlinearity),
            nn.Conv2d(inputs, outputs, 3, stride, 1, groups=groups if inputs > 1 else 1),
            normalisation(norm, outputs),
            activation(nonlinearity),
            nn.Conv2d(outputs, outputs, 3, 1, 1, groups=groups),
        )
        self.residual_gain = residual_gain
        self.keep_skip = keep_skip
        changes = inputs != outputs or stride != 1
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride) if changes else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        out = self.residual_gain(self.branch(x))
        return self.shortcut(x) + out if self.keep_skip else out


class ResidualNetwork(nn.Module):
    """A stem, residual blocks in two stages, an end, global mean, linear head."""

    def __init__(self, stem: nn.Module, blocks: list[nn.Module], end: nn.Module, width: int):
        super().__init__()
        self.stem = stem
        self.blocks = nn.Sequential(*blocks)
        self.end = end
        self.pool = GlobalPool()
        self.head = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.pool(self.end(self.blocks(self.stem(x)))))


def residual(
    depths: tuple[int, ...] = (3, 3),
    width: int = 12,
    order: str = "post",
    nonlinearity: str = "relu",
    norm: str = "batch",
    gain: float | None = 1.0,
    residual_gain: float = 1.0,
    learned_gain: bool = False,
    keep_skip: bool = True,
    zero_gamma: bool = False,
    groups: int = 1,
    end_norm: bool = True,
) -> nn.Module:
    """Build a residual network of two convolutions per block; stages after the first halve it.

    Args:
        order: "pre" or "post" activation.
        residual_gain, learned_gain: factor on each branch, and whether it is a parameter
            (SkipInit: De, Smith 2020, arXiv 2002.10444, starts it at zero).
        zero_gamma: start the last normalisation of each branch at zero ("post" only).
        end_norm: end pre-activation networks with norm and nonlinearity.
    """
    kind = PostActivationBlock if order == "post" else PreActivationBlock
    blocks, inputs = [], width
    for stage, depth in enumerate(depths):
        for index in range(depth):
            stride, outputs = (2 if stage and not index else 1), width * 2**stage
            scale = Scale(residual_gain, learned_gain)
            blocks.append(
                kind(inputs, outputs, stride, nonlinearity, norm, groups, scale, keep_skip)
            )
            inputs = outputs
    stem: nn.Module = nn.Conv2d(1, width, 3, padding=1)
    if order == "post":
        stem = nn.Sequential(stem, normalisation(norm, width), activation(nonlinearity))
        end: nn.Module = nn.Identity()
    else:
        end_kind = norm if end_norm else "none"
        end = nn.Sequential(normalisation(end_kind, inputs), activation(nonlinearity))
    model = ResidualNetwork(stem, blocks, end, inputs)  # type: ignore[arg-type]
    initialise(model, nonlinearity, gain)
    if zero_gamma:
        for block in model.blocks:
            nn.init.zeros_(block.branch[-1].weight)
    return model


class NormaliserFreeBlock(nn.Module):
    """x + alpha * branch(gamma * relu(x / beta)), Brock, De, Smith 2021, arXiv 2101.08692."""

    def __init__(
        self, inputs: int, outputs: int, stride: int, nonlinearity: str, gamma: float,
        alpha: float, beta: float, conv: type[nn.Conv2d], skipinit: float | None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.beta = beta
        self.first = nn.Sequential(activation(nonlinearity), Scale(gamma))
        self.branch = nn.Sequential(
            conv(inputs, outputs, 3, stride, 1),
            activation(nonlinearity),
            Scale(gamma),
            conv(outputs, outputs, 3, 1, 1),
        )
        self.residual_gain = Scale(alpha)
        self.skipinit = Scale(1.0 if skipinit is None else skipinit, skipinit is not None)
        changes = inputs != outputs or stride != 1
        self.shortcut = conv(inputs, outputs, 1, stride) if changes else None

    def forward(self, x: Tensor) -> Tensor:
        out = self.first(x / self.beta)
        skip = x if self.shortcut is None else self.shortcut(out)
        return skip + self.skipinit(self.residual_gain(self.branch(out)))


def normaliser_free(
    depths: tuple[int, ...] = (4, 4),
    width: int = 12,
    nonlinearity: str = "relu",
    alpha: float = 0.2,
    use_beta: bool = True,
    gamma: float = 1.7128585504496627,
    standardised: bool = True,
    gain: float | None = None,
    skipinit: float | None = None,
) -> nn.Module:
    """Build a normaliser-free residual network.

    Args:
        alpha: of the residual branch; the variance grows by alpha² with every block.
        use_beta: divide the input of each block by its expected deviation.
        gamma: gain of the nonlinearity; 1 leaves it out.
        standardised: use scaled weight standardisation.
        gain: gain of the weights where they are not standardised; None for torch's own.
    """
    conv = StandardisedConv if standardised else nn.Conv2d
    blocks: list[nn.Module] = []
    inputs, expected = width, 1.0
    for stage, depth in enumerate(depths):
        for index in range(depth):
            stride, outputs = (2 if stage and not index else 1), width * 2**stage
            beta = math.sqrt(expected) if use_beta else 1.0
            blocks.append(
                NormaliserFreeBlock(
                    inputs, outputs, stride, nonlinearity, gamma, alpha, beta, conv, skipinit
                )
            )
            expected = (1.0 if inputs != outputs else expected) + alpha**2
            inputs = outputs
    end = nn.Sequential(activation(nonlinearity), Scale(gamma))
    model = ResidualNetwork(conv(1, width, 3, 1, 1), blocks, end, inputs)
    if not standardised:
        initialise(model.blocks, "identity", gain)
    return model


class FixupBlock(nn.Module):
    """relu(x + scale * conv(relu(conv(x + b1) + b2) + b3) + b4), Zhang, Dauphin, Ma 2019."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.biases = nn.Parameter(torch.zeros(4))
        self.scale = nn.Parameter(torch.ones(()))
        self.first = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.second = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.inner = nn.ReLU()
        self.activation = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        b = self.biases
        out = self.second(self.inner(self.first(x + b[0]) + b[1]) + b[2])
        return self.activation(x + self.scale * out + b[3])


def fixup(
    depth: int = 8, width: int = 16, first_gain: float | None = None, second_gain: float = 0.0,
    zero_head: bool = True,
) -> nn.Module:  # fmt: skip
    """Build a Fixup network, arXiv 1901.09321, section 3.

    Args:
        first_gain: factor on He's deviation in the first convolution; by default depth ** -1/2.
        second_gain: the same in the second, which Fixup starts at zero.
        zero_head: start the head at zero.
    """
    blocks = [FixupBlock(width) for _ in range(depth)]
    stem = nn.Sequential(nn.Conv2d(1, width, 3, padding=1), nn.ReLU())
    model = ResidualNetwork(stem, list(blocks), nn.Identity(), width)
    initialise(model, "relu", 1.0)
    for block in blocks:
        draw(block.first.weight, math.sqrt(2) * (first_gain or depth**-0.5))
        draw(block.second.weight, math.sqrt(2) * second_gain)
    if zero_head:
        nn.init.zeros_(model.head.weight)
    return model


class ResidualLinearBlock(nn.Module):
    """x + gain * f(x), with f fully connected and a learned gain (ReZero: arXiv 2003.04887)."""

    def __init__(self, width: int, nonlinearity: str, norm: str, start: float, keep_skip: bool):
        super().__init__()
        self.branch = nn.Sequential(
            normalisation(norm, width, spatial=False),
            nn.Linear(width, width),
            activation(nonlinearity),
            nn.Linear(width, width),
        )
        self.residual_gain = Scale(start, learned=True)
        self.keep_skip = keep_skip

    def forward(self, x: Tensor) -> Tensor:
        out = self.residual_gain(self.branch(x))
        return x + out if self.keep_skip else out


class ResidualPerceptron(nn.Module):
    """Flattened pixels, a linear stem, residual blocks, an optional norm, a linear head."""

    def __init__(self, width: int, blocks: list[nn.Module], norm: str) -> None:
        super().__init__()
        self.stem = nn.Linear(64, width)
        self.blocks = nn.Sequential(*blocks)
        self.norm = normalisation(norm, width, spatial=False)
        self.head = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(self.blocks(self.stem(x.flatten(1)))))


def residual_perceptron(
    depth: int = 12,
    width: int = 48,
    nonlinearity: str = "relu",
    norm: str = "none",
    start: float = 0.0,
    gain: float | None = 1.0,
    keep_skip: bool = True,
    end_norm: str = "none",
) -> nn.Module:
    """Build a fully connected residual network whose learned gains begin at `start`."""
    blocks: list[nn.Module] = [
        ResidualLinearBlock(width, nonlinearity, norm, start, keep_skip) for _ in range(depth)
    ]
    model = ResidualPerceptron(width, blocks, end_norm)
    initialise(model, nonlinearity, gain)
    return model
