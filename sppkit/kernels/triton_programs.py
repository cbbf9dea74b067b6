"""What runs on the device, in Triton's language: `read_tiles` on a tensor, then `merge_parts`.

A program reads a run of tiles and leaves one row of numbers, a *part*, per channel it met. Every
position of a tile keeps sums of its own over the run, which are added up once, at the end; so the
loop is arithmetic on registers and nothing waits in it. Sums are of powers of deviations

    d = (x - shift) * scale

where shift and scale, a power of two, are guessed from the first tile. Where a guess misled, or a
value is not finite, the run is read again with the right ones. `merge_parts` adds the parts of each
channel in float64, in a fixed order.

Positions outside the tensor are loaded as the shift: their deviation is 0 and they widen no
extreme. Offsets in memory are 64 bits wide.
"""

from __future__ import annotations

import triton
import triton.language as tl

PART_ROWS = tl.constexpr(9)
"""Numbers of a part: count, shift, scale, s1, s2, minimum, maximum, zeros, nonfinite."""

EXTENDED_PART_ROWS = tl.constexpr(12)
"""The same, then the sums of absolute values, third and fourth powers, all scaled."""

WINDOW = tl.constexpr(32)
"""Exponents that are counted at once: a warp's ballot over 64 bins is five times faster than 512.

The last one counts what lies outside of the others.
"""

HEADROOM = tl.constexpr(4)
"""Exponents of the window above the largest value of the first tile."""


@triton.jit
def _precise(values):
    """Lift to the precision of the sums: float64 for float64, else float32."""
    if values.dtype == tl.float64:
        return values
    else:
        return values.to(tl.float32)


@triton.jit
def _total(values, COLUMNS: tl.constexpr):
    """Add up a tile, or each of its columns; the axes stay."""
    totals = tl.sum(values, 0, keep_dims=True)
    return totals if COLUMNS else tl.sum(totals, 1, keep_dims=True)


@triton.jit
def _lowest(values, COLUMNS: tl.constexpr):
    lowest = tl.min(values, 0, keep_dims=True)
    return lowest if COLUMNS else tl.min(lowest, 1, keep_dims=True)


@triton.jit
def _highest(values, COLUMNS: tl.constexpr):
    highest = tl.max(values, 0, keep_dims=True)
    return highest if COLUMNS else tl.max(highest, 1, keep_dims=True)


@triton.jit
def _any(condition):
    """Whether a condition holds anywhere, as a scalar."""
    return tl.max(tl.max(condition.to(tl.int32), 1), 0) > 0


@triton.jit
def _is_finite(values):
    return tl.abs(values) < float("inf")


@triton.jit
def _scale_to_one(magnitude):
    """Return the power of two that brings a magnitude to [1, 2), if its reciprocal is normal.

    Else the nearest one whose reciprocal is. Made of the exponent's pattern, hence exact.
    """
    if magnitude.dtype == tl.float64:
        exponent = magnitude.to(tl.int64, bitcast=True) >> 52
        pattern = tl.minimum(tl.maximum(2046 - exponent, 1), 2045) << 52
        return pattern.to(tl.float64, bitcast=True)
    else:
        exponent = magnitude.to(tl.int32, bitcast=True) >> 23
        pattern = tl.minimum(tl.maximum(254 - exponent, 1), 253) << 23
        return pattern.to(tl.float32, bitcast=True)


@triton.jit
def _exponent(values):
    """Return the biased float32 exponent: 0 for zeros and below, 255 for what is not finite.

    float64 has a bias of 1023; its finite values beyond float32's range get 254 or 0.
    """
    if values.dtype == tl.float64:
        own = ((values.to(tl.int64, bitcast=True) >> 52) & 2047).to(tl.int32)
        return tl.where(own == 2047, 255, tl.minimum(tl.maximum(own - 896, 0), 254))
    else:
        return (values.to(tl.int32, bitcast=True) >> 23) & 255


@triton.jit
def _sign(values):
    """Return 1 for a set sign bit, else 0."""
    if values.dtype == tl.float64:
        return (values.to(tl.int64, bitcast=True) < 0).to(tl.int32)
    else:
        return (values.to(tl.int32, bitcast=True) < 0).to(tl.int32)


# A run of tiles. `block` and `chunk` say where a tile lies along the outer and the inner axis; in
# columns, the inner axis is that of the columns, and a program stays in its chunk.


@triton.jit
def _next(block, chunk, chunks, COLUMNS: tl.constexpr):
    if COLUMNS:
        return block + 1, chunk
    else:
        last = chunk + 1 == chunks
        return tl.where(last, block + 1, block), tl.where(last, 0, chunk + 1)


@triton.jit
def _left(size, index, STEP: tl.constexpr):
    """Return how many positions of a tile lie inside an axis, as 32 bits for fast comparison."""
    return tl.minimum(size - index.to(tl.int64) * STEP, STEP).to(tl.int32)


@triton.jit
def _inside(outer, inner, block, chunk, R: tl.constexpr, W: tl.constexpr):
    """Return which positions of a tile lie inside the tensor."""
    rows = tl.arange(0, R) < _left(outer, block, R)
    return rows[:, None] & (tl.arange(0, W) < _left(inner, chunk, W))[None, :]


@triton.jit
def _load(
    values, other, outer, inner, stride_outer, stride_inner, block, chunk,
    R: tl.constexpr, W: tl.constexpr,
):  # fmt: skip
    """Read one tile, with `other` outside of the tensor."""
    start = block.to(tl.int64) * R * stride_outer + chunk.to(tl.int64) * W * stride_inner
    offsets = (
        tl.arange(0, R).to(tl.int64)[:, None] * stride_outer
        + tl.arange(0, W).to(tl.int64)[None, :] * stride_inner
    )
    mask = _inside(outer, inner, block, chunk, R, W)
    stored = tl.broadcast_to(other.to(values.dtype.element_ty), (R, W))
    return tl.load(values + start + offsets, mask=mask, other=stored)


@triton.jit
def _first_look(
    values, zero, outer, inner, stride_outer, stride_inner, block, chunk,
    COLUMNS: tl.constexpr, R: tl.constexpr, W: tl.constexpr,
):  # fmt: skip
    """Guess shift and scale from one tile: its mean, as the tensor's type stores it, and maximum.

    Where all values of a column are 0, the tile's maximum stands for its own.

    Returns:
        shift, scale, and the largest magnitude of the tile as a scalar.
    """
    x = _precise(_load(values, zero, outer, inner, stride_outer, stride_inner, block, chunk, R, W))
    known = _inside(outer, inner, block, chunk, R, W) & _is_finite(x)
    number = _total(known.to(tl.float32), COLUMNS)
    lowest = _lowest(tl.where(known, x, float("inf")), COLUMNS)
    highest = _highest(tl.where(known, x, float("-inf")), COLUMNS)
    magnitude = tl.where(number > 0, tl.maximum(-lowest, highest), 0.0)
    largest = tl.max(magnitude, 1, keep_dims=True)
    magnitude = tl.where(magnitude > 0, magnitude, tl.where(largest > 0, largest, 1.0))
    scale = _scale_to_one(magnitude)
    total = _total(tl.where(known, x, 0.0) * scale, COLUMNS)
    shift = _between(lowest, total / tl.maximum(number, 1.0) / scale, highest)
    return _as_stored(shift, values), scale, tl.max(tl.max(magnitude, 1), 0)


@triton.jit
def _between(lowest, mean, highest):
    """Keep a rounded mean between the extremes, so that constant channels deviate by exactly 0."""
    kept = tl.minimum(tl.maximum(mean, lowest), highest)
    return tl.where(lowest <= highest, kept, 0.0)


@triton.jit
def _as_stored(shift, values):
    """Round to a number that the tensor can hold, so that it can stand for what lies outside.

    Towards zero: what lies between two numbers of that type stays between them.
    """
    if values.dtype.element_ty.primitive_bitwidth < shift.dtype.primitive_bitwidth:
        rounded = shift.to(values.dtype.element_ty, fp_downcast_rounding="rtz")
        return _precise(rounded)
    else:
        return shift


@triton.jit
def _second_look(
    values, zero, outer, inner, stride_outer, stride_inner, block, chunk, chunks, steps,
    COLUMNS: tl.constexpr, R: tl.constexpr, W: tl.constexpr,
):  # fmt: skip
    """Find shift, scale and extremes of the finite values of a whole run, in two passes over it."""
    low = tl.full((R, W), float("inf"), zero.dtype)
    high = tl.full((R, W), float("-inf"), zero.dtype)
    number = tl.zeros((R, W), tl.float32)
    b, c = block, chunk
    for _ in range(steps):
        x = _precise(_load(values, zero, outer, inner, stride_outer, stride_inner, b, c, R, W))
        known = _inside(outer, inner, b, c, R, W) & _is_finite(x)
        low = tl.minimum(low, tl.where(known, x, float("inf")))
        high = tl.maximum(high, tl.where(known, x, float("-inf")))
        number += known.to(tl.float32)
        b, c = _next(b, c, chunks, COLUMNS)
    lowest, highest = _lowest(low, COLUMNS), _highest(high, COLUMNS)
    found = _total(number, COLUMNS)
    magnitude = tl.where(found > 0, tl.maximum(-lowest, highest), 0.0)
    scale = _scale_to_one(tl.where(magnitude > 0, magnitude, 1.0))
    sums = tl.zeros((R, W), zero.dtype)
    b, c = block, chunk
    for _ in range(steps):
        x = _precise(_load(values, zero, outer, inner, stride_outer, stride_inner, b, c, R, W))
        sums += tl.where(_is_finite(x), x, 0.0) * scale
        b, c = _next(b, c, chunks, COLUMNS)
    mean = _total(sums, COLUMNS) / tl.maximum(found, 1.0) / scale
    return _as_stored(_between(lowest, mean, highest), values), scale, lowest, highest


@triton.jit
def _powers(
    values, shift, scale, outer, inner, stride_outer, stride_inner, block, chunk, chunks, steps,
    base, CAREFUL: tl.constexpr, EXTENDED: tl.constexpr, COLUMNS: tl.constexpr,
    R: tl.constexpr, W: tl.constexpr, UNROLL: tl.constexpr,
):  # fmt: skip
    """Read a run of tiles: sums of powers, extremes and zeros; in careful mode, non-finite values.

    The exponents are counted in the first, careless reading, which they do not depend on.

    Returns:
        (s1, s2, lowest, highest, zeros, nonfinite, absolute, s3, s4, counts by exponent), whose
        last four are left at 0 in a base read.
    """
    low = tl.full((R, W), float("inf"), shift.dtype)
    high = tl.full((R, W), float("-inf"), shift.dtype)
    s1, s2 = tl.zeros((R, W), shift.dtype), tl.zeros((R, W), shift.dtype)
    s3, s4 = tl.zeros((R, W), shift.dtype), tl.zeros((R, W), shift.dtype)
    absolute = tl.zeros((R, W), shift.dtype)
    zeros, bad = tl.zeros((R, W), tl.int32), tl.zeros((R, W), tl.int32)
    counts = tl.zeros((2 * WINDOW,), tl.int32)
    scaled_shift = shift * scale
    tile = _load(values, shift, outer, inner, stride_outer, stride_inner, block, chunk, R, W)
    for _ in tl.range(steps, loop_unroll_factor=UNROLL):
        x = _precise(tile)
        inside = _inside(outer, inner, block, chunk, R, W)
        block, chunk = _next(block, chunk, chunks, COLUMNS)
        # The next tile is under way while this one is added up; the one after the last may lie
        # beyond the run, or outside of the tensor, where nothing is loaded.
        tile = _load(values, shift, outer, inner, stride_outer, stride_inner, block, chunk, R, W)
        zeros += (x == 0).to(tl.int32)
        if EXTENDED and not CAREFUL:
            counts += _window_counts(x, inside, base)
        if CAREFUL:
            finite = _is_finite(x)
            bad += 1 - finite.to(tl.int32)
            x = tl.where(finite, x, shift)
        low, high = tl.minimum(low, x), tl.maximum(high, x)
        d = x * scale - scaled_shift
        s1 += d
        square = d * d
        s2 += square
        if EXTENDED:
            s3 += square * d
            s4 += square * square
            absolute += tl.where(inside, tl.abs(x), 0.0) * scale
    return (
        _total(s1, COLUMNS), _total(s2, COLUMNS), _lowest(low, COLUMNS), _highest(high, COLUMNS),
        _total(zeros, COLUMNS), _total(bad, COLUMNS),
        _total(absolute, COLUMNS), _total(s3, COLUMNS), _total(s4, COLUMNS), counts,
    )  # fmt: skip


@triton.jit
def _misled(number, s1, s2, scale, lowest, highest, EXTENDED: tl.constexpr):
    """Whether a guess did not serve: a value is not finite, or shift or scale were far off.

    Deviations reach down to 2^-24 of the magnitude (2^-53 in float64). Their squares, or fourth
    powers, must be normal numbers, and 2^16 of these must not overflow. A shift that is off by e
    costs e^2 / variance units of the last place in the variance.
    """
    if s2.dtype == tl.float64:
        low, high = 2.0**-200, 2.0**240
    elif EXTENDED:
        low, high = 2.0**-6, 2.0**24
    else:
        low, high = 2.0**-36, 2.0**40
    magnitude = tl.maximum(tl.abs(lowest), tl.abs(highest))
    scaled = magnitude * scale
    in_range = (scaled <= high) & ((scaled >= low) | (magnitude == 0))
    limit = 0.8 if EXTENDED else 0.94  # e^2 of 4 and 16 variances
    near = s1 * s1 <= s2 * number * limit
    return ~(in_range & ((s1 == 0) | near))  # a NaN compares false


@triton.jit
def _window_counts(x, inside, base):
    """Count a tile by sign and exponent above `base`; what lies outside of the window goes last."""
    above = _exponent(x) - base
    within = inside & (above >= 0) & (above < WINDOW - 1)
    code = tl.where(within, above, WINDOW - 1) + _sign(x) * WINDOW
    return tl.histogram(tl.reshape(code, (code.numel,)), 2 * WINDOW)


@triton.jit
def _window_base(largest):
    """Return the lowest exponent of the window; 0 and 255 stay outside of it."""
    top = _exponent(largest) + HEADROOM
    return tl.minimum(tl.maximum(top - (WINDOW - 2), 1), 255 - (WINDOW - 1))


@triton.jit
def _count_outside(
    values, zero, histogram, base, outer, inner, stride_outer, stride_inner, block, chunk, chunks,
    steps, COLUMNS: tl.constexpr, R: tl.constexpr, W: tl.constexpr,
):  # fmt: skip
    """Read the run again for the finite values, other than 0, that the window does not hold."""
    counts = tl.zeros((512,), tl.int32)
    for _ in range(steps):
        x = _precise(
            _load(values, zero, outer, inner, stride_outer, stride_inner, block, chunk, R, W)
        )
        exponent = _exponent(x)
        within = (exponent >= base) & (exponent < base + WINDOW - 1)
        kept = _inside(outer, inner, block, chunk, R, W) & ~within & (x != 0)
        code = tl.where(kept, exponent, 255) + _sign(x) * 256
        counts += tl.histogram(tl.reshape(code, (code.numel,)), 512)
        block, chunk = _next(block, chunk, chunks, COLUMNS)
    bins = tl.arange(0, 512)
    kept_bins = (bins & 255) != 255
    tl.atomic_add(
        histogram + bins, counts.to(tl.int64), mask=kept_bins & (counts > 0), sem="relaxed"
    )


@triton.jit
def _add_window(histogram, counts, base):
    bins = tl.arange(0, 2 * WINDOW)
    exponent = bins % WINDOW
    target = histogram + base + exponent + (bins // WINDOW) * 256
    kept = (exponent != WINDOW - 1) & (counts > 0)
    tl.atomic_add(target, counts.to(tl.int64), mask=kept, sem="relaxed")


@triton.jit
def _outside_count(counts):
    """Return how many positions the window did not hold, those outside of the tensor included."""
    bins = tl.arange(0, 2 * WINDOW)
    return tl.sum(tl.where(bins % WINDOW == WINDOW - 1, counts, 0), 0)


@triton.jit
def _positions_before(outer, inner, tile, chunks, R: tl.constexpr, W: tl.constexpr):
    """Return how many values of a channel lie in the tiles before one."""
    block, chunk = (tile // chunks).to(tl.int64), (tile % chunks).to(tl.int64)
    rows = tl.minimum(block * R, outer)
    return rows * inner + tl.minimum(outer - rows, R) * tl.minimum(chunk * W, inner)


@triton.jit
def _positions(
    outer, inner, first, steps, chunks, COLUMNS: tl.constexpr, R: tl.constexpr, W: tl.constexpr
):
    """Return how many values of a channel, or of a column, a run of tiles holds."""
    length = 1 if COLUMNS else inner
    end = _positions_before(outer, length, first + steps, chunks, R, W)
    return (end - _positions_before(outer, length, first, chunks, R, W)).to(tl.int32)


@triton.jit(do_not_specialize=["units", "parts", "part_stride", "tiles", "chunks", "run"])
def read_tiles(
    values, partial, histogram, outer, inner, stride_outer, stride_channel, stride_inner,
    units, parts, part_stride, tiles, chunks, run,
    EXTENDED: tl.constexpr, COLUMNS: tl.constexpr,
    R: tl.constexpr, W: tl.constexpr, UNROLL: tl.constexpr,
):  # fmt: skip
    """Read one run of tiles of one channel, or of one block of columns, and store its part.

    Args:
        values: the tensor, seen as (outer, C, inner), or as (outer, columns) where `COLUMNS`.
        partial: one row of C * K numbers for each number of a part; those of a channel are
            neighbours.
        histogram: 512 int64 counts, added to in an extended read.
        outer, inner: sizes; the number of columns is `inner`.
        stride_outer, stride_channel, stride_inner: in elements.
        units: channels, or blocks of W columns.
        parts: programs per unit.
        part_stride: numbers in a row of `partial`.
        tiles: tiles per unit, chunk after chunk and block after block.
        chunks: tiles along the inner axis; 1 in columns.
        run: tiles per program.
    """
    program = tl.program_id(0)
    unit, part = program % units, program // units
    first = part * run
    steps = tl.minimum(tiles - first, run)
    if COLUMNS:
        block, chunk = first, unit
    else:
        block, chunk = first // chunks, first % chunks
        values += unit.to(tl.int64) * stride_channel
    zero = _precise(tl.zeros((1, 1), values.dtype.element_ty))
    shift, scale, largest = _first_look(
        values, zero, outer, inner, stride_outer, stride_inner, block, chunk, COLUMNS, R, W
    )
    base = _window_base(largest)
    s1, s2, lowest, highest, zeros, nonfinite, absolute, s3, s4, counts = _powers(
        values, shift, scale, outer, inner, stride_outer, stride_inner, block, chunk, chunks, steps,
        base, False, EXTENDED, COLUMNS, R, W, UNROLL,
    )  # fmt: skip
    number = _positions(outer, inner, first, steps, chunks, COLUMNS, R, W)
    if COLUMNS:
        slot = (unit.to(tl.int64) * W + tl.arange(0, W)[None, :]) * parts + part
        stored = tl.arange(0, W)[None, :] < _left(inner, chunk, W)
    else:
        slot = unit.to(tl.int64) * parts + part + tl.zeros((1, 1), tl.int64)
        stored = tl.full((1, 1), True, tl.int1)
    if _any(stored & _misled(number, s1, s2, scale, lowest, highest, EXTENDED)):
        shift, scale, least, most = _second_look(
            values, zero, outer, inner, stride_outer, stride_inner, block, chunk, chunks, steps,
            COLUMNS, R, W,
        )  # fmt: skip
        s1, s2, lowest, highest, zeros, nonfinite, absolute, s3, s4, _ = _powers(
            values, shift, scale, outer, inner, stride_outer, stride_inner, block, chunk, chunks,
            steps, base, True, EXTENDED, COLUMNS, R, W, 1,
        )  # fmt: skip
        lowest, highest = least, most
    padding = steps * R * (1 if COLUMNS else W) - number
    zeros -= tl.where(shift == 0, padding, 0)
    if EXTENDED:
        _add_window(histogram, counts, base)
        explained = tl.sum(tl.where(stored, zeros + nonfinite + padding, 0), 1)
        if COLUMNS:
            explained += steps * R * (W - _left(inner, chunk, W))
        if tl.max(explained, 0) < _outside_count(counts):
            _count_outside(
                values, zero, histogram, base, outer, inner, stride_outer, stride_inner, block,
                chunk, chunks, steps, COLUMNS, R, W,
            )  # fmt: skip
    part_stride = part_stride.to(tl.int64)
    out = partial + slot
    tl.store(out, number + tl.zeros_like(shift), mask=stored)
    tl.store(out + part_stride, shift, mask=stored)
    tl.store(out + 2 * part_stride, scale, mask=stored)
    tl.store(out + 3 * part_stride, s1, mask=stored)
    tl.store(out + 4 * part_stride, s2, mask=stored)
    tl.store(out + 5 * part_stride, lowest, mask=stored)
    tl.store(out + 6 * part_stride, highest, mask=stored)
    tl.store(out + 7 * part_stride, zeros.to(shift.dtype), mask=stored)
    tl.store(out + 8 * part_stride, nonfinite.to(shift.dtype), mask=stored)
    if EXTENDED:
        tl.store(out + 9 * part_stride, absolute, mask=stored)
        tl.store(out + 10 * part_stride, s3, mask=stored)
        tl.store(out + 11 * part_stride, s4, mask=stored)


@triton.jit
def _part(partial, row: tl.constexpr, stride, slot, mask, outside):
    return tl.load(partial + row * stride + slot, mask=mask, other=outside).to(tl.float64)


@triton.jit
def _slots(first, start, parts, channels, C: tl.constexpr, K: tl.constexpr):
    """Return where the parts from `start` on of C channels lie, and which of them exist."""
    channel = first + tl.arange(0, C)[:, None]
    part = start + tl.arange(0, K)[None, :]
    return channel.to(tl.int64) * parts + part, (channel < channels) & (part < parts)


@triton.jit(
    do_not_specialize=["channels", "parts", "part_stride", "row_stride", "column", "repeats"]
)
def merge_parts(
    partial, rows, histogram, channels, parts, part_stride, row_stride, column, repeats,
    EXTENDED: tl.constexpr, C: tl.constexpr, K: tl.constexpr,
):  # fmt: skip
    """Merge the parts of C channels in float64 and write their columns of `rows`.

    With e = s1 / n the mean of a part is shift + e in its own unit 1 / scale, and its moments about
    that mean follow from its sums. They are moved to the mean of the channel as
    `sppkit.summary.ChannelSummary.merge` moves them; its unit is the largest one of its parts, so
    that nothing overflows before the last step.

    Args:
        partial, part_stride: what `read_tiles` stored.
        rows: float64, `row_stride` numbers apart; those from `column` on are written.
        histogram: 512 int64 counts, replaced by float64 numbers in an extended read.
        channels, parts: C and K of `partial`.
        repeats: how often the tensor holds each of the values that were read.
    """
    first = tl.program_id(0) * C
    part_stride, row_stride = part_stride.to(tl.int64), row_stride.to(tl.int64)
    zero = tl.zeros((C, K), tl.float64)
    count, zeros, nonfinite, absolute, unit = zero, zero, zero, zero, zero
    low, high = zero + float("inf"), zero - float("inf")
    for start in range(0, parts, K):
        slot, mask = _slots(first, start, parts, channels, C, K)
        count += _part(partial, 0, part_stride, slot, mask, 0.0)
        unit = tl.maximum(unit, 1.0 / _part(partial, 2, part_stride, slot, mask, float("inf")))
        low = tl.minimum(low, _part(partial, 5, part_stride, slot, mask, float("inf")))
        high = tl.maximum(high, _part(partial, 6, part_stride, slot, mask, float("-inf")))
        zeros += _part(partial, 7, part_stride, slot, mask, 0.0)
        nonfinite += _part(partial, 8, part_stride, slot, mask, 0.0)
    n = tl.sum(count, 1, keep_dims=True)
    unit_of_all = tl.max(unit, 1, keep_dims=True)
    unit_of_all = tl.where(unit_of_all > 0, unit_of_all, 1.0)  # channels that do not exist
    inverse = 1.0 / unit_of_all
    # Means count from the first part's shift: those of a constant channel differ by exactly 0.
    first_slot, exists = _slots(first, 0, parts, channels, C, 1)
    origin = _part(partial, 1, part_stride, first_slot, exists, 0.0) * inverse
    sums = zero
    for start in range(0, parts, K):
        slot, mask = _slots(first, start, parts, channels, C, K)
        ratio = inverse / _part(partial, 2, part_stride, slot, mask, 1.0)
        shift = _part(partial, 1, part_stride, slot, mask, 0.0) * inverse
        number = _part(partial, 0, part_stride, slot, mask, 0.0)
        s1 = _part(partial, 3, part_stride, slot, mask, 0.0)
        sums += number * (shift - origin) + s1 * ratio
        if EXTENDED:
            absolute += _part(partial, 9, part_stride, slot, mask, 0.0) * ratio
    mean = tl.sum(sums, 1, keep_dims=True) / tl.maximum(n, 1.0)
    m2, m3, m4 = zero, zero, zero
    for start in range(0, parts, K):
        slot, mask = _slots(first, start, parts, channels, C, K)
        number = _part(partial, 0, part_stride, slot, mask, 0.0)
        ratio = inverse / _part(partial, 2, part_stride, slot, mask, 1.0)
        s1 = _part(partial, 3, part_stride, slot, mask, 0.0)
        s2 = _part(partial, 4, part_stride, slot, mask, 0.0)
        e = s1 / tl.maximum(number, 1.0)
        shift = _part(partial, 1, part_stride, slot, mask, 0.0) * inverse
        delta = (shift - origin) + e * ratio - mean
        own2 = tl.maximum(s2 - e * s1, 0.0) * ratio * ratio
        m2 += own2 + number * delta * delta
        if EXTENDED:
            s3 = _part(partial, 10, part_stride, slot, mask, 0.0)
            s4 = _part(partial, 11, part_stride, slot, mask, 0.0)
            own3 = (s3 - 3 * e * s2 + 2 * e * e * s1) * ratio * ratio * ratio
            own4 = s4 - 4 * e * s3 + 6 * e * e * s2 - 3 * e * e * e * s1
            own4 = own4 * ratio * ratio * ratio * ratio
            cube = number * delta * delta * delta
            m3 += own3 + 3 * delta * own2 + cube
            m4 += own4 + 4 * delta * own3 + 6 * delta * delta * own2 + cube * delta
    times = repeats.to(tl.float64)
    bad = tl.sum(nonfinite, 1, keep_dims=True)
    unknown = tl.where(bad > 0, float("nan"), 0.0).to(tl.float64)
    channel = first + tl.arange(0, C)[:, None]
    kept = channel < channels
    out = rows + column + channel
    tl.store(out, n * times, mask=kept)
    tl.store(out + row_stride, (origin + mean) * unit_of_all + unknown, mask=kept)
    m2 = tl.sum(m2, 1, keep_dims=True) * unit_of_all * unit_of_all
    tl.store(out + 2 * row_stride, m2 * times + unknown, mask=kept)
    tl.store(out + 3 * row_stride, tl.min(low, 1, keep_dims=True), mask=kept)
    tl.store(out + 4 * row_stride, tl.max(high, 1, keep_dims=True), mask=kept)
    tl.store(out + 5 * row_stride, tl.sum(zeros, 1, keep_dims=True) * times, mask=kept)
    tl.store(out + 6 * row_stride, bad * times, mask=kept)
    if EXTENDED:
        absolute_sum = tl.sum(absolute, 1, keep_dims=True) * unit_of_all
        m3 = tl.sum(m3, 1, keep_dims=True) * unit_of_all * unit_of_all * unit_of_all
        m4 = tl.sum(m4, 1, keep_dims=True) * unit_of_all * unit_of_all * unit_of_all * unit_of_all
        tl.store(out + 7 * row_stride, absolute_sum * times + unknown, mask=kept)
        tl.store(out + 8 * row_stride, m3 * times + unknown, mask=kept)
        tl.store(out + 9 * row_stride, m4 * times + unknown, mask=kept)
        if tl.program_id(0) == 0:
            bins = histogram + tl.arange(0, 512)
            numbers = tl.load(bins).to(tl.float64) * times
            tl.store(bins, numbers.to(tl.int64, bitcast=True))
