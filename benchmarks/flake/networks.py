"""The networks whose decisions are resampled: small references, and sick ones of a similar size."""

import functools
import importlib
import math
from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from sppkit.models import REFERENCES, build

TWINS = ("bn_resnet20", "nf_resnet20", "sn_resnet20", "nf_resnet26_cifar")
"""References for CIFAR that stand for their kind; the others of that size have smaller twins."""

MOST_INPUTS = 256
"""Of a small reference: a digit of 16 by 16 pixels."""

FULL_SIZE = {
    "ref:bn_resnet50": (3, 128, 128),
    "ref:nf_resnet50": (3, 128, 128),
    "timm:convnext_tiny": (3, 128, 128),
    "timm:efficientnet_b0": (3, 128, 128),
    "timm:vit_small_patch16_224": (3, 224, 224),
}


@dataclass(frozen=True)
class Candidate:
    """A network, the size of its input, and the verdict that is expected of it."""

    name: str
    build: Callable[[], nn.Module]
    input_size: tuple[int, ...]
    expected: str


def small_references() -> list[Candidate]:
    """List the bundled references for digits, and some for CIFAR, all of which train."""
    return [
        Candidate(
            reference.name, functools.partial(build, reference.name), reference.input_size, "pass"
        )
        for reference in REFERENCES
        if math.prod(reference.input_size) <= MOST_INPUTS or reference.name in TWINS
    ]


def full_size() -> list[Candidate]:
    """List five networks of full size, all of which train; timm is needed for three of them."""
    return [Candidate(name, _full_size(name), size, "pass") for name, size in FULL_SIZE.items()]


def _full_size(name: str) -> Callable[[], nn.Module]:
    library, _, own = name.partition(":")
    if library == "ref":
        return functools.partial(build, own)
    timm_networks = importlib.import_module("tests.zoo.of_timm")
    found: Callable[[], nn.Module] = timm_networks.find(own).build
    return found


def plain(gain: float, depth: int = 20, width: int = 64) -> Callable[[], nn.Module]:
    """Make a rectifier network whose standard deviations are He's times a factor."""

    def make() -> nn.Module:
        layers: list[nn.Module] = []
        for _ in range(depth):
            layer = nn.Linear(width, width)
            nn.init.normal_(layer.weight, std=gain * (2 / width) ** 0.5)
            nn.init.zeros_(layer.bias)
            layers += [layer, nn.ReLU()]
        return nn.Sequential(*layers, nn.Linear(width, 10))

    return make


def plain_networks() -> list[Candidate]:
    """List plain networks from dying over healthy to exploding."""
    expected = {0.4: "fail", 0.6: "fail", 1.0: "pass", 2.0: "fail", 3.0: "fail"}
    return [
        Candidate(f"plain, He times {gain:g}", plain(gain), (64,), verdict)
        for gain, verdict in expected.items()
    ]
