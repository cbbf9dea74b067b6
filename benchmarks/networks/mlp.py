"""A deep and narrow perceptron: hundreds of small tensors, where the cost per hook shows."""

from torch import nn


def mlp(
    *, depth: int = 100, width: int = 64, classes: int = 10, in_place: bool = True
) -> nn.Module:
    """Build `depth` times linear and tanh, and a classifier; (N, width) to (N, classes).

    Weights are orthogonal, so that neither signals nor gradients vanish over the depth. There is
    no in-place operation in either form.
    """
    layers: list[nn.Module] = []
    for _ in range(depth):
        layers += [nn.Linear(width, width), nn.Tanh()]
    model = nn.Sequential(*layers, nn.Linear(width, classes))
    for layer in model:
        if isinstance(layer, nn.Linear):
            nn.init.orthogonal_(layer.weight)
            nn.init.zeros_(layer.bias)
    return model
