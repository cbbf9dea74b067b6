"""Plain convolutional networks: VGG-like, separable, grouped, with all kinds of ends."""

from torch import Tensor, nn

from benchmarks.verdict.networks.parts import GlobalPool, activation, initialise, normalisation


class ConvolutionalBlock(nn.Module):
    """A convolution, optionally split into a depthwise and a pointwise one, norm, nonlinearity."""

    def __init__(
        self, inputs: int, outputs: int, nonlinearity: str, norm: str, groups: int, separable: bool
    ) -> None:
        super().__init__()
        if separable:
            self.depthwise = nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs)
            self.conv = nn.Conv2d(inputs, outputs, 1)
        else:
            self.depthwise = nn.Identity()  # type: ignore[assignment]
            groups = groups if inputs % groups == 0 else 1
            self.conv = nn.Conv2d(inputs, outputs, 3, padding=1, groups=groups)
        self.norm = normalisation(norm, outputs)
        self.activation = activation(nonlinearity)

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.norm(self.conv(self.depthwise(x))))


class ConvolutionalNetwork(nn.Module):
    """Stages of blocks with a pooling after each but the last, global mean, linear head."""

    def __init__(self, stages: list[nn.Sequential], pool: str, end: nn.Module, features: int):
        super().__init__()
        self.stages = nn.Sequential(*stages)
        self.pool = nn.MaxPool2d(2) if pool == "max" else nn.AvgPool2d(2)
        self.end = end
        self.head = nn.Linear(features, 10)

    def forward(self, x: Tensor) -> Tensor:
        for index, stage in enumerate(self.stages):
            x = stage(x if index == 0 else self.pool(x))
        return self.head(self.end(x))


def convolutional(
    depths: tuple[int, ...] = (3, 3),
    widths: tuple[int, ...] = (16, 32),
    nonlinearity: str = "relu",
    gain: float | None = 1.0,
    norm: str = "none",
    pool: str = "max",
    groups: int = 1,
    separable: bool = False,
    ignore_groups: bool = False,
    flat: bool = True,
    distribution: str = "normal",
) -> nn.Module:
    """Build a VGG-like network.

    Args:
        depths, widths: blocks and channels of each stage.
        ignore_groups: scale weights by the fan-in of a convolution without groups (a common bug:
            the true fan-in is smaller by the number of groups).
        flat: the head sees all positions; otherwise their mean.
    """
    stages, inputs = [], 1
    for depth, width in zip(depths, widths, strict=True):
        blocks = []
        for _ in range(depth):
            blocks.append(ConvolutionalBlock(inputs, width, nonlinearity, norm, groups, separable))
            inputs = width
        stages.append(nn.Sequential(*blocks))
    side = 8 // 2 ** (len(depths) - 1)
    end, features = (nn.Flatten(), side * side * inputs) if flat else (GlobalPool(), inputs)
    model = ConvolutionalNetwork(stages, pool, end, features)
    initialise(model, nonlinearity, gain, distribution)
    if ignore_groups:
        _shrink_by_groups(model)
    return model


def _shrink_by_groups(model: nn.Module) -> None:
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            layer.weight.data.div_(layer.groups**0.5)
