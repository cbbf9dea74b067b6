"""A U-Net with batch normalisation and in-place ReLU; skip paths are concatenated.

Paper: U-Net: convolutional networks for biomedical image segmentation, Ronneberger, Fischer, Brox,
2015, arXiv 1505.04597. Where ours differs, as most implementations do: padded convolutions, batch
normalisation.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn


def _two_convolutions(in_channels: int, channels: int, *, in_place: bool) -> nn.Sequential:
    layers: list[nn.Module] = []
    for fan_in in (in_channels, channels):
        layers += [
            nn.Conv2d(fan_in, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=in_place),
        ]
    return nn.Sequential(*layers)


class UNet(nn.Module):
    """Halve the resolution `levels` times, and come back up with what was there on the way down."""

    def __init__(self, *, width: int, levels: int, classes: int, in_place: bool) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(levels + 1)]
        pairs = list(pairwise(widths))
        self.stem = _two_convolutions(3, width, in_place=in_place)
        self.pool = nn.MaxPool2d(2)
        self.down = nn.ModuleList(
            _two_convolutions(small, large, in_place=in_place) for small, large in pairs
        )
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(large, small, 2, 2) for small, large in reversed(pairs)
        )
        self.merge = nn.ModuleList(
            _two_convolutions(large, small, in_place=in_place) for small, large in reversed(pairs)
        )
        self.head = nn.Conv2d(width, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of every pixel, (N, classes, H, W)."""
        skips = [self.stem(x)]
        for down in self.down:
            skips.append(down(self.pool(skips[-1])))
        x = skips.pop()
        for up, merge in zip(self.up, self.merge, strict=True):
            x = merge(torch.cat([skips.pop(), up(x)], dim=1))
        logits: Tensor = self.head(x)
        return logits


def unet(*, width: int = 32, levels: int = 3, classes: int = 4, in_place: bool = True) -> nn.Module:
    """Build a U-Net; (N, 3, H, W) with sides divisible by 2^levels to (N, classes, H, W)."""
    return UNet(width=width, levels=levels, classes=classes, in_place=in_place)
