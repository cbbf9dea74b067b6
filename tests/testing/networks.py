"""Small networks, healthy and sick, whose fate can be worked out on paper."""

from torch import nn

WIDTH = 32


def chain(gain):
    """He-initialised layers with ReLU, whose weights are multiplied: each layer gives gain²."""
    layers = []
    for _ in range(12):
        linear = nn.Linear(WIDTH, WIDTH, bias=False)
        nn.init.normal_(linear.weight, std=gain * (2 / WIDTH) ** 0.5)
        layers += [linear, nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(WIDTH, 10))


def healthy():
    return chain(1.0)


def exploding():
    return chain(4.0)
