"""Recurrent networks that read a picture pixel by pixel or row by row."""

import torch
from torch import Tensor, nn

from benchmarks.verdict.networks.parts import activation, draw


class Recurrent(nn.Module):
    """h = f(W x + U h + b), from the last state a linear head."""

    def __init__(self, inputs: int, width: int, nonlinearity: str, norm: bool) -> None:
        super().__init__()
        self.inputs = inputs
        self.read = nn.Linear(inputs, width)
        self.recur = nn.Linear(width, width, bias=False)
        self.norm = nn.LayerNorm(width) if norm else nn.Identity()
        self.activation = activation(nonlinearity)
        self.head = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        steps = x.flatten(1).unflatten(1, (-1, self.inputs)).unbind(1)
        state = self.read.weight.new_zeros(len(x), len(self.read.weight))
        for step in steps:
            state = self.activation(self.norm(self.read(step) + self.recur(state)))
        return self.head(state)


def recurrent(
    inputs: int = 8,
    width: int = 48,
    nonlinearity: str = "tanh",
    gain: float | None = 1.0,
    input_gain: float = 1.0,
    distribution: str = "orthogonal",
    norm: bool = False,
) -> nn.Module:
    """Build a recurrent network over 64 / inputs steps; `gain` is of the recurrent weights."""
    model = Recurrent(inputs, width, nonlinearity, norm)
    if gain is not None:
        draw(model.recur.weight, gain, distribution)
        draw(model.read.weight, input_gain)
        nn.init.zeros_(model.read.bias)
    return model


class GatedRecurrent(nn.Module):
    """torch's LSTM or GRU over the rows, and a linear head on the last state."""

    def __init__(self, kind: type[nn.LSTM] | type[nn.GRU], inputs: int, width: int, layers: int):
        super().__init__()
        self.inputs = inputs
        self.recurrent = kind(inputs, width, layers, batch_first=True)
        self.head = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        steps = x.flatten(1).unflatten(1, (-1, self.inputs))
        return self.head(self.recurrent(steps)[0][:, -1])


def gated_recurrent(
    kind: str = "lstm",
    inputs: int = 8,
    width: int = 32,
    layers: int = 1,
    gain: float = 1.0,
    bias: float = 0.0,
) -> nn.Module:
    """Build an LSTM or GRU; `gain` multiplies torch's weights, `bias` is added to its biases."""
    model = GatedRecurrent(nn.LSTM if kind == "lstm" else nn.GRU, inputs, width, layers)
    with torch.no_grad():
        for name, parameter in model.recurrent.named_parameters():
            parameter.add_(bias) if "bias" in name else parameter.mul_(gain)
    return model
