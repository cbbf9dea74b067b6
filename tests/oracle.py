"""The state of a tensor from its definitions: slow, in extended precision, with numpy alone.

Shares no code with sppkit's reads. `numpy.longdouble` has 64 bits of mantissa on x86; where it is a
plain double, sums of the few values here are still exact to 1e-13.
"""

from dataclasses import dataclass, fields

import numpy as np
import torch

from sppkit.summary import ChannelSummary


@dataclass
class Expected:
    """Per channel, shape (C,), as `sppkit.summary.ChannelSummary` defines the same names."""

    count: np.ndarray
    mean: np.ndarray
    m2: np.ndarray
    minimum: np.ndarray
    maximum: np.ndarray
    zeros: np.ndarray
    nonfinite: np.ndarray
    absolute_sum: np.ndarray
    m3: np.ndarray
    m4: np.ndarray
    histogram: np.ndarray
    absolute_cubes: np.ndarray
    second_moment: np.ndarray


def by_channel(tensor: torch.Tensor, channel_axis: int | None) -> np.ndarray:
    """Read a tensor as float64, channels first: shape (C, values per channel)."""
    values = tensor.detach().double().resolve_neg().numpy()
    if channel_axis is None or values.ndim == 0:
        return values.reshape(1, -1)
    channels = values.shape[channel_axis]
    return np.moveaxis(values, channel_axis, 0).reshape(channels, values.size // max(channels, 1))


def expected(tensor: torch.Tensor, channel_axis: int | None) -> Expected:
    values = by_channel(tensor, channel_axis)
    finite = np.isfinite(values)
    count = values.shape[1]
    with np.errstate(all="ignore"):
        x = values.astype(np.longdouble)
        mean = x.sum(1) / max(count, 1)
        d = x - mean[:, None]

        def known(moment: np.ndarray) -> np.ndarray:
            return np.where(finite.all(1), moment, np.nan)

        square = d * d
        return Expected(
            count=np.full(len(values), count),
            mean=known(mean),
            m2=known(square.sum(1)),
            minimum=np.where(finite, values, np.inf).min(1, initial=np.inf),
            maximum=np.where(finite, values, -np.inf).max(1, initial=-np.inf),
            zeros=(values == 0).sum(1),
            nonfinite=(~finite).sum(1),
            absolute_sum=known(np.abs(x).sum(1)),
            m3=known((square * d).sum(1)),
            m4=known((square * square).sum(1)),
            histogram=magnitude_histogram(values),
            absolute_cubes=known(np.abs(square * d).sum(1)),
            second_moment=known((x * x).sum(1) / max(count, 1)),
        )


def summary_of(tensor: torch.Tensor, channel_axis: int | None = 1) -> ChannelSummary:
    """Return the extended summary of a tensor by the definitions, in float64."""
    wanted = expected(tensor, channel_axis)
    names = (field.name for field in fields(ChannelSummary))
    return ChannelSummary(**{name: getattr(wanted, name).astype(np.float64) for name in names})


def magnitude_histogram(values: np.ndarray) -> np.ndarray:
    """Count by sign and power of two, as `frexp` tells the power."""
    histogram = np.zeros(512)
    kept = values[np.isfinite(values) & (values != 0)]
    _, exponent = np.frexp(kept)  # kept = mantissa * 2^exponent, 0.5 <= |mantissa| < 1
    index = np.clip(exponent - 1 + 127, 0, 254) + 256 * (kept < 0)
    np.add.at(histogram, index, 1.0)
    return histogram


def errors(found: ChannelSummary, wanted: Expected) -> dict[str, float]:
    """Return the largest error of each moment, in the unit in which it must be small."""
    with np.errstate(all="ignore"):
        n = np.maximum(wanted.count, 1)
        rms = np.sqrt(wanted.second_moment)
        second_moment = found.m2.astype(np.longdouble) / n + np.square(found.mean)
        differences = {
            "mean": (found.mean - wanted.mean, rms),
            "variance": (found.m2 - wanted.m2, wanted.m2),
            "mean square": (second_moment - wanted.second_moment, wanted.second_moment),
        }
        if found.extended:
            differences |= {
                "absolute sum": (found.absolute_sum - wanted.absolute_sum, wanted.absolute_sum),
                "third moment": (found.m3 - wanted.m3, wanted.absolute_cubes),
                "fourth moment": (found.m4 - wanted.m4, wanted.m4),
            }
        return {name: _largest(*pair) for name, pair in differences.items()}


def _largest(difference: np.ndarray, unit: np.ndarray) -> float:
    """Return max |difference| / unit; an exact result counts as 0, also in the unit 0."""
    known = ~np.isnan(unit)
    ratio = np.where(difference == 0, 0, np.abs(difference) / unit)[known]
    return float(ratio.max(initial=0))
