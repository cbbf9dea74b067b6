"""Data in batches, in an order that depends on nothing but a seed and the epoch.

Every kind of data gives the batches of an epoch from any of them on, the same whenever it is asked:
that is how an interrupted run goes on, and how several networks see the same.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from sppkit.errors import DataError
from sppkit.training.random_streams import RandomStream, generator_of

Augmentation = Callable[[Tensor, torch.Generator], Tensor]
"""Changes the pictures of a batch at random: (pictures, generator) -> pictures."""


class Batch(NamedTuple):
    """Inputs of a network and what it is to answer, samples first in both."""

    x: Tensor
    y: Tensor

    def to(self, device: torch.device | str) -> "Batch":
        """Bring it to a device."""
        return Batch(self.x.to(device, non_blocking=True), self.y.to(device, non_blocking=True))


class Batches(ABC):
    """A set of samples."""

    @abstractmethod
    def steps(self, batch_size: int) -> int:
        """Count the batches of an epoch."""

    @abstractmethod
    def epoch(self, seed: int, epoch: int, batch_size: int, *, first: int = 0) -> Iterator[Batch]:
        """Give the batches of an epoch in random order, from the one of number `first` on.

        Batches are full; what is left over is left out, another part in every epoch. A ragged last
        batch would have gradients of another scale, and batch statistics of too few samples.
        """

    @abstractmethod
    def in_order(self, batch_size: int) -> Iterator[Batch]:
        """Give every sample once, for an evaluation."""


class Tensors(Batches):
    """Samples in memory.

    Args:
        take: gives the samples of these numbers, (B, ...), as floats.
        labels: of all samples, (N, ...).
        augment: for training.
    """

    def __init__(
        self,
        take: Callable[[Tensor], Tensor],
        labels: Tensor,
        *,
        augment: Augmentation | None = None,
    ) -> None:
        self._take, self._augment = take, augment
        self.labels = labels

    def steps(self, batch_size: int) -> int:
        """Count the full batches; one where there is none."""
        return _full_batches(len(self.labels), batch_size)

    def epoch(self, seed: int, epoch: int, batch_size: int, *, first: int = 0) -> Iterator[Batch]:
        """Give shuffled batches."""
        order = _order(len(self.labels), seed, epoch)
        for number in range(first, self.steps(batch_size)):
            chosen = order[number * batch_size : (number + 1) * batch_size]
            x = self._take(chosen)
            if self._augment:
                x = self._augment(x, generator_of("augmentation", seed, epoch, number))
            yield Batch(x, self.labels[chosen])

    def in_order(self, batch_size: int) -> Iterator[Batch]:
        """Give all samples."""
        for chosen in torch.arange(len(self.labels)).split(batch_size):
            yield Batch(self._take(chosen), self.labels[chosen])


class Samples(Batches):
    """A data set of torch, whose samples are (x, y) and are read one by one.

    Args:
        dataset: with a length.
        name: for messages.
        augment: for training, of a whole batch; random transforms of the data set's own are drawn
            from a stream of their own.
        workers: processes that read.
        stream: what random numbers depend on besides seed and epoch.
    """

    def __init__(
        self,
        dataset: Dataset[Any],
        name: str,
        *,
        augment: Augmentation | None = None,
        workers: int = 0,
        stream: tuple[object, ...] = (),
    ) -> None:
        self.dataset, self.name, self.workers = dataset, name, workers
        self.augment = augment
        self._stream = stream
        self._length = len(cast(Sized, dataset))

    def steps(self, batch_size: int) -> int:
        """Count the full batches; one where there is none."""
        return _full_batches(self._length, batch_size)

    def epoch(self, seed: int, epoch: int, batch_size: int, *, first: int = 0) -> Iterator[Batch]:
        """Give shuffled batches; those before `first` are read too, as they draw numbers."""
        order = _order(self._length, seed, epoch)[: self.steps(batch_size) * batch_size]
        found = self._read(
            order.split(batch_size), RandomStream("samples", seed, epoch, *self._stream)
        )
        for number, batch in enumerate(found):
            if number < first:
                continue
            if self.augment:
                generator = generator_of("augmentation", seed, epoch, number, *self._stream)
                batch = Batch(self.augment(batch.x, generator), batch.y)
            yield batch

    def in_order(self, batch_size: int) -> Iterator[Batch]:
        """Give all samples."""
        return self._read(
            torch.arange(self._length).split(batch_size), RandomStream("evaluation", self.name)
        )

    def _read(self, chosen: Iterable[Tensor], stream: RandomStream) -> Iterator[Batch]:
        numbers = [part.tolist() for part in chosen]
        loader = DataLoader(self.dataset, batch_sampler=numbers, num_workers=self.workers)
        yield from _drawn(loader, self.name, stream)


class Loader(Batches):
    """A `DataLoader` of the user's, with its own order, batch size and workers.

    Its generators are seeded with every epoch, so that an epoch is the same whenever it is asked
    for; a sampler with `set_epoch` is told the epoch.
    """

    def __init__(self, loader: DataLoader[Any], name: str) -> None:
        self._loader, self._name = loader, name

    def steps(self, batch_size: int) -> int:
        """Count its batches.

        Raises:
            DataError: it does not know.
        """
        try:
            return len(self._loader)
        except TypeError as error:
            raise DataError(
                f"{self._name} is a DataLoader without a length (of an IterableDataset), so that "
                "an epoch has no end. Give the data set a __len__, or return a Dataset with one."
            ) from error

    def epoch(self, seed: int, epoch: int, batch_size: int, *, first: int = 0) -> Iterator[Batch]:
        """Give its batches; those before `first` are drawn too, as they draw numbers."""
        self._seed(seed, epoch)
        found = _drawn(self._loader, self._name, RandomStream("loader", seed, epoch))
        return (batch for number, batch in enumerate(found) if number >= first)

    def in_order(self, batch_size: int) -> Iterator[Batch]:
        """Give its batches as it does."""
        self._seed(0, 0)
        return _drawn(self._loader, self._name, RandomStream("evaluation", self._name))

    def _seed(self, seed: int, epoch: int) -> None:
        for holder in (self._loader, self._loader.sampler, self._loader.batch_sampler):
            if isinstance(generator := getattr(holder, "generator", None), torch.Generator):
                generator.set_state(generator_of("order", seed, epoch).get_state())
            if callable(set_epoch := getattr(holder, "set_epoch", None)):
                set_epoch(epoch)


def _full_batches(samples: int, batch_size: int) -> int:
    return max(1, samples // batch_size)


def _order(samples: int, seed: int, epoch: int) -> Tensor:
    return torch.randperm(samples, generator=generator_of("order", seed, epoch))


def _drawn(loader: Iterable[Any], name: str, stream: RandomStream) -> Iterator[Batch]:
    """Draw batches one by one from a stream of random numbers of their own."""
    with stream.active():
        batches = iter(loader)
    while True:
        with stream.active():
            try:
                found = next(batches)
            except StopIteration:
                return
        yield _as_batch(found, name)


def _as_batch(found: object, name: str) -> Batch:
    if isinstance(found, list | tuple) and len(found) == 2:
        x, y = found
        if isinstance(x, Tensor) and isinstance(y, Tensor) and len(x) == len(y):
            return Batch(x, y)
    raise DataError(
        f"a batch of {name} is {_kind(found)}; expected a pair (x, y) of tensors with one label "
        "for each sample."
    )


def _kind(found: object) -> str:
    if isinstance(found, list | tuple):
        inside = ", ".join(_kind(part) for part in found)
        return f"a {type(found).__name__} of ({inside})"
    if isinstance(found, Tensor):
        return f"a tensor {tuple(found.shape)}"
    return f"a {type(found).__name__}"
