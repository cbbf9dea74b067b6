"""The block of an EfficientNet."""

from functools import partial
from typing import NamedTuple

from torch import Tensor, nn

from sppkit.models.efficientnet.layers import (
    ConvolutionalSqueezeExcite,
    make_activation,
    make_layer,
)
from sppkit.models.efficientnet.parts import Parts
from sppkit.models.layers.magnitude_preserving import MagnitudePreservingSum
from sppkit.models.named_layers import in_sequence
from sppkit.models.topology import ConvolutionShape, PaddingMode


class BlockPlace(NamedTuple):
    """Sizes of one block, and the variance that it expects to enter."""

    in_channels: int
    out_channels: int
    expansion: int
    stride: int
    kernel_size: int
    variance: float


class InvertedBottleneck(nn.Module):
    """Expand, convolve each channel, gate, project; with a skip path where the sizes agree.

    Merges: x + f(x); or magnitude-preserving; or x + alpha f(g(x) / beta), "scaled".

    Args:
        place: sizes, and the variance that enters.
        parts: what it is made of.
        padding_mode: of the convolutions.
    """

    def __init__(self, place: BlockPlace, parts: Parts, *, padding_mode: PaddingMode) -> None:
        super().__init__()
        self.skips = place.stride == 1 and place.in_channels == place.out_channels
        self.branch = _branch(place, parts, padding_mode)
        self.merge = _magnitude_preserving_merge(parts) if self.skips else None
        scaled = parts.merge == "scaled"
        self.preactivation = make_activation(parts) if scaled else None
        self.beta = place.variance**0.5 if scaled else 1.0
        scales_here = scaled and (self.skips or parts.scale_transitions)
        self.alpha = parts.alpha if scales_here else 1.0

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output, (N, C', H', W')."""
        h = x if self.preactivation is None else self.preactivation(x) / self.beta
        residual: Tensor = self.branch(h)
        if self.alpha != 1.0:
            residual = self.alpha * residual
        if not self.skips:
            return residual
        return x + residual if self.merge is None else self.merge(x, residual)

    def extra_repr(self) -> str:
        """Show the constants in the printed model."""
        return f"alpha={self.alpha:.6g}, beta={self.beta:.6g}"


def _magnitude_preserving_merge(parts: Parts) -> MagnitudePreservingSum | None:
    if parts.merge not in ("magnitude_preserving", "learned_magnitude_preserving"):
        return None
    return MagnitudePreservingSum(learned=parts.merge == "learned_magnitude_preserving")


def _branch(place: BlockPlace, parts: Parts, padding_mode: PaddingMode) -> nn.Sequential:
    hidden = place.in_channels * place.expansion
    expand = ConvolutionShape(place.in_channels, hidden, 1, 1)
    depthwise = ConvolutionShape(hidden, hidden, place.kernel_size, place.stride, hidden)
    project = ConvolutionShape(hidden, place.out_channels, 1, 1)
    squeezed = max(1, place.in_channels // 4)
    layer = partial(make_layer, parts, padding_mode=padding_mode)
    return in_sequence(
        expand=layer(expand) if place.expansion > 1 else None,
        depthwise=layer(depthwise),
        squeeze_excite=ConvolutionalSqueezeExcite(hidden, squeezed, parts),
        project=layer(project, activated=False),
    )
