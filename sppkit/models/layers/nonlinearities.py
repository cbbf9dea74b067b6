"""Nonlinearities as modules, by the names of `sppkit.theory`, with and without their gain."""

from collections.abc import Callable
from functools import partial

from torch import Tensor, nn

from sppkit.theory import named_nonlinearity, nonlinearity_gain

_NONLINEARITY_MODULES: dict[str, Callable[[], nn.Module]] = {
    "identity": nn.Identity,
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "celu": nn.CELU,
    "selu": nn.SELU,
    "gelu": nn.GELU,
    "gelu_tanh": partial(nn.GELU, approximate="tanh"),
    "silu": nn.SiLU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "softplus": nn.Softplus,
    "softsign": nn.Softsign,
    "log_sigmoid": nn.LogSigmoid,
    "logsigmoid": nn.LogSigmoid,
    "hard_swish": nn.Hardswish,
    "hardswish": nn.Hardswish,
    "hard_sigmoid": nn.Hardsigmoid,
    "hardsigmoid": nn.Hardsigmoid,
    "mish": nn.Mish,
}


def make_nonlinearity(name: str) -> nn.Module:
    """Build the torch module of a nonlinearity that `sppkit.theory` knows by the same name.

    Args:
        name: a name of `sppkit.theory.NONLINEARITIES`.

    Raises:
        ValueError: an unknown name; the message lists all.
    """
    named_nonlinearity(name)
    return _NONLINEARITY_MODULES[name]()


class GainedNonlinearity(nn.Module):
    """Scale a nonlinearity to unit variance under gaussian input, gamma * g(x).

    Args:
        name: a name of `sppkit.theory.NONLINEARITIES`.
        gain: gamma; None is `sppkit.theory.nonlinearity_gain(name)`.

    References:
        Characterizing signal propagation to close the performance gap in unnormalized ResNets,
        Brock, De, Smith, 2021, arXiv 2101.08692, section 4.4.
    """

    def __init__(self, name: str, *, gain: float | None = None) -> None:
        super().__init__()
        self.nonlinearity = make_nonlinearity(name)
        self.gain = nonlinearity_gain(name) if gain is None else gain

    def forward(self, x: Tensor) -> Tensor:
        """Return gamma * g(x), of the shape of x."""
        activation: Tensor = self.gain * self.nonlinearity(x)
        return activation

    def extra_repr(self) -> str:
        """Show the gain in the printed model."""
        return f"gain={self.gain:.6g}"
