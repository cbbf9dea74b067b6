"""Data that a function of the user's returns."""

import torch
from torch.utils.data import DataLoader, Dataset, Subset

from sppkit.errors import DataError, TargetError
from sppkit.training.batches import Augmentation, Batches, Loader, Samples
from sppkit.training.data.kinds import Data, Wishes
from sppkit.training.data.labels import count_classes
from sppkit.training.data.splitting import split
from sppkit.user_code import load
from sppkit.user_code import split as split_place

_EXPECTED = (
    "expected a torch Dataset of (x, y), or a pair of Datasets or DataLoaders, for training and "
    "for evaluation"
)


def call_factory(text: str, wishes: Wishes) -> Data:
    """Call a function that returns data.

    Raises:
        DataError: it cannot be found, fails, or returns something else.
    """
    place, name = split_place(text) or (text, "")
    try:
        code = load(place)
        function = code.look_up(name)[-1]
        if not callable(function):
            raise DataError(f"'{text}' is a {type(function).__name__}; expected a function.")
        made = code.call(function, {}, f"{name} in {place}")
    except TargetError as error:
        raise DataError(f"the data '{text}' cannot be made. {error}") from error
    train, test = _parts(made, text, wishes)
    batch = next(test.in_order(1))
    return Data(
        text,
        train,
        test,
        _classes((train, test), batch.y, text),
        tuple(batch.x.shape[1:]),
        f"{text}: {_described(train)} and {_described(test)}",
    )


def _parts(made: object, text: str, wishes: Wishes) -> tuple[Batches, Batches]:
    if isinstance(made, list | tuple) and len(made) == 2:
        return _batches(made[0], text, wishes, wishes.augment), _batches(made[1], text, wishes)
    if isinstance(made, DataLoader):
        raise DataError(
            f"'{text}' returned one DataLoader, which leaves nothing to evaluate on. Return two of "
            "them, or a Dataset, a part of which is then held out."
        )
    if not isinstance(made, Dataset) or not hasattr(made, "__len__"):
        raise DataError(f"'{text}' returned a {type(made).__name__}; {_EXPECTED}.")
    parts = split(torch.zeros(len(made)), wishes.hold_out or 0.25)
    train, test = (Subset(made, part.tolist()) for part in parts)
    return _batches(train, text, wishes, wishes.augment), _batches(test, text, wishes)


def _batches(
    made: object, text: str, wishes: Wishes, augment: Augmentation | None = None
) -> Batches:
    if isinstance(made, DataLoader):
        if augment:
            raise DataError(
                f"'{text}' returned a DataLoader, which augments as it likes; leave --augment out, "
                "or return a Dataset."
            )
        return Loader(made, text)
    if isinstance(made, Dataset) and hasattr(made, "__len__"):
        return Samples(made, text, augment=augment, workers=wishes.workers)
    raise DataError(f"'{text}' returned a {type(made).__name__}; {_EXPECTED}.")


def _classes(parts: tuple[Batches, Batches], labels: torch.Tensor, text: str) -> int | None:
    """Count classes where the labels of one evaluation can say it: the test part is read once."""
    if labels.is_floating_point() or labels.dim() != 1:
        return None
    return count_classes([torch.cat([batch.y for batch in parts[1].in_order(256)])], text)


def _described(batches: Batches) -> str:
    return f"{batches.steps(1)} {'batches' if isinstance(batches, Loader) else 'samples'}"
