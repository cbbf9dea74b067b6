"""Pictures that are decoded one by one, brought to one size, and standardised."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from sppkit.errors import DataError

Open = Callable[[], AbstractContextManager[Image.Image]]
"""Opens a picture, as `PIL.Image.open` does."""

_MOST_MEASURED = 1000
_MODES = {1: "L", 3: "RGB"}


class Pictures(Dataset[tuple[Tensor, int]]):
    """Pictures with their classes, as (C, H, W) with values in [0, 1] until they are standardised.

    Args:
        name: of the data, for messages.
        entries: for each picture what opens it, its class, and what it is called.
        size: (C, H, W) with one channel (grey) or three (red, green, blue). Pictures of another
            size are scaled bilinearly until they cover it, and cut to its middle.

    Raises:
        DataError: the size is none of pictures.
    """

    def __init__(
        self, name: str, entries: Sequence[tuple[Open, int, str]], size: tuple[int, ...]
    ) -> None:
        if len(size) != 3 or size[0] not in _MODES:
            raise DataError(
                f"'{name}' holds pictures, and {size} is no size of one; expected channels (1 or "
                "3), height and width, such as -s 3,32,32."
            )
        self._name, self._entries, self._size = name, entries, size
        self._mean, self._deviation = torch.zeros(size[0], 1, 1), torch.ones(size[0], 1, 1)

    def __len__(self) -> int:
        """Count the pictures."""
        return len(self._entries)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """Read a picture.

        Raises:
            DataError: it cannot be read.
        """
        return (self._read(index) - self._mean) / self._deviation, self._entries[index][1]

    @property
    def labels(self) -> Tensor:
        """The classes of all pictures, (N,)."""
        return torch.tensor([label for _, label, _ in self._entries])

    def part(self, chosen: Sequence[int]) -> "Pictures":
        """Give some of the pictures."""
        return Pictures(self._name, [self._entries[index] for index in chosen], self._size)

    def standardise_by(self, others: "Pictures") -> None:
        """Bring each channel to the mean 0 and the variance 1 that `others` have.

        Of many pictures a thousand are measured, at even distances.
        """
        numbers = range(0, len(others), -(-len(others) // _MOST_MEASURED))
        values = torch.stack([others._read(number) for number in numbers]).double()
        self._mean = values.mean((0, 2, 3)).float().view(-1, 1, 1)
        deviation = values.var((0, 2, 3), correction=0).sqrt().clamp_min(1e-6)
        self._deviation = deviation.float().view(-1, 1, 1)

    def _read(self, index: int) -> Tensor:
        opened, _, called = self._entries[index]
        channels, height, width = self._size
        try:
            with opened() as picture:
                found = _cover(picture.convert(_MODES[channels]), height, width)
        except Exception as error:  # UnidentifiedImageError, OSError, SyntaxError, bombs, ...
            raise DataError(
                f"'{called}' of '{self._name}' is no picture that can be read: {error}. Delete or "
                "replace it."
            ) from error
        values = torch.from_numpy(np.array(found)).view(height, width, channels)
        return values.movedim(-1, 0).float() / 255


def _cover(picture: Image.Image, height: int, width: int) -> Image.Image:
    """Scale a picture until it covers a size, and cut out the middle."""
    if picture.size == (width, height):
        return picture
    scale = max(height / picture.height, width / picture.width)
    scaled_size = (
        max(width, round(scale * picture.width)),
        max(height, round(scale * picture.height)),
    )
    scaled = picture.resize(scaled_size, Image.Resampling.BILINEAR)
    left, top = (scaled.width - width) // 2, (scaled.height - height) // 2
    return scaled.crop((left, top, left + width, top + height))
