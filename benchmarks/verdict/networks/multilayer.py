"""Plain fully connected networks."""

from torch import Tensor, nn

from benchmarks.verdict.networks.parts import activation, initialise, normalisation


class FullyConnectedBlock(nn.Module):
    """A linear layer, a normalisation and a nonlinearity, in the order given."""

    def __init__(
        self, inputs: int, outputs: int, nonlinearity: str, norm: str, norm_last: bool, drop: float
    ) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs)
        self.norm = normalisation(norm, outputs, spatial=False)
        self.activation = activation(nonlinearity)
        self.drop = nn.Dropout(drop)
        self.norm_last = norm_last

    def forward(self, x: Tensor) -> Tensor:
        x = self.linear(x)
        x = self.norm(self.activation(x)) if self.norm_last else self.activation(self.norm(x))
        return self.drop(x)


class MultilayerPerceptron(nn.Module):
    """Flattened pixels, hidden blocks of the given widths, a linear head."""

    def __init__(
        self, widths: list[int], nonlinearity: str, norm: str, norm_last: bool, drop: float
    ) -> None:
        super().__init__()
        self.blocks = nn.Sequential(
            *(
                FullyConnectedBlock(inputs, outputs, nonlinearity, norm, norm_last, drop)
                for inputs, outputs in zip([64, *widths], widths, strict=False)
            )
        )
        self.head = nn.Linear(widths[-1], 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.blocks(x.flatten(1)))


def multilayer_perceptron(
    depth: int = 8,
    width: int = 64,
    nonlinearity: str = "relu",
    gain: float | None = 1.0,
    norm: str = "none",
    norm_last: bool = False,
    drop: float = 0.0,
    distribution: str = "normal",
    bottleneck: int | None = None,
) -> nn.Module:
    """Build a multilayer perceptron; a bottleneck is the width of its middle layer."""
    widths = [width] * depth
    if bottleneck is not None:
        widths[depth // 2] = bottleneck
    model = MultilayerPerceptron(widths, nonlinearity, norm, norm_last, drop)
    initialise(model, nonlinearity, gain, distribution)
    return model
