"""The augmentation of small pictures that most papers on CIFAR share, for a whole batch at once."""

import torch
from torch import Tensor
from torch.nn.functional import pad

PADDING = 4


def crop_and_flip(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Shift each picture by up to four pixels, with zeros behind the edge, and mirror every other.

    Random crops of the size of the picture from one that is padded with four zeros on each side,
    and mirrored from left to right with probability 1/2; both are drawn for each picture.

    Args:
        pictures: (N, C, H, W), standardised, so that zero is the mean.
        generator: of the CPU.

    Returns:
        Pictures of the same shape.

    Raises:
        ValueError: the samples are no pictures.

    References:
        Deeply-supervised nets, Lee et al., 2014, arXiv 1409.5185, section 3; with these settings
        in Designing Normalizer-Free EfficientNets, Dewyse, 2025, JKU Linz.
    """
    if pictures.dim() != 4:
        raise ValueError(
            f"crops and flips are of pictures, (N, C, H, W); the samples are "
            f"{tuple(pictures.shape[1:])}. Leave --augment out."
        )
    count, _, height, width = pictures.shape
    offsets = torch.randint(2 * PADDING + 1, (count, 2), generator=generator)
    is_mirrored = torch.rand(count, generator=generator) < 0.5
    rows = offsets[:, :1] + torch.arange(height)
    columns = offsets[:, 1:] + torch.arange(width)
    columns = torch.where(is_mirrored[:, None], columns.flip(1), columns)
    padded = pad(pictures, [PADDING] * 4)
    samples = torch.arange(count)[:, None, None]
    return padded.movedim(1, -1)[samples, rows[:, :, None], columns[:, None, :]].movedim(-1, 1)
