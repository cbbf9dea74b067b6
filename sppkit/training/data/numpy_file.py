"""Arrays of a .npz file as data."""

import functools
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sppkit.errors import DataError
from sppkit.training.batches import Tensors
from sppkit.training.data.kinds import FORMS, Data, Wishes
from sppkit.training.data.labels import as_labels, count_classes
from sppkit.training.data.splitting import split


def read_numpy(text: str, wishes: Wishes) -> Data:
    """Read arrays x and y, and x_test and y_test where they are there.

    Raises:
        DataError: there is no such file, or it holds something else.
    """
    arrays = _arrays(text)
    x, y = arrays["x"], arrays["y"]
    if "x_test" in arrays and wishes.hold_out is None:
        parts = [(x, y), (arrays["x_test"], arrays["y_test"])]
    else:
        parts = [(x[chosen], y[chosen]) for chosen in split(y, wishes.hold_out or 0.25)]
    (x, y), (x_test, y_test) = parts
    prepare = _standardisation(x)
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


def _arrays(text: str) -> dict[str, Tensor]:
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


def _standardisation(x: Tensor) -> Callable[[Tensor], Tensor]:
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
