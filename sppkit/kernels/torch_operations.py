"""The fused read, written with torch operations: one tensor in, one packed summary out.

A tensor is swept twice, in pieces that stay in the cache: for its extremes and its mean, then for
sums of powers of the deviations from that mean. Each sweep reduces the long axis of every piece in
float32 (float64 where the tensor is) and finishes what is left, which is small, in float64; MPS,
which has none, finishes in float32.
"""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext
from functools import reduce
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from sppkit.kernels.cpu_operations import read_base
from sppkit.kernels.layout import (
    channel_count,
    group_by_channel,
    lay_out,
    unsupported_reason,
)
from sppkit.kernels.magnitudes import (
    BITS,
    SUBNORMAL,
    exponent_counts,
    nonzero_finite,
    pattern_counts,
)
from sppkit.kernels.sweeps import Rows, Sweeps, wide_dtype
from sppkit.summary import BASE_ROWS, EXTENDED_ROWS, packed_size

CPU_PIECE = 1 << 20
"""Values per piece on the CPU: with its scratch it stays in the last cache from pass to pass."""

DEVICE_PIECE = 1 << 24
"""Values per piece elsewhere: bounds the scratch, and float32 still counts exactly."""

UNSCALED_RANGE = 2.0**-25, 2.0**50
"""Largest magnitudes of a channel whose float32 squares need no scale.

Deviations reach down to 2^-25 of the magnitude, as far as float32 resolves; their squares, 2^-100,
are normal numbers, and 2^20 squares of 2^51 do not overflow.
"""

SUMMABLE = 2.0**100
"""Largest magnitude of which 2^24 float32 values add up without overflow."""

SCALE_LIMIT = {torch.float32: 2.0**126, torch.float64: 2.0**1022}
"""Largest power of two whose reciprocal is a normal number."""

UNITS = {"mean": 1, "m2": 2, "absolute_sum": 1, "m3": 3, "m4": 4}
"""The power of the values' unit that a moment carries."""

INTENSIVE_ROWS = {"mean", "minimum", "maximum"}
"""What stays as it is when every value is there twice."""

EXPONENT_MASK = {torch.float32: 0x7F800000, torch.float64: 0x7FF0000000000000}


def summarize(tensor: Tensor, channel_axis: int | None, *, extended: bool) -> Tensor:
    """Read a tensor once and return its packed summary, on its device.

    Nothing is changed, no random number is drawn, and on devices other than the CPU the host does
    not wait. Errors against exact arithmetic: of a channel's mean at most 1e-6 of its root mean
    square, of its variance 1e-6 of the variance, whatever the offset (up to 1e6 standard
    deviations) and the magnitude of the channel (in float32, subnormal numbers to 3e38).

    Args:
        tensor: float16, bfloat16, float32 or float64, any shape and stride, with or without grad.
        channel_axis: axis of the channels, from either end; None makes the whole one channel.
        extended: also read absolute sums, third and fourth moments and the magnitude histogram.

    Returns:
        `packed_size(C, extended)` numbers, float64 (float32 on MPS, where squares below 1e-38
        vanish), in the order that `ChannelSummary.unpack` names.

    Raises:
        TypeError: for a tensor that `unsupported_reason` names.
        ValueError: for a channel axis that the tensor does not have.

    >>> summarize(torch.tensor([[1.0, 5.0], [3.0, 5.0]]), 1, extended=False).view(7, 2)[:3]
    tensor([[2., 2.],
            [2., 5.],
            [2., 0.]], dtype=torch.float64)
    """
    reason = unsupported_reason(tensor)
    if reason is not None:
        raise TypeError(reason)
    with torch.no_grad(), _autocast_off(tensor.device.type):
        return _summarize(tensor.detach().resolve_neg(), channel_axis, extended)


def _autocast_off(device_type: str) -> AbstractContextManager[object]:
    enabled = torch.is_autocast_enabled(device_type)
    return torch.autocast(device_type, enabled=False) if enabled else nullcontext()


def _summarize(tensor: Tensor, channel_axis: int | None, extended: bool) -> Tensor:
    if tensor.numel() == 0:
        return _empty(tensor, channel_axis, extended)
    values, repeats = group_by_channel(tensor, channel_axis)
    if not extended and _is_quick(values):
        rows = np.empty((len(BASE_ROWS), values.shape[1]))
        if read_base(values, rows):
            rows[[BASE_ROWS.index(name) for name in ("count", "m2", "zeros")]] *= repeats
            return torch.from_numpy(rows).view(-1)
    return _in_two_sweeps(values, repeats, extended)


def _is_quick(values: Tensor) -> bool:
    """Say whether one sweep may do, on whose result the host can look."""
    return values.is_cpu and values.dtype is not torch.float64


def _in_two_sweeps(values: Tensor, repeats: int, extended: bool) -> Tensor:
    size = CPU_PIECE if values.is_cpu else DEVICE_PIECE
    sweeps = Sweeps(lay_out(values, size), scratch=2 if extended else 1)
    rows, scale = _extremes_and_mean(sweeps, extended)
    rows |= _sums_about_the_mean(sweeps, rows, scale, extended)
    rows["count"] = torch.full_like(rows["zeros"], sweeps.layout.count)
    if extended:
        rows["histogram"] = _histogram(sweeps, rows)
    rows |= _moments(rows, sweeps.layout.count, scale)
    return _packed(rows, repeats, extended)


def _empty(tensor: Tensor, channel_axis: int | None, extended: bool) -> Tensor:
    channels = channel_count(tensor, channel_axis)
    packed = tensor.new_zeros(packed_size(channels, extended), dtype=wide_dtype(tensor))
    for name, value in (("minimum", math.inf), ("maximum", -math.inf)):
        packed[BASE_ROWS.index(name) * channels :][:channels] = value
    return packed


class Needs(NamedTuple):
    """What the first look at a tensor asks of the rest of the read."""

    care: bool
    """There are non-finite values, or numbers too large to add."""
    scale: bool
    """Powers of the deviations may leave the range of the precision."""


def _extremes_and_mean(sweeps: Sweeps, extended: bool) -> tuple[Rows, Tensor | None]:
    """Sweep for the extremes and the mean; return them and the scale to take powers with.

    The CPU reads as if all was well, and looks. Elsewhere the host must not wait for the answer.
    """
    count = sweeps.layout.count
    if sweeps.on_cpu:
        rows = sweeps.run(_plain_extremes)
        needs = _needs(rows, extended)
        if not needs.care:
            rows["mean"] = rows["total"] / count
            return rows, _power_of_two_scale(rows) if needs.scale else None
    rows = sweeps.run(_finite_extremes)
    scale = _power_of_two_scale(rows)
    rows["mean"] = sweeps.run(_scaled_total, scale)["total"] / count / scale
    return rows, scale


def _needs(rows: Rows, extended: bool) -> Needs:
    magnitudes = torch.aminmax(torch.maximum(-rows["minimum"], rows["maximum"]))
    smallest, largest = magnitudes.min.item(), magnitudes.max.item()
    low, high = UNSCALED_RANGE
    # A NaN compares false. Fourth powers of deviations span too much to go without a scale.
    return Needs(
        care=not largest <= SUMMABLE, scale=extended or not low <= smallest <= largest <= high
    )


def _power_of_two_scale(rows: Rows) -> Tensor:
    """Return the power of two that brings each channel near 1.

    Made of the exponent's pattern, hence exact; a number even for 0, infinities and NaN.
    """
    magnitude = torch.maximum(-rows["minimum"], rows["maximum"])
    exponent = magnitude.view(BITS[magnitude.dtype]) & EXPONENT_MASK[magnitude.dtype]
    limit = SCALE_LIMIT[magnitude.dtype]
    return exponent.view(magnitude.dtype).clamp(1 / limit, limit).reciprocal()


def _sums_about_the_mean(sweeps: Sweeps, rows: Rows, scale: Tensor | None, extended: bool) -> Rows:
    """Sweep for zeros and for sums of powers of the scaled deviations from the shift.

    The shift is the mean, as far as the precision of the values tells it. It is kept between the
    extremes, so that a constant channel has deviations of exactly zero.
    """
    shift, minimum, maximum = (rows[name] for name in ("mean", "minimum", "maximum"))
    if scale is not None:
        shift, minimum, maximum = shift * scale, minimum * scale, maximum * scale
    shift = shift.to(sweeps.dtype).clamp(minimum, maximum)
    step = _four_powers if extended else _two_powers
    return {"shift": shift, **sweeps.run(step, shift, scale)}


# Steps: the values of one piece in, what is left of its long axis out.


def _plain_extremes(sweeps: Sweeps, values: Tensor) -> Rows:
    axis = sweeps.axis
    return {"minimum": values.amin(axis), "maximum": values.amax(axis), "total": values.sum(axis)}


def _finite_extremes(sweeps: Sweeps, values: Tensor) -> Rows:
    finite = torch.isfinite(values)
    return {
        "minimum": torch.where(finite, values, math.inf).amin(sweeps.axis),
        "maximum": torch.where(finite, values, -math.inf).amax(sweeps.axis),
        "nonfinite": (~finite).to(values.dtype).sum(sweeps.axis),
    }


def _scaled_total(sweeps: Sweeps, values: Tensor, scale: Tensor) -> Rows:
    scaled = torch.mul(values, scale, out=sweeps.scratch(0, values))
    return {"total": scaled.sum(sweeps.axis)}


def _two_powers(sweeps: Sweeps, values: Tensor, shift: Tensor, scale: Tensor | None) -> Rows:
    axis, d = sweeps.axis, sweeps.scratch(0, values)
    x = values if scale is None else torch.mul(values, scale, out=d)
    s1 = torch.sub(x, shift, out=d).sum(axis)
    s2 = d.mul_(d).sum(axis)
    return {"s1": s1, "s2": s2, "zeros": torch.eq(values, 0, out=d).sum(axis)}


def _four_powers(sweeps: Sweeps, values: Tensor, shift: Tensor, scale: Tensor) -> Rows:
    axis, d, power = sweeps.axis, sweeps.scratch(0, values), sweeps.scratch(1, values)
    x = torch.mul(values, scale, out=d)
    rows = {"absolute": torch.abs(x, out=power).sum(axis)}
    rows["s1"] = torch.sub(x, shift, out=d).sum(axis)
    rows["s2"] = torch.mul(d, d, out=power).sum(axis)
    rows["s3"] = d.mul_(power).sum(axis)
    rows["s4"] = power.mul_(power).sum(axis)
    rows["zeros"] = torch.eq(values, 0, out=d).sum(axis)
    rows["patterns"] = pattern_counts(values, d, on_cpu=sweeps.on_cpu)
    return rows


def _positive_zeros(sweeps: Sweeps, values: Tensor) -> Rows:
    zeros = values.view(BITS[values.dtype]) == 0
    return {"positive_zeros": zeros.to(values.dtype).sum(sweeps.axis)}


def _histogram(sweeps: Sweeps, rows: Rows) -> Tensor:
    """Take the zeros out of the patterns; subnormal numbers, if there are any, are kept."""
    counts, zeros = exponent_counts(rows["patterns"]), rows["zeros"].sum()
    if sweeps.on_cpu and counts[SUBNORMAL].sum().item() == zeros.item():
        return nonzero_finite(counts, zeros, positive_zeros=counts[0])
    positive_zeros = sweeps.run(_positive_zeros)["positive_zeros"].sum()
    return nonzero_finite(counts, zeros, positive_zeros)


def _moments(rows: Rows, count: int, scale: Tensor | None) -> Rows:
    """Turn sums of powers about the shift into central moments, in the values' own unit.

    With s_k = sum((x - shift)^k), e = s_1 / n, mean = shift + e:

        M2 = s_2 - e s_1
        M3 = s_3 - 3 e s_2 + 2 e^2 s_1
        M4 = s_4 - 4 e s_3 + 6 e^2 s_2 - 3 e^3 s_1
    """
    s1, s2, e = rows["s1"], rows["s2"], rows["s1"] / count
    moments = {"mean": rows["shift"] + e, "m2": torch.addcmul(s2, e, s1, value=-1).clamp_min(0)}
    if "s4" in rows:
        s3, s4 = rows["s3"], rows["s4"]
        moments["absolute_sum"] = rows["absolute"]
        moments["m3"] = s3 - 3 * e * s2 + 2 * e * e * s1
        moments["m4"] = s4 - 4 * e * s3 + 6 * e * e * s2 - 3 * e * e * e * s1
    return moments if scale is None else _unscaled(moments, scale.reciprocal())


def _unscaled(moments: Rows, unit: Tensor) -> Rows:
    # One factor at a time: the fourth power of a small unit may underflow where m4 does not.
    return {
        name: reduce(torch.mul, [unit] * UNITS[name], moment) for name, moment in moments.items()
    }


def _packed(rows: Rows, repeats: int, extended: bool) -> Tensor:
    names = EXTENDED_ROWS if extended else BASE_ROWS
    if "nonfinite" in rows:
        bad = rows["nonfinite"] > 0
        rows |= {name: rows[name].masked_fill(bad, math.nan) for name in UNITS.keys() & names}
    else:
        rows["nonfinite"] = torch.zeros_like(rows["zeros"])
    if extended:
        names = (*names, "histogram")
    if repeats > 1:
        rows |= {name: rows[name] * repeats for name in set(names) - INTENSIVE_ROWS}
    return torch.cat([rows[name] for name in names])
