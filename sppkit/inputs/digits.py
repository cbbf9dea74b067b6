"""Handwritten digits from scikit-learn: real pictures that need no download, as a probe's input."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sppkit.errors import ProbeError

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

    channels, height, width = _picture_size(size)
    images, classes = _load_digits()
    chosen = torch.randperm(len(images), generator=generator)[:batch_size]
    resize = _resizing(height, width)
    mean, deviation = _moments_after(resize, images)
    pictures = ((images[chosen] @ resize - mean) / deviation).unsqueeze(1)
    batch = pictures.expand(-1, channels, -1).reshape(len(chosen), *size)
    resized = "" if (height, width) == (8, 8) else f" resized to {height}x{width}"
    flattened = ", flattened" if len(size) == 1 else ""
    return batch, classes[chosen], f"scikit-learn, 8x8{resized}{flattened}"


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
