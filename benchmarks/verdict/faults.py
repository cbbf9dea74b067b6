"""Faults that are put into one layer of a built network."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from benchmarks.verdict.networks.parts import Detach, MeanOverBatch, Scale


@dataclass(frozen=True)
class Injection:
    """A fault in a layer: what kind, where, and how much of it.

    Args:
        kind: a key of `CHANGES` or of `APPENDED`.
        layer: qualified name as in `named_modules`; "" for the whole network.
        amount: factor, value or probability; None for kinds that have none.
    """

    kind: str
    layer: str
    amount: float | None = None


def scale_weights(layer: nn.Module, factor: float) -> None:
    """Multiply the weights of a layer and what it contains; biases stay."""
    for parameter in layer.parameters():
        if parameter.dim() > 1:
            parameter.data.mul_(factor)


def set_bias(layer: nn.Module, value: float) -> None:
    """Set all biases of a layer."""
    nn.init.constant_(layer.bias, value)  # type: ignore[arg-type]


def set_weight(layer: nn.Module, value: float) -> None:
    """Make all weights of a layer equal, so that its units are."""
    nn.init.constant_(layer.weight, value)  # type: ignore[arg-type]


def spoil_weight(layer: nn.Module, value: float) -> None:
    """Put one value, such as NaN, into a weight."""
    layer.weight.data.view(-1)[0] = value


def freeze(layer: nn.Module, _: float | None) -> None:
    """Take a layer's parameters, and those of what it contains, out of the training."""
    layer.requires_grad_(False)


class Shift(nn.Module):
    """Addition of a constant."""

    def __init__(self, amount: float) -> None:
        super().__init__()
        self.amount = amount

    def forward(self, x: Tensor) -> Tensor:
        return x + self.amount


class Softmax(nn.Module):
    """The softmax over the last axis, which cross-entropy then takes once more."""

    def forward(self, x: Tensor) -> Tensor:
        return x.softmax(-1)


CHANGES: dict[str, Callable[[nn.Module, float], None]] = {
    "scale weights": scale_weights,
    "set bias": set_bias,
    "equal weights": set_weight,
    "spoil weight": spoil_weight,
    "freeze": freeze,
}
"""Changes of a layer's parameters."""

APPENDED: dict[str, type[nn.Module]] = {
    "detach": Detach,
    "mean over batch": MeanOverBatch,
    "dropout": nn.Dropout,
    "softmax": Softmax,
    "sigmoid": nn.Sigmoid,
    "relu": nn.ReLU,
    "scale": Scale,
    "shift": Shift,
}
"""Modules that stand behind the layer afterwards."""


def inject(model: nn.Module, injection: Injection) -> nn.Module:
    """Put a fault into a network, which is changed, and return it.

    Raises:
        KeyError: if there is no such kind.
        AttributeError: if the network has no such layer.
    """
    layer = model.get_submodule(injection.layer)
    if injection.kind in CHANGES:
        CHANGES[injection.kind](layer, injection.amount)  # type: ignore[arg-type]
        return model
    arguments = () if injection.amount is None else (injection.amount,)
    ended = nn.Sequential(layer, APPENDED[injection.kind](*arguments))
    if not injection.layer:
        return ended
    parent, _, name = injection.layer.rpartition(".")
    setattr(model.get_submodule(parent), name, ended)
    return model
