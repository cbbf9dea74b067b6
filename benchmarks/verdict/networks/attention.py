"""Transformers and mixers on the sixteen 2x2 patches of a picture."""

import math

import torch
import torch.nn.functional as F  # noqa: N812  (torch's own convention)
from torch import Tensor, nn

from benchmarks.verdict.networks.parts import Scale, activation, initialise, normalisation


class Patches(nn.Module):
    """Cut (N, 1, 8, 8) into 16 patches of 2x2, embed them, add learned positions."""

    def __init__(self, width: int, position: float = 0.02) -> None:
        super().__init__()
        self.embedding = nn.Linear(4, width)
        self.position = nn.Parameter(position * torch.randn(16, width))

    def forward(self, x: Tensor) -> Tensor:
        patches = F.unfold(x, 2, stride=2).transpose(1, 2)
        return self.embedding(patches) + self.position


class SelfAttention(nn.Module):
    """Multi-head softmax attention; `scale` multiplies q·k, 1/sqrt(head width) by default."""

    def __init__(self, width: int, heads: int, scale: float | None, normalise: bool) -> None:
        super().__init__()
        self.heads = heads
        self.scale = 1 / math.sqrt(width // heads) if scale is None else scale
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.output = nn.Linear(width, width)
        self.normalise = nn.LayerNorm(width // heads) if normalise else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (self._split(layer(x)) for layer in (self.query, self.key, self.value))
        q, k = self.normalise(q), self.normalise(k)
        weights = (q @ k.transpose(-1, -2) * self.scale).softmax(-1)
        return self.output((weights @ v).transpose(1, 2).flatten(2))

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)


class FeedForward(nn.Module):
    """Two linear layers; gated ones (SwiGLU) multiply two of the first kind."""

    def __init__(self, width: int, hidden: int, nonlinearity: str, gated: bool) -> None:
        super().__init__()
        self.up = nn.Linear(width, hidden)
        self.gate = nn.Linear(width, hidden) if gated else None
        self.activation = activation(nonlinearity)
        self.down = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        up = self.up(x)
        if self.gate is None:
            return self.down(self.activation(up))
        return self.down(self.activation(self.gate(x)) * up)


class TokenMixing(nn.Module):
    """A feed-forward network over the tokens instead of the channels."""

    def __init__(self, tokens: int, hidden: int, nonlinearity: str) -> None:
        super().__init__()
        self.mix = FeedForward(tokens, hidden, nonlinearity, gated=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.mix(x.transpose(1, 2)).transpose(1, 2)


class TokenBlock(nn.Module):
    """Mix tokens, then channels, each with a norm before ("pre") or after ("post") the sum."""

    def __init__(
        self, width: int, mixing: nn.Module, channels: nn.Module, norm: str, order: str,
        residual_gain: float, learned_gain: bool, keep_skip: bool,
    ) -> None:  # fmt: skip
        super().__init__()
        self.mixing, self.channels = mixing, channels
        self.norm_1 = normalisation(norm, width, spatial=False)
        self.norm_2 = normalisation(norm, width, spatial=False)
        self.gain_1 = Scale(residual_gain, learned_gain)
        self.gain_2 = Scale(residual_gain, learned_gain)
        self.order, self.keep_skip = order, keep_skip

    def forward(self, x: Tensor) -> Tensor:
        x = self._merge(x, self.mixing, self.norm_1, self.gain_1)
        return self._merge(x, self.channels, self.norm_2, self.gain_2)

    def _merge(self, x: Tensor, branch: nn.Module, norm: nn.Module, gain: nn.Module) -> Tensor:
        if self.order == "post":
            out = gain(branch(x))
            return norm(x + out if self.keep_skip else out)
        out = gain(branch(norm(x)))
        return x + out if self.keep_skip else out


class TokenNetwork(nn.Module):
    """Patches, blocks, a last norm, the mean over tokens, a linear head."""

    def __init__(self, patches: nn.Module, blocks: list[nn.Module], norm: nn.Module, width: int):
        super().__init__()
        self.patches = patches
        self.blocks = nn.Sequential(*blocks)
        self.norm = norm
        self.head = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(self.blocks(self.patches(x))).mean(1))


def transformer(
    depth: int = 4,
    width: int = 32,
    heads: int = 4,
    norm: str = "layer",
    order: str = "pre",
    end_norm: bool = True,
    scale: float | None = None,
    query_key_gain: float = 1.0,
    normalise_queries: bool = False,
    nonlinearity: str = "gelu",
    gated: bool = False,
    gain: float | None = 1.0,
    embedding_gain: float = 1.0,
    residual_gain: float = 1.0,
    learned_gain: bool = False,
    keep_skip: bool = True,
) -> nn.Module:
    """Build a vision transformer; all weights have variance gain²/fan-in."""
    blocks: list[nn.Module] = [
        TokenBlock(
            width,
            SelfAttention(width, heads, scale, normalise_queries),
            FeedForward(width, 2 * width, nonlinearity, gated),
            norm, order, residual_gain, learned_gain, keep_skip,
        )
        for _ in range(depth)
    ]  # fmt: skip
    last = normalisation(norm if end_norm and order == "pre" else "none", width, spatial=False)
    model = TokenNetwork(Patches(width), blocks, last, width)
    initialise(model, "identity", gain)
    model.patches.embedding.weight.data.mul_(embedding_gain)
    for layer in model.modules():
        if isinstance(layer, SelfAttention):
            layer.query.weight.data.mul_(query_key_gain)
            layer.key.weight.data.mul_(query_key_gain)
    return model


def mixer(
    depth: int = 4,
    width: int = 32,
    norm: str = "layer",
    nonlinearity: str = "gelu",
    gain: float | None = 1.0,
    residual_gain: float = 1.0,
    learned_gain: bool = False,
    keep_skip: bool = True,
    end_norm: bool = True,
) -> nn.Module:
    """Build an MLP-Mixer (Tolstikhin et al. 2021, arXiv 2105.01601)."""
    blocks: list[nn.Module] = [
        TokenBlock(
            width,
            TokenMixing(16, 32, nonlinearity),
            FeedForward(width, 2 * width, nonlinearity, gated=False),
            norm, "pre", residual_gain, learned_gain, keep_skip,
        )
        for _ in range(depth)
    ]  # fmt: skip
    last = normalisation(norm if end_norm else "none", width, spatial=False)
    model = TokenNetwork(Patches(width), blocks, last, width)
    initialise(model, nonlinearity, gain)
    return model


class SpatialGating(nn.Module):
    """u * (W v + 1): half of the channels gated by a mix of the other's tokens (gMLP)."""

    def __init__(self, width: int, hidden: int, norm: str, gate_bias: float, gate_gain: float):
        super().__init__()
        self.norm = normalisation(norm, width, spatial=False)
        self.up = nn.Linear(width, 2 * hidden)
        self.activation = nn.GELU()
        self.gate_norm = normalisation(norm, hidden, spatial=False)
        self.gate = nn.Linear(16, 16)
        self.down = nn.Linear(hidden, width)
        self.gate_bias, self.gate_gain = gate_bias, gate_gain

    def forward(self, x: Tensor) -> Tensor:
        u, v = self.activation(self.up(self.norm(x))).chunk(2, -1)
        v = self.gate(self.gate_norm(v).transpose(1, 2)).transpose(1, 2)
        return x + self.down(u * v)


def spatial_gating(
    depth: int = 6,
    width: int = 32,
    norm: str = "layer",
    gain: float | None = 1.0,
    gate_bias: float = 1.0,
    gate_gain: float = 0.01,
) -> nn.Module:
    """Build a gMLP (Liu et al. 2021, arXiv 2105.08050): gates begin at `gate_bias`."""
    blocks: list[nn.Module] = [
        SpatialGating(width, 32, norm, gate_bias, gate_gain) for _ in range(depth)
    ]
    last = normalisation(norm, width, spatial=False)
    model = TokenNetwork(Patches(width), blocks, last, width)
    initialise(model, "identity", gain)
    for block in blocks:
        block.gate.weight.data.mul_(gate_gain)
        nn.init.constant_(block.gate.bias, gate_bias)  # type: ignore[arg-type]
    return model
