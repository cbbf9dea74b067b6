"""The handwritten digits of scikit-learn, in any size of picture."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from sppkit.errors import DataError, ProbeError
from sppkit.inputs.digits import Digits
from sppkit.training.batches import Augmentation, Tensors
from sppkit.training.data.kinds import Data, Wishes
from sppkit.training.data.splitting import split

_TEST_DIGITS = 450
_RESIZED_AT_ONCE = 3 * 64 * 64  # values of a picture: at most 88 MB for all


def digits(wishes: Wishes) -> Data:
    """Split the digits, and bring them to the size that is wished for.

    Raises:
        DataError: they cannot have this size.
    """
    size = wishes.size or (1, 8, 8)
    try:
        all_digits = Digits(size)
    except ProbeError as error:
        raise DataError(str(error)) from error
    share = wishes.hold_out or _TEST_DIGITS / len(all_digits.classes)
    train, test = split(all_digits.classes, share)

    def part(chosen: Tensor, augment: Augmentation | None = None) -> Tensors:
        def resized(numbers: Tensor) -> Tensor:
            return all_digits.pictures(chosen[numbers]).float()

        # small pictures are resized once, large ones when they are needed
        take: Callable[[Tensor], Tensor] = resized
        if math.prod(size) <= _RESIZED_AT_ONCE:
            pictures = resized(torch.arange(len(chosen)))
            take = pictures.__getitem__
        return Tensors(take, all_digits.classes[chosen], augment=augment)

    described = f"handwritten digits, {all_digits.description}: {len(train)} and {len(test)}"
    return Data("digits", part(train, wishes.augment), part(test), 10, tuple(size), described)
