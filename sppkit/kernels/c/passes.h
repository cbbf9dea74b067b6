/* The read of blocks and tiles; reading.c includes this for each width of vector registers.
 *
 * REAL is the precision, NAME(x) the name of the version of x for precision and width, PRECISE(x) that
 * for the precision alone.
 *
 * A visit takes extremes, zeros and sums of powers of d = scale (x - shift), all at once. It guesses:
 * the shift is the mean of what was read of the channel before, the scale the power of two that brings
 * |d| to about 1, so that nothing underflows or overflows, whatever the magnitude. Where the guess was
 * poor, so that M2 = s2 - s1^2 / n would lose digits, the values, still in the first cache, are visited
 * again with the mean and the range that were found. A lane adds up 32 numbers or so before its sum
 * goes on in float64. Sums of values that are not finite are not finite: those are read with care.
 */

#include "lanes.h"

enum {
    NAME(TILE) = 32768 / sizeof(REAL), /* values of a tile that are copied */
    NAME(LINE) = 64 / sizeof(REAL),    /* values of a line of memory */
    NAME(BLOCK) = WIDTH > 0 ? (WIDTH > 16 ? 128 : 64) * NAME(LANES) : 128, /* values of a channel that are read at once */
};

/* Numbers by column of a tile, and memory for copies. */
typedef struct {
    REAL lowest[WIDEST], highest[WIDEST], absolute[WIDEST];
    REAL s1[WIDEST], s2[WIDEST], s3[WIDEST], s4[WIDEST];
    REAL shift[WIDEST], scale[WIDEST], column_shift[WIDEST], column_scale[WIDEST];
    INTEGER zeros[WIDEST];
    REAL copy[NAME(TILE)];
    int far; /* the values are too many for the nearer caches */
    Histogram histogram;
} NAME(Desk);

/* A tile: rows of `fold` positions x channels x inner values; one of `fold` and `inner` is 1. */
typedef struct {
    const REAL *row[MOST_ROWS];
    int rows, fold, channels, inner;
    int64_t first_channel;
} NAME(Tile);

/* ---- Magnitudes */

/* The power of two that brings a range to [1, 2), or near where that leaves the precision. */
HELPER REAL NAME(scale_of)(REAL range)
{
    BITS exponent = PRECISE(bits_of)(range) >> MANTISSA_BITS;
    BITS wanted = exponent < LARGEST_EXPONENT ? LARGEST_EXPONENT - exponent : 1;
    REAL scale;
    wanted <<= MANTISSA_BITS;
    memcpy(&scale, &wanted, sizeof scale);
    return range > 0 ? scale : 1;
}

HELPER void NAME(encode)(NAME(Desk) *desk, const REAL *x, int n)
{
    for (int begin = 0; begin < n; begin += CODES) {
        const int length = LOWER(n - begin, CODES);
        const REAL *from = x + begin;
        uint16_t *restrict code = room_for_codes(&desk->histogram, length);
        SIMD()
        for (int i = 0; i < length; ++i)
            code[i] = PRECISE(code_of)(PRECISE(bits_of)(from[i]));
    }
}

/* ---- With care: some values are not finite, or their sum overflows */

#define FOR_EACH_VALUE_OF(tile, c)                                                        \
    for (int r = 0; r < tile->rows; ++r)                                                  \
        for (int f = 0; f < tile->fold; ++f)                                              \
            for (const REAL *x = tile->row[r] + (f * tile->channels + c) * tile->inner,   \
                            *end = x + tile->inner; x < end; ++x)

/* Moments in float64, where no power of a float32 overflows; the mean lies between the extremes. */
HELPER Moments NAME(careful_moments)(const NAME(Tile) *tile, int c, double share, double lowest, double highest)
{
    Moments moments = {0, 0, 0, 0};
    FOR_EACH_VALUE_OF(tile, c)
        moments.mean += *x * share;
    moments.mean = HIGHER(LOWER(moments.mean, highest), lowest);
    FOR_EACH_VALUE_OF(tile, c) {
        double d = *x - moments.mean, square = d * d;
        moments.m2 += square;
        moments.m3 += square * d;
        moments.m4 += square * square;
    }
    return moments;
}

HELPER void NAME(read_with_care)(State state, const NAME(Tile) *tile, int c, int extended)
{
    double lowest = INFINITY, highest = -INFINITY, absolute = 0;
    int zeros = 0, nonfinite = 0, values = tile->rows * tile->fold * tile->inner;
    FOR_EACH_VALUE_OF(tile, c) {
        int finite = isfinite(*x) != 0;
        nonfinite += !finite;
        zeros += *x == 0;
        lowest = finite ? LOWER(*x, lowest) : lowest;
        highest = finite ? HIGHER(*x, highest) : highest;
        absolute += fabs((double)*x);
    }
    Moments moments = {NAN, NAN, NAN, NAN};
    if (nonfinite == 0)
        moments = NAME(careful_moments)(tile, c, 1.0 / values, lowest, highest);
    int64_t k = tile->first_channel + c;
    add_moments(state, k, row_of(state, COUNT)[k], moments, values, extended);
    row_of(state, COUNT)[k] += values;
    row_of(state, LOWEST)[k] = LOWER(lowest, row_of(state, LOWEST)[k]);
    row_of(state, HIGHEST)[k] = HIGHER(highest, row_of(state, HIGHEST)[k]);
    row_of(state, ZEROS)[k] += zeros;
    row_of(state, NONFINITE)[k] += nonfinite;
    if (extended)
        row_of(state, ABSOLUTE)[k] += nonfinite > 0 ? NAN : absolute;
}

/* ---- Blocks: neighbouring values of one channel */

/* Add what the two visits found of `channels` channels, `n` values of each. */
HELPER void NAME(add_to_state)(State state, int64_t first, int channels, const NAME(Desk) *desk, double n,
                               int extended)
{
    double n_a = row_of(state, COUNT)[first], share = 1 / n;
    double *count = row_of(state, COUNT) + first, *zeros = row_of(state, ZEROS) + first;
    double *lowest = row_of(state, LOWEST) + first, *highest = row_of(state, HIGHEST) + first;
    double *absolute = row_of(state, ABSOLUTE) + first;
    SIMD()
    for (int c = 0; c < channels; ++c) {
        double unit = 1 / (double)desk->scale[c], s1 = desk->s1[c], s2 = desk->s2[c], e = s1 * share;
        double m2 = s2 - e * s1;
        Moments b = {desk->shift[c] + e * unit, (m2 > 0 ? m2 : 0) * unit * unit, 0, 0};
        if (extended) {
            double s3 = desk->s3[c], s4 = desk->s4[c];
            b.m3 = (s3 - 3 * e * s2 + 2 * e * e * s1) * unit * unit * unit;
            b.m4 = (s4 - 4 * e * s3 + 6 * e * e * s2 - 3 * e * e * e * s1) * unit * unit * unit * unit;
            absolute[c] += desk->absolute[c];
        }
        add_moments(state, first + c, n_a, b, n, extended);
        count[c] = n_a + n;
        lowest[c] = LOWER(desk->lowest[c], lowest[c]);
        highest[c] = HIGHER(desk->highest[c], highest[c]);
        zeros[c] += desk->zeros[c];
    }
}

/* Ask for values that are needed next: a visit keeps too few lines of memory on their way. */
HELPER void NAME(prefetch)(const REAL *x, int n)
{
    for (int i = 0; i < n; i += 64 / (int)sizeof(REAL))
        PREFETCH(x + i);
}

/* ---- Shift and scale */

HELPER REAL NAME(scale_about)(REAL shift, REAL lowest, REAL highest)
{
    return NAME(scale_of)(HIGHER(highest - shift, shift - lowest));
}

/* Take them from what the channels hold already; returns 0 where one of them holds nothing of use. */
HELPER int NAME(guess_from_state)(NAME(Desk) *desk, State state, int64_t first, int channels)
{
    const double *mean = row_of(state, MEAN) + first;
    const double *lowest = row_of(state, LOWEST) + first, *highest = row_of(state, HIGHEST) + first;
    int useful = 1;
    for (int c = 0; c < channels; ++c)
        useful &= mean[c] >= lowest[c] && mean[c] <= highest[c];
    if (!useful)
        return 0;
    SIMD()
    for (int c = 0; c < channels; ++c) {
        desk->shift[c] = (REAL)mean[c];
        desk->scale[c] = NAME(scale_about)(desk->shift[c], (REAL)lowest[c], (REAL)highest[c]);
    }
    return 1;
}

/* Without a state: no shift, and the scale of what was read last. */
HELPER void NAME(guess_from_nothing)(NAME(Desk) *desk, int channels)
{
    const REAL scale = desk->scale[0];
    for (int c = 0; c < channels; ++c)
        desk->shift[c] = 0, desk->scale[c] = scale;
}

/* Whether the sums of a visit are good to the last digits: the shift is within half a standard
 * deviation of the mean, a quarter for the higher moments, and powers of deviations are normal. */
HELPER int NAME(guesses_were_good)(const NAME(Desk) *desk, int channels, double n, int extended)
{
    const double strictness = extended ? 17 : 5; /* as s2 = n (variance + e^2), s1 = n e */
    int good = 1;
    SIMD(reduction(& : good))
    for (int c = 0; c < channels; ++c) {
        REAL shift = desk->shift[c], range = HIGHER(desk->highest[c] - shift, shift - desk->lowest[c]);
        REAL scaled = range * desk->scale[c];
        double s1 = desk->s1[c], s2 = desk->s2[c];
        const int normal = (range == 0) | ((scaled >= LEAST_RANGE) & (scaled <= MOST_RANGE));
        good &= normal & (strictness * s1 * s1 <= n * s2);
    }
    return good;
}

/* Take them from the sums and extremes of a visit. */
HELPER void NAME(correct_guesses)(NAME(Desk) *desk, int channels, double n)
{
    SIMD()
    for (int c = 0; c < channels; ++c) {
        REAL lowest = desk->lowest[c], highest = desk->highest[c];
        REAL mean = (REAL)(desk->shift[c] + desk->s1[c] / n / desk->scale[c]);
        mean = HIGHER(LOWER(mean, highest), lowest);
        desk->shift[c] = mean;
        desk->scale[c] = NAME(scale_about)(mean, lowest, highest);
    }
}

HELPER int NAME(sums_are_finite)(const NAME(Desk) *desk, int channels, int extended)
{
    int finite = 1;
    for (int c = 0; c < channels; ++c)
        finite &= isfinite(desk->s1[c]) && (!extended || isfinite(desk->absolute[c]));
    return finite;
}

/* ---- Blocks: neighbouring values of one channel */

/* What was read, by lane of a vector register; the lanes go together in the end. */
typedef struct {
    NAME(Vector) lowest, highest, absolute, s1, s2, s3, s4;
    NAME(Mask) zeros;
} NAME(Lanes);

/* Of no values; `any` is one of those that come. */
HELPER NAME(Lanes) NAME(no_lanes)(REAL any)
{
    const NAME(Vector) none = NAME(fill)(0);
    return (NAME(Lanes)){NAME(fill)(any), NAME(fill)(any), none, none, none, none, none, (NAME(Mask)){0}};
}

/* Four vectors at once: each lane adds fours, which shortens its sum. */
HELPER void NAME(add_four)(NAME(Lanes) *lanes, NAME(Vector) a, NAME(Vector) b, NAME(Vector) c, NAME(Vector) d,
                           NAME(Vector) scale, NAME(Vector) shift, int extended)
{
    const NAME(Vector) low = NAME(lower)(NAME(lower)(a, b), NAME(lower)(c, d));
    const NAME(Vector) high = NAME(higher)(NAME(higher)(a, b), NAME(higher)(c, d));
    lanes->lowest = NAME(lower)(low, lanes->lowest);
    lanes->highest = NAME(higher)(high, lanes->highest);
    lanes->zeros -= (IS_ZERO(a) + IS_ZERO(b)) + (IS_ZERO(c) + IS_ZERO(d));
    if (extended)
        lanes->absolute += (SIZE_OF(a) + SIZE_OF(b)) + (SIZE_OF(c) + SIZE_OF(d));
    a = a * scale - shift, b = b * scale - shift, c = c * scale - shift, d = d * scale - shift;
    const NAME(Vector) aa = a * a, bb = b * b, cc = c * c, dd = d * d;
    lanes->s1 += (a + b) + (c + d);
    lanes->s2 += (aa + bb) + (cc + dd);
    if (extended) {
        lanes->s3 += (aa * a + bb * b) + (cc * c + dd * d);
        lanes->s4 += (aa * aa + bb * bb) + (cc * cc + dd * dd);
    }
}

HELPER void NAME(add_one)(NAME(Lanes) *lanes, NAME(Vector) a, NAME(Vector) scale, NAME(Vector) shift, int extended)
{
    const NAME(Vector) d = a * scale - shift, dd = d * d;
    lanes->lowest = NAME(lower)(a, lanes->lowest);
    lanes->highest = NAME(higher)(a, lanes->highest);
    lanes->zeros -= IS_ZERO(a);
    lanes->s1 += d;
    lanes->s2 += dd;
    if (extended) {
        lanes->absolute += SIZE_OF(a);
        lanes->s3 += dd * d;
        lanes->s4 += dd * dd;
    }
}

/* Add what the first `n` lanes of others have read; these have at least one. */
HELPER void NAME(add_first_lanes)(NAME(Lanes) *lanes, const NAME(Lanes) *others, int n, int extended)
{
    lanes->lowest = NAME(lower)(others->lowest, lanes->lowest);
    lanes->highest = NAME(higher)(others->highest, lanes->highest);
    lanes->zeros += others->zeros & NAME(first_lanes)(n);
    lanes->s1 += NAME(only_lanes)(others->s1, n);
    lanes->s2 += NAME(only_lanes)(others->s2, n);
    if (extended) {
        lanes->absolute += NAME(only_lanes)(others->absolute, n);
        lanes->s3 += NAME(only_lanes)(others->s3, n);
        lanes->s4 += NAME(only_lanes)(others->s4, n);
    }
}

/* Read runs of `n` neighbours in `rows` rows, four rows at once.
 *
 * The last vector of a run may be filled in part. Those are read apart, with the first value of all in
 * the lanes beyond, which leave no trace: no extreme changes, and their sums are dropped.
 */
HELPER NAME(Lanes) NAME(read_lanes)(const REAL *const *row, int64_t offset, int rows, int n, int far,
                                    NAME(Vector) scale, NAME(Vector) shift, int extended)
{
    enum { WIDE = NAME(LANES) };
    const int fours = n - n % (4 * WIDE), whole = n - n % WIDE, rest = n - whole;
    const NAME(Vector) any = NAME(fill)(row[0][offset]);
    NAME(Lanes) lanes = NAME(no_lanes)(row[0][offset]), last = lanes;
    int r = 0;
    for (; r + 4 <= rows; r += 4) {
        const REAL *a = row[r] + offset, *b = row[r + 1] + offset, *c = row[r + 2] + offset, *d = row[r + 3] + offset;
        for (int i = 0; i < whole; i += WIDE) {
            if (far) {
                PREFETCH(a + i + FAR_AHEAD);
                PREFETCH(b + i + FAR_AHEAD);
                PREFETCH(c + i + FAR_AHEAD);
                PREFETCH(d + i + FAR_AHEAD);
            }
            NAME(add_four)(&lanes, NAME(lanes_at)(a + i), NAME(lanes_at)(b + i), NAME(lanes_at)(c + i),
                           NAME(lanes_at)(d + i), scale, shift, extended);
        }
        if (rest > 0)
            NAME(add_four)(&last, NAME(some_lanes_at)(a + whole, rest, any), NAME(some_lanes_at)(b + whole, rest, any),
                           NAME(some_lanes_at)(c + whole, rest, any), NAME(some_lanes_at)(d + whole, rest, any), scale,
                           shift, extended);
    }
    for (; r < rows; ++r) {
        const REAL *x = row[r] + offset;
        for (int i = 0; i < fours; i += 4 * WIDE) {
            for (int line = 0; far && line < 4 * WIDE; line += NAME(LINE))
                PREFETCH(x + i + FAR_AHEAD + line);
            NAME(add_four)(&lanes, NAME(lanes_at)(x + i), NAME(lanes_at)(x + i + WIDE),
                           NAME(lanes_at)(x + i + 2 * WIDE), NAME(lanes_at)(x + i + 3 * WIDE), scale, shift, extended);
        }
        for (int i = fours; i < whole; i += WIDE)
            NAME(add_one)(&lanes, NAME(lanes_at)(x + i), scale, shift, extended);
        if (rest > 0)
            NAME(add_one)(&last, NAME(some_lanes_at)(x + whole, rest, any), scale, shift, extended);
    }
    if (rest > 0)
        NAME(add_first_lanes)(&lanes, &last, rest, extended);
    return lanes;
}

HELPER void NAME(join)(NAME(Desk) *desk, int c, const NAME(Lanes) *lanes, int extended)
{
    desk->lowest[c] = NAME(lowest_of)(lanes->lowest);
    desk->highest[c] = NAME(highest_of)(lanes->highest);
    desk->zeros[c] = NAME(count_of)(lanes->zeros);
    desk->s1[c] = NAME(sum_of)(lanes->s1);
    desk->s2[c] = NAME(sum_of)(lanes->s2);
    if (extended) {
        desk->absolute[c] = NAME(sum_of)(lanes->absolute);
        desk->s3[c] = NAME(sum_of)(lanes->s3);
        desk->s4[c] = NAME(sum_of)(lanes->s4);
    }
}

/* Visit `rows` runs of channel `c` of the desk. */
HELPER void NAME(visit_runs)(NAME(Desk) *desk, int c, const REAL *const *row, int64_t offset, int rows, int n,
                             int far, int extended)
{
    const NAME(Vector) scale = NAME(fill)(desk->scale[c]), shift = NAME(fill)(desk->shift[c] * desk->scale[c]);
    const NAME(Lanes) lanes = NAME(read_lanes)(row, offset, rows, n, far, scale, shift, extended);
    NAME(join)(desk, c, &lanes, extended);
}

HELPER void NAME(read_block)(NAME(Desk) *desk, State state, int64_t c, const REAL *x, int n, int extended)
{
    if (extended)
        NAME(encode)(desk, x, n);
    if (!NAME(guess_from_state)(desk, state, c, 1))
        NAME(guess_from_nothing)(desk, 1);
    for (int visits = 1;; ++visits) {
        NAME(visit_runs)(desk, 0, &x, 0, 1, n, desk->far && visits == 1, extended);
        if (visits == MOST_VISITS || !NAME(sums_are_finite)(desk, 1, extended) ||
            NAME(guesses_were_good)(desk, 1, n, extended))
            break;
        NAME(correct_guesses)(desk, 1, n);
    }
    if (NAME(sums_are_finite)(desk, 1, extended)) {
        NAME(add_to_state)(state, c, 1, desk, n, extended);
    } else {
        const NAME(Tile) tile = {.row = {x}, .rows = 1, .fold = 1, .channels = 1, .inner = n,
                                 .first_channel = c};
        NAME(read_with_care)(state, &tile, 0, extended);
        desk->scale[0] = 1;
    }
}

/* ---- Tiles: channels, or short runs of them, side by side */

/* What was read of the columns from `j` on. */
HELPER NAME(Lanes) NAME(lanes_of_columns)(const NAME(Desk) *desk, int j, int extended)
{
    NAME(Lanes) lanes = NAME(no_lanes)(0);
    lanes.lowest = NAME(lanes_at)(desk->lowest + j);
    lanes.highest = NAME(lanes_at)(desk->highest + j);
    memcpy(&lanes.zeros, desk->zeros + j, sizeof lanes.zeros);
    lanes.s1 = NAME(lanes_at)(desk->s1 + j);
    lanes.s2 = NAME(lanes_at)(desk->s2 + j);
    if (extended) {
        lanes.absolute = NAME(lanes_at)(desk->absolute + j);
        lanes.s3 = NAME(lanes_at)(desk->s3 + j);
        lanes.s4 = NAME(lanes_at)(desk->s4 + j);
    }
    return lanes;
}

HELPER void NAME(put_lanes_of_columns)(NAME(Desk) *desk, int j, const NAME(Lanes) *lanes, int extended)
{
    NAME(put_lanes)(desk->lowest + j, lanes->lowest);
    NAME(put_lanes)(desk->highest + j, lanes->highest);
    memcpy(desk->zeros + j, &lanes->zeros, sizeof lanes->zeros);
    NAME(put_lanes)(desk->s1 + j, lanes->s1);
    NAME(put_lanes)(desk->s2 + j, lanes->s2);
    if (extended) {
        NAME(put_lanes)(desk->absolute + j, lanes->absolute);
        NAME(put_lanes)(desk->s3 + j, lanes->s3);
        NAME(put_lanes)(desk->s4 + j, lanes->s4);
    }
}

/* Visit eight rows, or one, at once: a number per column. Lanes beyond the width are thrown away. */
HELPER void NAME(visit_rows)(NAME(Desk) *desk, const REAL *const *row, const int height, int width, int extended)
{
    const int last = height - 1; /* held here, as a store to the desk might change what is behind `row` */
    const REAL *const r0 = row[0], *const r1 = row[LOWER(1, last)], *const r2 = row[LOWER(2, last)];
    const REAL *const r3 = row[LOWER(3, last)], *const r4 = row[LOWER(4, last)], *const r5 = row[LOWER(5, last)];
    const REAL *const r6 = row[LOWER(6, last)], *const r7 = row[last];
    for (int j = 0; j < width; j += NAME(LANES)) {
        const NAME(Vector) scale = NAME(lanes_at)(desk->column_scale + j);
        const NAME(Vector) shift = NAME(lanes_at)(desk->column_shift + j);
        const int left = width - j;
        NAME(Lanes) lanes = NAME(lanes_of_columns)(desk, j, extended);
#define AT(x) (left >= NAME(LANES) ? NAME(lanes_at)(x + j) : NAME(some_lanes_at)(x + j, left, scale))
        if (height == 8) {
            NAME(add_four)(&lanes, AT(r0), AT(r1), AT(r2), AT(r3), scale, shift, extended);
            NAME(add_four)(&lanes, AT(r4), AT(r5), AT(r6), AT(r7), scale, shift, extended);
        } else {
            NAME(add_one)(&lanes, AT(r0), scale, shift, extended);
        }
#undef AT
        NAME(put_lanes_of_columns)(desk, j, &lanes, extended);
    }
}

/* Let the positions of a fold go together into the first, in place. */
#define JOIN_FOLD(name, TYPE, JOIN)                                                    \
    HELPER void NAME(name)(const NAME(Tile) *tile, TYPE *column)                       \
    {                                                                                  \
        for (int f = 1; f < tile->fold; ++f) {                                         \
            SIMD()                                                                     \
            for (int c = 0; c < tile->channels; ++c)                                   \
                column[c] = JOIN(column[f * tile->channels + c], column[c]);           \
        }                                                                              \
    }
JOIN_FOLD(join_sums, REAL, ADDED)
JOIN_FOLD(join_counts, INTEGER, ADDED)
JOIN_FOLD(join_lowest, REAL, LOWER)
JOIN_FOLD(join_highest, REAL, HIGHER)
#undef JOIN_FOLD

/* The opposite: from a number per channel to one per column. */
HELPER void NAME(spread_shift_and_scale)(NAME(Desk) *desk, const NAME(Tile) *tile)
{
    for (int f = 0; f < tile->fold; ++f) {
        REAL *scale = desk->column_scale + f * tile->channels, *shift = desk->column_shift + f * tile->channels;
        SIMD()
        for (int c = 0; c < tile->channels; ++c)
            scale[c] = desk->scale[c], shift[c] = desk->shift[c] * desk->scale[c];
    }
}

/* Single values of the channels side by side. */
HELPER void NAME(visit_columns)(NAME(Desk) *desk, const NAME(Tile) *tile, int rows, int far, int extended)
{
    const int width = tile->fold * tile->channels;
    int r = 0;
    NAME(spread_shift_and_scale)(desk, tile);
    for (int j = 0; j < width; ++j) {
        desk->lowest[j] = (REAL)INFINITY;
        desk->highest[j] = -(REAL)INFINITY;
        desk->zeros[j] = 0;
        desk->s1[j] = desk->s2[j] = desk->s3[j] = desk->s4[j] = desk->absolute[j] = 0;
    }
    for (; r + 8 <= rows; r += 8) {
        for (int k = r + AHEAD; far && k < LOWER(r + AHEAD + 8, rows); ++k)
            NAME(prefetch)(tile->row[k], width);
        NAME(visit_rows)(desk, tile->row + r, 8, width, extended);
    }
    for (; r < rows; ++r)
        NAME(visit_rows)(desk, tile->row + r, 1, width, extended);
    NAME(join_lowest)(tile, desk->lowest);
    NAME(join_highest)(tile, desk->highest);
    NAME(join_counts)(tile, desk->zeros);
    NAME(join_sums)(tile, desk->s1);
    NAME(join_sums)(tile, desk->s2);
    if (extended) {
        NAME(join_sums)(tile, desk->absolute);
        NAME(join_sums)(tile, desk->s3);
        NAME(join_sums)(tile, desk->s4);
    }
}

HELPER void NAME(visit_tile)(NAME(Desk) *desk, const NAME(Tile) *tile, int rows, int far, int extended)
{
    const int n = tile->inner;
    if (n == 1) {
        NAME(visit_columns)(desk, tile, rows, far, extended);
        return;
    }
    for (int c = 0; c < tile->channels; ++c)
        NAME(visit_runs)(desk, c, tile->row, c * n, rows, n, far, extended);
}

HELPER void NAME(read_tile)(NAME(Desk) *desk, State state, const NAME(Tile) *tile, int extended)
{
    const int channels = tile->channels, values = tile->rows * tile->fold * tile->inner;
    int rows = tile->rows;
    for (int r = 0; r < rows && extended; ++r)
        NAME(encode)(desk, tile->row[r], tile->fold * channels * tile->inner);
    if (!NAME(guess_from_state)(desk, state, tile->first_channel, channels)) {
        /* Few means are farther from 0 than a standard deviation; a visit of some rows tells. */
        NAME(guess_from_nothing)(desk, channels);
        const int some = HIGHER(SAMPLES / (tile->fold * tile->inner), tile->inner == 1 ? 4 : 1);
        rows = values >= WORTH_A_GUESS && 3 * some < rows ? some : rows;
    }
    for (int visits = 1;; ++visits, rows = tile->rows) {
        NAME(visit_tile)(desk, tile, rows, desk->far && visits == 1, extended);
        if (rows == tile->rows && (visits >= MOST_VISITS || !NAME(sums_are_finite)(desk, channels, extended) ||
                                   NAME(guesses_were_good)(desk, channels, values, extended)))
            break;
        NAME(correct_guesses)(desk, channels, rows * tile->fold * tile->inner);
    }
    if (NAME(sums_are_finite)(desk, channels, extended)) {
        NAME(add_to_state)(state, tile->first_channel, channels, desk, values, extended);
        return;
    }
    for (int c = 0; c < channels; ++c)
        NAME(read_with_care)(state, tile, c, extended);
    desk->scale[0] = 1;
}

/* ---- The three ways over a tensor */

/* Read `n` values that are `stride` apart, in blocks of equal length. */
HELPER void NAME(read_run)(NAME(Desk) *desk, State state, const TensorView *tensor, int64_t c, int64_t offset,
                           int64_t n, int64_t stride, int extended)
{
    const int64_t blocks = (n + NAME(BLOCK) - 1) / NAME(BLOCK);
    for (int64_t b = 0; b < blocks; ++b) {
        const int64_t begin = n * b / blocks, length = n * (b + 1) / blocks - begin;
        const REAL *x = desk->copy;
        if (PRECISE(is_natural)(tensor) && stride == 1) {
            x = (const REAL *)tensor->data + offset + begin;
        } else {
            PRECISE(load)(desk->copy, tensor, offset + begin * stride, (int)length, stride);
        }
        NAME(read_block)(desk, state, c, x, (int)length, extended);
    }
}

HELPER void NAME(read_runs)(NAME(Desk) *desk, State state, const TensorView *tensor, const Layout *layout,
                            Part part, int extended)
{
    const int64_t start = part.inner_begin * layout->inner_stride, length = part.inner_end - part.inner_begin;
    Position position = position_at(layout, part.outer_begin);
    for (int64_t o = part.outer_begin; o < part.outer_end; ++o, advance(&position))
        for (int64_t c = part.channel_begin; c < part.channel_end; ++c)
            NAME(read_run)(desk, state, tensor, c, position.offset + c * layout->channel_stride + start,
                           length, layout->inner_stride, extended);
}

/* Copy runs of a channel, each shorter than a block, until the copy holds that many. */
HELPER void NAME(read_gathered)(NAME(Desk) *desk, State state, const TensorView *tensor, const Layout *layout,
                                Part part, int extended)
{
    const int n = (int)(part.inner_end - part.inner_begin);
    for (int64_t c = part.channel_begin; c < part.channel_end; ++c) {
        const int64_t start = c * layout->channel_stride + part.inner_begin * layout->inner_stride;
        Position position = position_at(layout, part.outer_begin);
        int held = 0;
        for (int64_t o = part.outer_begin; o < part.outer_end; ++o, advance(&position)) {
            PRECISE(load)(desk->copy + held, tensor, position.offset + start, n, layout->inner_stride);
            held += n;
            if (held + n > NAME(BLOCK) || o + 1 == part.outer_end) {
                NAME(read_block)(desk, state, c, desk->copy, held, extended);
                held = 0;
            }
        }
    }
}

/* Copy the channels of a tile that stand at one position. */
HELPER void NAME(load_position)(REAL *copy, const TensorView *tensor, const Layout *layout, int64_t offset,
                                int channels)
{
    const int inner = (int)layout->inner;
    if (inner == 1)
        PRECISE(load)(copy, tensor, offset, channels, layout->channel_stride);
    else /* then channels follow each other */
        PRECISE(load)(copy, tensor, offset, channels * inner, 1);
}

/* Whether rows of a tile lie in memory as they are read. */
HELPER int NAME(rows_are_in_place)(const TensorView *tensor, const Layout *layout)
{
    const int64_t period = layout->channels * layout->inner;
    return PRECISE(is_natural)(tensor) && layout->channel_stride == layout->inner &&
           (layout->fold == 1 || (layout->outer_axes == 1 && layout->outer_stride[0] == period));
}

/* Point the rows of a tile to memory, or to a copy, and move the position beyond them. */
HELPER void NAME(place_rows)(NAME(Desk) *desk, NAME(Tile) *tile, const TensorView *tensor, const Layout *layout,
                             Position *position, int in_place)
{
    const int64_t start = tile->first_channel * layout->channel_stride;
    if (in_place && layout->outer_axes <= 1) {
        const int64_t step = layout->outer_axes ? tile->fold * layout->outer_stride[0] : 0;
        const REAL *first = (const REAL *)tensor->data + position->offset + start;
        for (int r = 0; r < tile->rows; ++r)
            tile->row[r] = first + r * step;
        position->offset += tile->rows * step;
        return;
    }
    const int period = tile->channels * tile->inner;
    for (int r = 0, held = 0; r < tile->rows; ++r) {
        tile->row[r] = in_place ? (const REAL *)tensor->data + position->offset + start : desk->copy + held;
        for (int f = 0; f < tile->fold; ++f, held += period, advance(position))
            if (!in_place)
                NAME(load_position)(desk->copy + held, tensor, layout, position->offset + start, tile->channels);
    }
}

HELPER void NAME(read_columns)(NAME(Desk) *desk, State state, const TensorView *tensor, const Layout *layout,
                               Part part, int extended)
{
    const int64_t channels = part.channel_end - part.channel_begin, inner = layout->inner;
    const int64_t most_rows = inner == 1 ? MOST_ROWS : LOWER(HIGHER(NAME(BLOCK) / inner, 1), RUN_ROWS);
    const int64_t wide = inner == 1 ? STRIP : NAME(TILE) / (LOWER(most_rows, layout->outer) * inner);
    const int64_t strip = LOWER(HIGHER(LOWER(wide, STRIP), 1), channels);
    const int in_place = NAME(rows_are_in_place)(tensor, layout);
    Position position = position_at(layout, part.outer_begin), next = position;
    int64_t left = part.outer_end - part.outer_begin;
    while (left > 0) {
        const int fold = left >= layout->fold ? layout->fold : 1;
        NAME(Tile) tile;
        tile.fold = fold, tile.inner = (int)inner;
        const int64_t copied = LOWER(NAME(TILE) / (strip * inner * fold), most_rows);
        const int64_t fitting = in_place ? most_rows : copied;
        tile.rows = (int)LOWER(left / fold, fitting);
        for (int64_t c = 0; c < channels; c += strip) {
            tile.channels = (int)LOWER(strip, channels - c);
            tile.first_channel = part.channel_begin + c;
            next = position;
            NAME(place_rows)(desk, &tile, tensor, layout, &next, in_place);
            NAME(read_tile)(desk, state, &tile, extended);
        }
        position = next;
        left -= tile.rows * fold;
    }
}

HELPER void NAME(read_part)(const TensorView *tensor, const Layout *layout, Part part, State state,
                            int64_t *histogram, void (*count)(Histogram *))
{
    const int extended = count != NULL;
    NAME(Desk) desk;
    desk.scale[0] = 1;
    desk.far = layout->far;
    if (extended)
        start_counting(&desk.histogram, count);
    if (layout->form == RUNS || layout->inner > NAME(BLOCK))
        NAME(read_runs)(&desk, state, tensor, layout, part, extended);
    else if (layout->form == GATHERED)
        NAME(read_gathered)(&desk, state, tensor, layout, part, extended);
    else
        NAME(read_columns)(&desk, state, tensor, layout, part, extended);
    if (extended)
        count(&desk.histogram);
    for (int k = 0; k < EXPONENTS && extended; ++k)
        histogram[k] += desk.histogram.counts[k];
}
