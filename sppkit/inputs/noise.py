"""Random inputs of mean 0 and variance 1, drawn from a generator of the CPU.

Each function takes the size of one sample, the number of samples N and the generator, and returns
a tensor (N, *size). White noise is not a neutral choice: pooling averages it away, while what
photographs show survives pooling; `pink` noise stands between the two.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Size = Sequence[int]


def gaussian(size: Size, batch_size: int, generator: "torch.Generator") -> "Tensor":
    """Draw from N(0, 1)."""
    import torch

    return torch.randn(batch_size, *size, generator=generator)


def uniform(size: Size, batch_size: int, generator: "torch.Generator") -> "Tensor":
    """Draw from U(-√3, √3), which has mean 0 and variance 1 as N(0, 1) does."""
    import torch

    return (2 * torch.rand(batch_size, *size, generator=generator) - 1) * math.sqrt(3)


def pink(size: Size, batch_size: int, generator: "torch.Generator") -> "Tensor":
    """Draw noise whose amplitude falls as 1/f, as that of photographs does on average.

    White noise is filtered in the frequency domain, each sample and channel by itself:
    x = F⁻¹(F(white) / f), f = √(Σ fᵢ²) in cycles per position, over the axes after the channels
    (over the only axis of a one-dimensional input). Frequency zero, where 1/f has no value, gets
    the amplitude of the lowest frequency there is, so that samples differ in brightness. Each
    channel is then shifted and scaled to mean 0 and variance 1 over batch and positions.

    References:
        "Relations between the statistics of natural images and the response properties of
        cortical cells", Field, 1987, https://doi.org/10.1364/JOSAA.4.002379 (amplitude spectra).
    """
    import torch

    lengths = positions(size)
    if not lengths:
        return gaussian(size, batch_size, generator)
    white = torch.randn(batch_size, *size, generator=generator, dtype=torch.float64)
    axes = tuple(range(-len(lengths), 0))
    filtered = torch.fft.rfftn(white, dim=axes) / _frequencies(lengths)
    noise = torch.fft.irfftn(filtered, s=lengths, dim=axes)
    variance, mean = torch.var_mean(noise, dim=(0, *axes), correction=0, keepdim=True)
    standardised: Tensor = (noise - mean) / variance.sqrt()
    return standardised


def positions(size: Size) -> tuple[int, ...]:
    """Return the lengths of the axes that `pink` filters over; empty if there is one position."""
    positions = tuple(size[1:]) if len(size) > 1 else tuple(size)
    return positions if math.prod(positions) > 1 else ()


def _frequencies(positions: tuple[int, ...]) -> "Tensor":
    """Return the magnitude of every frequency of `rfftn`, with the lowest one in place of zero."""
    import torch

    whole = [torch.fft.fftfreq(length, dtype=torch.float64) for length in positions[:-1]]
    half = torch.fft.rfftfreq(positions[-1], dtype=torch.float64)
    grids = torch.meshgrid(*whole, half, indexing="ij")
    magnitude = torch.stack(grids).square().sum(0).sqrt()
    return magnitude.clamp(min=float(magnitude[magnitude > 0].min()))


def tokens(
    size: Size, batch_size: int, generator: "torch.Generator", *, vocabulary: int
) -> "Tensor":
    """Draw token ids uniformly from 0 to vocabulary - 1, in int64."""
    import torch

    return torch.randint(vocabulary, (batch_size, *size), generator=generator)
