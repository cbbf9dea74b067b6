"""The share of a rank in every batch: one sample in so many, whichever kind of data it is."""

import dataclasses
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from sppkit.errors import DataError
from sppkit.training.batches import Batch, Batches, Samples
from sppkit.training.data import Data
from sppkit.training.parallel import Parallel
from sppkit.training.random_streams import RandomStream


def share_of(data: Data, parallel: Parallel) -> Data:
    """Give a rank its share of the samples to train on and of those to evaluate on."""
    if parallel.size == 1:
        return data
    train, test = (_share(batches, parallel) for batches in (data.train, data.test))
    return dataclasses.replace(data, train=train, test=test)


def _share(batches: Batches, parallel: Parallel) -> Batches:
    if isinstance(batches, Samples):
        return ShareOfSamples(batches, parallel)
    return Share(batches, parallel)


class Share(Batches):
    """The samples rank, rank + size, ... of every batch of others.

    Of a batch that has no equal shares in training, what is left over is left out. In an
    evaluation every sample is in one share, and every rank has as many batches: a last one that is
    too small for all is joined to the one before.
    """

    def __init__(self, batches: Batches, parallel: Parallel) -> None:
        self._batches, self._parallel = batches, parallel

    def steps(self, batch_size: int) -> int:
        """Count the batches of an epoch, which all ranks see."""
        return self._batches.steps(batch_size)

    def epoch(self, seed: int, epoch: int, batch_size: int, *, first: int = 0) -> Iterator[Batch]:
        """Give the rank's share of each batch."""
        rank, size = self._parallel.rank, self._parallel.size
        for batch in self._batches.epoch(seed, epoch, batch_size, first=first):
            end = len(batch.y) // size * size
            if not end:
                raise DataError(_too_few(size))
            yield Batch(batch.x[rank:end:size], batch.y[rank:end:size])

    def in_order(self, batch_size: int) -> Iterator[Batch]:
        """Give the rank's share of all samples."""
        rank, size = self._parallel.rank, self._parallel.size
        for batch in _joined(self._batches.in_order(batch_size), size):
            yield Batch(batch.x[rank::size], batch.y[rank::size])


class ShareOfSamples(Samples):
    """The same of a data set whose samples are read one by one: others than its own are not read.

    Augmentation and transforms of the data set draw random numbers of each rank's own.
    """

    def __init__(self, samples: Samples, parallel: Parallel) -> None:
        super().__init__(
            samples.dataset,
            samples.name,
            augment=samples.augment,
            workers=samples.workers,
            stream=("rank", parallel.rank) if parallel.rank else (),
        )
        self._parallel = parallel

    def _read(self, chosen: Iterable[Tensor], stream: RandomStream) -> Iterator[Batch]:
        rank, size = self._parallel.rank, self._parallel.size
        shares = [part[rank::size] for part in _with_shares_for_all(list(chosen), size)]
        return super()._read(shares, stream)


def _joined(batches: Iterable[Batch], size: int) -> Iterator[Batch]:
    """Join a batch that is smaller than `size` to the one before."""
    before: Batch | None = None
    for batch in batches:
        if before is not None and len(batch.y) < size:
            before = Batch(torch.cat([before.x, batch.x]), torch.cat([before.y, batch.y]))
            continue
        if before is not None:
            yield before
        before = batch
    if before is None or len(before.y) < size:
        raise DataError(_too_few(size))
    yield before


def _with_shares_for_all(parts: list[Tensor], size: int) -> list[Tensor]:
    """Join a last part that is smaller than `size` to the one before."""
    if len(parts) > 1 and len(parts[-1]) < size:
        *parts, before, last = parts
        parts = [*parts, torch.cat([before, last])]
    if parts and len(parts[-1]) < size:
        raise DataError(_too_few(size))
    return parts


def _too_few(size: int) -> str:
    return f"there are fewer samples than the {size} processes that share them; train in fewer."
