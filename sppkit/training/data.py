"""What networks are trained and evaluated on, from what a person typed.

`digits`, FILE.npz, module.py:factory, folder:DIR, hf:NAME or hf:DIR.
"""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sppkit.errors import DataError, ProbeError
from sppkit.inputs.digits import Digits
from sppkit.training.augmentation import crop_and_flip
from sppkit.training.batches import Augmentation, Batches, Samples, Tensors
from sppkit.training.pictures import Pictures
from sppkit.training.splitting import split
from sppkit.user_code import did_you_mean
from sppkit.user_code import split as split_place

FORMS = "digits, FILE.npz, module.py:function, folder:DIR, hf:NAME or hf:DIR"
AUGMENTATIONS: Mapping[str, Augmentation] = {"crop-flip": crop_and_flip}
_TEST_DIGITS = 450


@dataclass(frozen=True)
class Data:
    """Samples to train on and samples to evaluate on.

    Attributes:
        name: as it was typed.
        train, test: the samples.
        classes: how many there are; None where the labels are no classes.
        size: of one sample.
        description: what it is and what was done to it.
    """

    name: str
    train: Batches
    test: Batches
    classes: int | None
    size: tuple[int, ...]
    description: str


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """How data is to be made.

    Attributes:
        size: of one sample, as the network takes it; None is the data's own.
        hold_out: share of the samples to evaluate on, where they have no part of their own for it
            or another one is wanted; None is a quarter where there is none.
        augmentation: a name of `AUGMENTATIONS`, or None.
        workers: processes that read samples.
    """

    size: tuple[int, ...] | None = None
    hold_out: float | None = None
    augmentation: str | None = None
    workers: int = 0
    augment: Augmentation | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        if self.hold_out is not None and not 0.0 < self.hold_out < 1.0:
            raise ValueError(
                f"hold_out={self.hold_out} is no share of the samples; give one between 0 and 1, "
                "such as 0.2"
            )
        if self.augmentation is not None and self.augmentation not in AUGMENTATIONS:
            raise ValueError(
                f"augmentation {self.augmentation!r} is not known; there is: "
                f"{', '.join(AUGMENTATIONS)}"
            )
        if self.augmentation is not None:
            object.__setattr__(self, "augment", AUGMENTATIONS[self.augmentation])


@dataclass(frozen=True)
class Found:
    """Pictures that were found, not standardised yet, and what is known of them."""

    train: Pictures
    test: Pictures
    classes: int
    size: tuple[int, ...]
    description: str


def find_data(text: str, wishes: Wishes | None = None) -> Data:
    """Find the data that a text names.

    Args:
        text: `digits`: 1347 handwritten digits of scikit-learn and 450 to evaluate on, in any size
            of picture; `FILE.npz` with arrays x and y, and x_test and y_test if there are some;
            `module.py:function` that returns a Dataset, a DataLoader, or a pair of them for
            training and evaluation; `folder:DIR` with a folder of pictures for each class, in
            train/ and test/ (or val/) if there are these; `hf:NAME`, a set of pictures by name,
            downloaded by the library `datasets` into its cache, or `hf:DIR`, the parquet files of
            one.
        wishes: how it is to be made.

    Raises:
        DataError: there is no such data, or it cannot be read.
    """
    wishes = wishes or Wishes()
    scheme, _, rest = text.partition(":")
    if text == "digits":
        return _digits(wishes)
    if scheme == "folder":
        from sppkit.training.picture_folders import read_folder

        return _of(read_folder(rest, wishes), text, wishes)
    if scheme == "hf":
        from sppkit.training.hugging_face import read_pictures

        return _of(read_pictures(rest, wishes), text, wishes)
    if Path(text).suffix == ".npz":
        return _numpy(text, wishes)
    if (place := split_place(text)) and place[1]:
        from sppkit.training.user_data import call_factory

        return call_factory(text, wishes)
    raise DataError(f"'{text}' names no data.{did_you_mean(text, ['digits'])} Expected {FORMS}.")


def _digits(wishes: Wishes) -> Data:
    size = wishes.size or (1, 8, 8)
    try:
        digits = Digits(size)
    except ProbeError as error:
        raise DataError(str(error)) from error
    share = wishes.hold_out or _TEST_DIGITS / len(digits.classes)
    train, test = split(digits.classes, share)

    def part(chosen: Tensor, augment: Augmentation | None = None) -> Tensors:
        def resized(numbers: Tensor) -> Tensor:
            return digits.pictures(chosen[numbers]).float()

        # small pictures are resized once, large ones when they are needed
        take: Callable[[Tensor], Tensor] = resized
        if math.prod(size) <= _RESIZED_AT_ONCE:
            pictures = resized(torch.arange(len(chosen)))
            take = pictures.__getitem__
        return Tensors(take, digits.classes[chosen], augment=augment)

    described = f"handwritten digits, {digits.description}: {len(train)} and {len(test)}"
    return Data("digits", part(train, wishes.augment), part(test), 10, tuple(size), described)


_RESIZED_AT_ONCE = 3 * 64 * 64  # values of a picture: at most 88 MB for all


def _numpy(text: str, wishes: Wishes) -> Data:
    arrays = _read_numpy(text)
    x, y = arrays["x"], arrays["y"]
    if "x_test" in arrays and wishes.hold_out is None:
        parts = [(x, y), (arrays["x_test"], arrays["y_test"])]
    else:
        parts = [(x[chosen], y[chosen]) for chosen in split(y, wishes.hold_out or 0.25)]
    (x, y), (x_test, y_test) = parts
    prepare = standardisation(x)
    own = tuple(x.shape[1:])
    size = own if wishes.size is None else wishes.size
    if math.prod(size) != math.prod(own):
        raise DataError(
            f"'{text}' holds samples of size {own}, and the network takes {size}. Bring the file "
            f"to that size, or say by -s {','.join(map(str, own))} that the network takes them so."
        )
    return Data(
        text,
        Tensors(lambda n: prepare(x[n]).view(-1, *size), y, augment=wishes.augment),
        Tensors(lambda n: prepare(x_test[n]).view(-1, *size), y_test),
        count_classes((y, y_test), text),
        size,
        f"{text}: {len(y)} and {len(y_test)} samples",
    )


def _read_numpy(text: str) -> dict[str, Tensor]:
    path = Path(text).expanduser()
    if not path.is_file():
        raise DataError(f"there is no file '{text}'. Expected {FORMS}.")
    try:
        with np.load(path, allow_pickle=False) as archive:
            found = {name: torch.from_numpy(archive[name]) for name in archive.files}
    except Exception as error:  # ValueError, BadZipFile, OSError, TypeError of odd arrays, ...
        raise DataError(
            f"'{text}' cannot be read as data; expected np.savez({path.name!r}, x=x, y=y), of "
            "arrays of numbers only."
        ) from error
    for names in (("x", "y"), ("x_test", "y_test")):
        there = [name for name in names if name in found]
        if there != list(names) and (there or names[0] == "x"):
            raise DataError(
                f"'{text}' holds {', '.join(sorted(found)) or 'nothing'}; expected arrays x and y, "
                "and x_test and y_test if a part is for evaluation."
            )
        if there and (len(found[names[0]]) != len(found[names[1]]) or not len(found[names[0]])):
            raise DataError(
                f"'{text}': {names[0]} has {len(found[names[0]])} samples and {names[1]} "
                f"{len(found[names[1]])}; expected as many labels as samples, and one or more."
            )
    labels = {n: as_labels(t) for n, t in found.items() if n in ("y", "y_test")}
    return {n: t for n, t in found.items() if n in ("x", "x_test")} | labels


def as_labels(labels: Tensor) -> Tensor:
    """Make classes of whole numbers, and float32 of others."""
    return labels.float() if labels.is_floating_point() else labels.long()


def count_classes(parts: Sequence[Tensor], name: str) -> int | None:
    """Count the classes from the labels; None where they are no classes.

    Raises:
        DataError: a class is negative.
    """
    if any(part.is_floating_point() or part.dim() != 1 for part in parts):
        return None
    least = min(int(part.min()) for part in parts)
    if least < 0:
        raise DataError(f"'{name}' has the class {least}; expected classes that count from 0.")
    return max(int(part.max()) for part in parts) + 1


def standardisation(x: Tensor) -> Callable[[Tensor], Tensor]:
    """Make what brings whole numbers (pixels) to mean 0 and variance 1 in each channel.

    Floating-point samples are taken as they are.
    """
    if x.is_floating_point():
        return Tensor.float
    some = x[:: max(1, len(x) // 2000)].double()
    axes = [axis for axis in range(some.dim()) if axis != 1 or some.dim() == 2]
    mean = some.mean(axes, keepdim=True)[0].float()
    deviation = some.var(axes, correction=0, keepdim=True)[0].sqrt().clamp_min(1e-6).float()
    return functools.partial(_standardise, mean=mean, deviation=deviation)


def _standardise(x: Tensor, *, mean: Tensor, deviation: Tensor) -> Tensor:
    return (x.float() - mean) / deviation


def _of(found: Found, name: str, wishes: Wishes) -> Data:
    train, test = found.train, found.test
    test.standardise_by(train)
    train.standardise_by(train)
    return Data(
        name,
        Samples(train, name, augment=wishes.augment, workers=wishes.workers),
        Samples(test, name, workers=wishes.workers),
        found.classes,
        found.size,
        found.description,
    )
