"""Handwritten digits from scikit-learn: real pictures that need no download, as a probe's input."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sppkit.errors import ProbeError
from sppkit.inputs.randomness import own_randomness

if TYPE_CHECKING:
    import torch
    from torch import Tensor


def draw_digits(
    size: Sequence[int], batch_size: int, generator: "torch.Generator"
) -> tuple["Tensor", "Tensor", str]:
    """Draw handwritten digits, without replacement, and bring them to the size of an input.

    The 8x8 pictures are resized bilinearly and repeated over the channels. After the resizing,
    which smooths, the whole data set (not the batch) is shifted and scaled to mean 0, variance 1.

    Args:
        size: (C, H, W); (H, W) for a picture without a channel axis; or (F,), which is filled
            with the pixels of a square picture of one channel, F = n², or of three, F = 3 n².
        batch_size: number of samples N; at most the 1797 of the data set are drawn.
        generator: a generator of the CPU.

    Returns:
        The pictures (N, *size) in float64, their classes (N,), and what was done to them.

    Raises:
        ProbeError: if the size is none of these.
    """
    import torch

    digits = Digits(size)
    chosen = torch.randperm(len(digits.classes), generator=generator)[:batch_size]
    return digits.pictures(chosen), digits.classes[chosen], digits.description


class Digits:
    """All handwritten digits, resized when they are asked for; `draw_digits` says how.

    Args:
        size: of the pictures, as for `draw_digits`.

    Attributes:
        classes: of all pictures, (1797,).
        description: what was done to the pictures.

    Raises:
        ProbeError: digits do not fit that size.
    """

    def __init__(self, size: Sequence[int]) -> None:
        self._channels, height, width = _picture_size(size)
        self._size = tuple(size)
        self._images, self.classes = _load_digits()
        self._resize = _resizing(height, width)
        self._mean, self._deviation = _moments_after(self._resize, self._images)
        resized = "" if (height, width) == (8, 8) else f" resized to {height}x{width}"
        flattened = ", flattened" if len(size) == 1 else ""
        self.description = f"scikit-learn, 8x8{resized}{flattened}"

    def pictures(self, chosen: "Tensor") -> "Tensor":
        """Give the pictures of these numbers, (N, *size) in float64."""
        resized = (self._images[chosen] @ self._resize - self._mean) / self._deviation
        repeated = resized.unsqueeze(1).expand(-1, self._channels, -1)
        return repeated.reshape(len(chosen), *self._size)


def _picture_size(size: Sequence[int]) -> tuple[int, int, int]:
    """Return channels, height and width of the picture that fills an input."""
    if len(size) in (2, 3):
        channels, height, width = (1, *size)[-3:]
        return channels, height, width
    for channels in (1, 3) if len(size) == 1 else ():
        side = math.isqrt(size[0] // channels)
        if channels * side * side == size[0]:
            return channels, side, side
    raise ProbeError(
        f"Digits do not fit an input of size {tuple(size)}; expected (C, H, W), (H, W), or one "
        "axis that holds a square picture of one or three channels, such as 64, 784 or 3072 "
        "values. The input 'gaussian' fits any size."
    )


def _load_digits() -> tuple["Tensor", "Tensor"]:
    """Return the pixels, (1797, 64) in float64, and the classes, (1797,)."""
    import torch

    with own_randomness(torch.Generator()):  # importing scikit-learn draws from Python's random
        from sklearn.datasets import load_digits

    data = load_digits()
    return torch.from_numpy(data.data).double(), torch.from_numpy(data.target).long()


def _resizing(height: int, width: int) -> "Tensor":
    """Return bilinear resizing as a matrix, (64, height * width), to apply to flat pictures."""
    import torch

    pixels = torch.eye(64, dtype=torch.float64).view(64, 1, 8, 8)
    resized = torch.nn.functional.interpolate(pixels, size=(height, width), mode="bilinear")
    return resized.reshape(64, height * width)


def _moments_after(resize: "Tensor", images: "Tensor") -> tuple["Tensor", "Tensor"]:
    """Return mean and deviation of all resized pictures, from the moments of the small ones."""
    second = images.T @ images / len(images)
    mean = (images.mean(0) @ resize).mean()
    mean_square = (resize * (second @ resize)).sum(0).mean()
    return mean, (mean_square - mean.square()).sqrt()
