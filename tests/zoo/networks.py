"""What the zoo is made of: how to build each network at random, and on what to run it."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

LARGEST = 150_000_000  # parameters; two copies with gradients are 2.4 GB


class TooLargeError(Exception):
    """The network has more parameters than two of its copies may have here."""


@dataclass(frozen=True)
class Batch:
    """Inputs of one forward pass, made anew each time so that in-place changes do not add up.

    Attributes:
        description: sizes, in words.
        make: gives positional and keyword arguments.
    """

    description: str
    make: Callable[[], tuple[tuple[Any, ...], dict[str, Any]]]

    def run(self, model: nn.Module) -> Any:
        """Run a model on these inputs."""
        args, kwargs = self.make()
        return model(*args, **kwargs)


@dataclass(frozen=True)
class Network:
    """One architecture.

    Attributes:
        library, name: which.
        build: gives a new one with random weights; draws from the global generators.
        batches: on what it may run, in order of preference: the first that it accepts is used.
    """

    library: str
    name: str
    build: Callable[[], nn.Module]
    batches: tuple[Batch, ...]

    def find_batch(self) -> Batch:
        """Find the first batch that the network accepts.

        Raises:
            TooLargeError: it has more parameters than `LARGEST`.
            Exception: what it raises on the last batch.
        """
        model = self._build_once()
        for batch in self.batches[:-1]:
            if _runs(model, batch):
                return batch
        with torch.no_grad():
            self.batches[-1].run(model)
        return self.batches[-1]

    def _build_once(self) -> nn.Module:
        count = count_parameters(self.build)
        if count > LARGEST:
            raise TooLargeError(
                f"{count / 1e6:.0f} million parameters, more than {LARGEST / 1e6:.0f} million"
            )
        return self.build().train()


def count_parameters(build: Callable[[], nn.Module]) -> int:
    """Count the parameters of a network without giving them memory, where it can be built so."""
    try:
        with torch.device("meta"):
            model = build()
    except (RuntimeError, NotImplementedError):  # it reads a value while it is built
        model = build()
    return sum(parameter.numel() for parameter in model.parameters())


def image_batches(channels: int, sides: Iterable[int], samples: int = 2) -> tuple[Batch, ...]:
    """Make batches of gaussian noise, from small to large."""
    return tuple(_images(samples, channels, side) for side in dict.fromkeys(sides))


def tensor_batch(*shapes: tuple[int, ...]) -> Batch:
    """Make a batch of gaussian noise, one tensor per argument."""
    description = " and ".join("x".join(map(str, shape)) for shape in shapes)
    return Batch(description, lambda: (tuple(_noise(shape) for shape in shapes), {}))


def keyword_batch(description: str, make: Callable[[torch.Generator], dict[str, Any]]) -> Batch:
    """Make a batch of keyword arguments."""
    return Batch(description, lambda: ((), make(generator())))


def generator() -> torch.Generator:
    """Give the generator of the inputs, which leaves the global one alone."""
    return torch.Generator().manual_seed(0)


def zoo(library: str) -> Iterator[str]:
    """Name the chosen networks of a library."""
    yield from _library(library).chosen()


def every_name(library: str) -> list[str]:
    """Name all networks of a library."""
    return list(_library(library).every_name())


def find(library: str, name: str) -> Network:
    """Find a network by name."""
    return _library(library).find(name)


def _library(library: str) -> Any:
    from tests.zoo import of_timm, of_torchvision, of_transformers

    return {
        "timm": of_timm,
        "torchvision": of_torchvision,
        "transformers": of_transformers,
    }[library]


def _images(samples: int, channels: int, side: int) -> Batch:
    return tensor_batch((samples, channels, side, side))


def _noise(shape: tuple[int, ...]) -> torch.Tensor:
    return torch.randn(shape, generator=generator())


def _runs(model: nn.Module, batch: Batch) -> bool:
    """Say whether a network accepts a batch; what it raises otherwise is anything."""
    try:
        with torch.no_grad():
            batch.run(model)
    except Exception:
        return False
    return True
