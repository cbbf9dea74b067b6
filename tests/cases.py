"""Awkward models, listed once; each is tiny and says what it is awkward for."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn
from torch.nn.utils import parametrizations
from torch.utils.checkpoint import checkpoint


class BasicBlock(nn.Module):
    """A post-activation block with in-place ReLU and `out += identity`, as torchvision's."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = None
        if stride > 1 or inputs != outputs:
            projection = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.downsample = nn.Sequential(projection, nn.BatchNorm2d(outputs))

    def forward(self, x):
        identity = x
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        if self.downsample is not None:
            identity = self.downsample(x)
        out += identity
        return self.relu(out)


class PostActivationResNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(2)
        self.layer1 = nn.Sequential(BasicBlock(8, 8), BasicBlock(8, 8))
        self.layer2 = nn.Sequential(BasicBlock(8, 16, 2), BasicBlock(16, 16))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(16, 10)

    def forward(self, x):
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer2(self.layer1(x))
        return self.fc(torch.flatten(self.avgpool(x), 1))


class FunctionalLoop(nn.Module):
    """Residual blocks written in the root, without a module of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(4, 8)
        self.layers = nn.ModuleList([nn.Linear(8, 8) for _ in range(5)])

    def forward(self, x):
        x = self.embed(x)
        for layer in self.layers:
            x = x + 0.5 * F.relu(layer(x))
        return x


class ScaledBranch(nn.Module):
    """Alpha, a learned gain, drop path and dropout between the branch and the merge."""

    def __init__(self, gain: float = 0.0) -> None:
        super().__init__()
        self.branch = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 8))
        self.gain = nn.Parameter(torch.full((8,), gain))
        self.dropout = nn.Dropout(0.1)

    def forward(self, x):
        y = self.dropout(self.gain * self.branch(x))
        keep = x.new_empty((x.shape[0], 1)).bernoulli_(0.9)
        return x + 0.2 * (y * keep)


class ScaledBranches(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(8, 8)
        self.blocks = nn.Sequential(*[ScaledBranch() for _ in range(3)])

    def forward(self, x):
        return self.blocks(self.stem(x))


class ParallelBlock(nn.Module):
    """x + attention(norm(x)) + mlp(norm(x)): three operands, one merge."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(8)
        self.attention = nn.Linear(8, 8)
        self.mlp = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8))

    def forward(self, x):
        h = self.norm(x)
        return x + self.attention(h) + self.mlp(h)


class SharedLayer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 8)

    def forward(self, x):
        return self.layer(torch.relu(self.layer(torch.relu(self.layer(x)))))


class DictOutput(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(8, 8)
        self.heads = nn.ModuleDict({"a": nn.Linear(8, 2), "b": nn.Linear(8, 3)})

    def forward(self, x):
        h = self.body(x)
        return {"logits": self.heads["a"](h), "boxes": (self.heads["b"](h), h)}


class Output(NamedTuple):
    value: torch.Tensor
    extra: torch.Tensor


@dataclass
class ModelOutput:
    loss: torch.Tensor
    hidden: Output


class DataclassOutput(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(8, 8)

    def forward(self, x):
        h = self.body(x)
        return ModelOutput(loss=h.mean(), hidden=Output(h, h * 2))


class Checkpointed(nn.Module):
    def __init__(self, reentrant: bool) -> None:
        super().__init__()
        self.first = nn.Linear(8, 8)
        self.segment = nn.Sequential(nn.Linear(8, 8), nn.ReLU(inplace=True), nn.Linear(8, 8))
        self.reentrant = reentrant

    def forward(self, x):
        return checkpoint(self.segment, self.first(x), use_reentrant=self.reentrant)


class Tokens(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(11, 8)
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(8, 11)

    def forward(self, tokens):
        return self.head(self.encoder(self.embedding(tokens)))


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(8, 6, batch_first=True)
        self.head = nn.Linear(6, 2)

    def forward(self, x):
        hidden, _ = self.lstm(x)
        return self.head(hidden[:, -1])


class DenseBlock(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Conv2d(3 + 4 * i, 4, 3, padding=1) for i in range(3)])

    def forward(self, x):
        for layer in self.layers:
            x = torch.cat([x, torch.relu(layer(x))], 1)
        return x


class Counting(nn.Module):
    """Python state, a buffer and a non-persistent buffer that every forward changes."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 8)
        self.calls = 0
        self.register_buffer("seen", torch.zeros(()))
        self.register_buffer("latest", torch.zeros(8), persistent=False)

    def forward(self, x):
        self.calls += 1
        self.seen += len(x)
        self.latest = x.mean(0).detach()
        return self.layer(x)


def weight_normed() -> nn.Module:
    return nn.Sequential(
        parametrizations.weight_norm(nn.Linear(8, 8)),
        nn.Tanh(),
        parametrizations.spectral_norm(nn.Linear(8, 8)),
    )


class Case(NamedTuple):
    name: str
    build: Callable[[], nn.Module]
    inputs: Callable[[], tuple[torch.Tensor, ...]]


def _images() -> tuple[torch.Tensor, ...]:
    return (torch.randn(4, 3, 16, 16),)


def _vectors() -> tuple[torch.Tensor, ...]:
    return (torch.randn(6, 8),)


def _sequences() -> tuple[torch.Tensor, ...]:
    return (torch.randn(3, 5, 8),)


def _in_place_chain() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Dropout(0.5)
    )


CASES = (
    Case("in-place chain", _in_place_chain, _images),
    Case("post-activation ResNet", PostActivationResNet, _images),
    Case("functional loop", FunctionalLoop, lambda: (torch.randn(6, 4),)),
    Case("scaled branches", ScaledBranches, _vectors),
    Case("parallel block", ParallelBlock, _sequences),
    Case("shared layer", SharedLayer, _vectors),
    Case("dict output", DictOutput, _vectors),
    Case("dataclass output", DataclassOutput, _vectors),
    Case("checkpointed", lambda: Checkpointed(False), _vectors),
    Case("checkpointed, reentrant", lambda: Checkpointed(True), _vectors),
    Case("tokens", Tokens, lambda: (torch.randint(11, (3, 5)),)),
    Case("recurrent", Recurrent, _sequences),
    Case("dense block", DenseBlock, _images),
    Case("counting", Counting, _vectors),
    Case("parametrized", weight_normed, _vectors),
    Case("a single layer", lambda: nn.Linear(8, 3), _vectors),
    Case("no parameters", lambda: nn.Sequential(nn.ReLU(), nn.Softmax(-1)), _vectors),
    Case("frozen", lambda: nn.Linear(8, 3).requires_grad_(False), _vectors),
    Case("float64", lambda: nn.Linear(8, 3).double(), lambda: (torch.randn(6, 8).double(),)),
    Case("one sample", nn.Identity, lambda: (torch.randn(1, 3, 1, 1),)),
)


def loss_of(output) -> torch.Tensor | None:
    """Sum the squares of every output that has a gradient."""
    from sppkit.capture.calls.places import tensors_in

    parts = [t.pow(2).sum() for _, t in tensors_in(output) if t.requires_grad]
    return sum(parts[1:], parts[0]) if parts else None
