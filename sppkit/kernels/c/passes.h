/* The read of blocks and tiles in one precision; reading.c includes this once for each.
 *
 * REAL is the precision, NAME(x) the name of its version of x; BITS, MANTISSA_BITS and LARGEST_EXPONENT
 * describe it.
 *
 * A visit takes extremes, zeros and sums of powers of d = scale (x - shift), all at once. It guesses:
 * the shift is the mean of what was read of the channel before, the scale the power of two that brings
 * |d| to about 1, so that nothing underflows or overflows, whatever the magnitude. Where the guess was
 * poor, so that M2 = s2 - s1^2 / n would lose digits, the values, still in the first cache, are visited
 * again with the mean and the range that were found. A lane adds up 32 numbers or so before its sum
 * goes on in float64. Sums of values that are not finite are not finite: those are read with care.
 */

enum {
    NAME(TILE) = 32768 / sizeof(REAL), /* values of a tile that are copied */
    NAME(LANES) = 64 / sizeof(REAL),   /* values of the widest vector register, and of a line of memory */
};

/* Numbers by column of a tile, and memory for copies. */
typedef struct {
    REAL lowest[WIDEST], highest[WIDEST], absolute[WIDEST];
    REAL s1[WIDEST], s2[WIDEST], s3[WIDEST], s4[WIDEST];
    REAL shift[WIDEST], scale[WIDEST], column_shift[WIDEST], column_scale[WIDEST];
    REAL spare[WIDEST];
    int32_t zeros[WIDEST], spare_counts[WIDEST];
    REAL copy[NAME(TILE)];
    int far; /* the values are in main memory, probably */
    Histogram histogram;
} NAME(Desk);

/* A tile: rows of `fold` positions x channels x inner values. */
typedef struct {
    const REAL *row[MOST_ROWS];
    int rows, fold, channels, inner;
    int64_t first_channel;
} NAME(Tile);

/* ---- Magnitudes */

INLINE BITS NAME(bits_of)(REAL value)
{
    BITS bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* The power of two that brings a range to [1, 2), or near where that leaves the precision. */
INLINE REAL NAME(scale_of)(REAL range)
{
    BITS exponent = NAME(bits_of)(range) >> MANTISSA_BITS;
    BITS wanted = exponent < LARGEST_EXPONENT ? LARGEST_EXPONENT - exponent : 1;
    REAL scale;
    wanted <<= MANTISSA_BITS;
    memcpy(&scale, &wanted, sizeof scale);
    return range > 0 ? scale : 1;
}

INLINE void NAME(encode)(NAME(Desk) *desk, const REAL *x, int n)
{
    uint16_t *restrict code = room_for_codes(&desk->histogram, n);
    SIMD()
    for (int i = 0; i < n; ++i)
        code[i] = NAME(code_of)(NAME(bits_of)(x[i]));
}

/* ---- With care: some values are not finite, or their sum overflows */

#define FOR_EACH_VALUE_OF(tile, c)                                                        \
    for (int r = 0; r < tile->rows; ++r)                                                  \
        for (int f = 0; f < tile->fold; ++f)                                              \
            for (const REAL *x = tile->row[r] + (f * tile->channels + c) * tile->inner,   \
                            *end = x + tile->inner; x < end; ++x)

/* Moments in float64, where no power of a float32 overflows; the mean lies between the extremes. */
INLINE Moments NAME(careful_moments)(const NAME(Tile) *tile, int c, double share, double lowest, double highest)
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

INLINE void NAME(read_with_care)(State state, const NAME(Tile) *tile, int c, int extended)
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
INLINE void NAME(add_to_state)(State state, int64_t first, int channels, const NAME(Desk) *desk, double n,
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
INLINE void NAME(prefetch)(const REAL *x, int n)
{
    for (int i = 0; i < n; i += 64 / (int)sizeof(REAL))
        PREFETCH(x + i);
}

/* ---- Shift and scale */

INLINE REAL NAME(scale_about)(REAL shift, REAL lowest, REAL highest)
{
    return NAME(scale_of)(HIGHER(highest - shift, shift - lowest));
}

/* Take them from what the channels hold already; returns 0 where one of them holds nothing of use. */
INLINE int NAME(guess_from_state)(NAME(Desk) *desk, State state, int64_t first, int channels)
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
INLINE void NAME(guess_from_nothing)(NAME(Desk) *desk, int channels)
{
    const REAL scale = desk->scale[0];
    for (int c = 0; c < channels; ++c)
        desk->shift[c] = 0, desk->scale[c] = scale;
}

/* Whether the sums of a visit are good to the last digits: the shift is within half a standard
 * deviation of the mean, a quarter for the higher moments, and powers of deviations are normal. */
INLINE int NAME(guesses_were_good)(const NAME(Desk) *desk, int channels, double n, int extended)
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
INLINE void NAME(correct_guesses)(NAME(Desk) *desk, int channels, double n)
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

INLINE int NAME(sums_are_finite)(const NAME(Desk) *desk, int channels, int extended)
{
    int finite = 1;
    for (int c = 0; c < channels; ++c)
        finite &= isfinite(desk->s1[c]) && (!extended || isfinite(desk->absolute[c]));
    return finite;
}

/* ---- Blocks: neighbouring values of one channel */

/* Sums and extremes by lane of a vector register; they go together when all is read. */
typedef struct {
    REAL lowest[NAME(LANES)], highest[NAME(LANES)], absolute[NAME(LANES)];
    REAL s1[NAME(LANES)], s2[NAME(LANES)], s3[NAME(LANES)], s4[NAME(LANES)];
    int32_t zeros[NAME(LANES)];
} NAME(Lanes);

/* Of no values; `any` is one of those that come. */
INLINE void NAME(clear_lanes)(NAME(Lanes) *lanes, REAL any)
{
    SIMD(simdlen(NAME(LANES)))
    for (int l = 0; l < NAME(LANES); ++l) {
        lanes->lowest[l] = lanes->highest[l] = any;
        lanes->absolute[l] = lanes->s1[l] = lanes->s2[l] = lanes->s3[l] = lanes->s4[l] = 0;
        lanes->zeros[l] = 0;
    }
}

/* Four registers full of neighbours: each lane adds fours, which shortens its sum. */
INLINE void NAME(add_four)(NAME(Lanes) *lanes, const REAL *x, REAL scale, REAL shift, int extended)
{
    SIMD(simdlen(NAME(LANES)))
    for (int l = 0; l < NAME(LANES); ++l) {
        REAL a = x[l], b = x[l + NAME(LANES)], c = x[l + 2 * NAME(LANES)], d = x[l + 3 * NAME(LANES)];
        REAL low = LOWER(LOWER(a, b), LOWER(c, d)), high = HIGHER(HIGHER(a, b), HIGHER(c, d));
        lanes->lowest[l] = LOWER(low, lanes->lowest[l]);
        lanes->highest[l] = HIGHER(high, lanes->highest[l]);
        lanes->zeros[l] += (a == 0) + (b == 0) + (c == 0) + (d == 0);
        if (extended)
            lanes->absolute[l] += (ABS(a) + ABS(b)) + (ABS(c) + ABS(d));
        a = a * scale - shift, b = b * scale - shift, c = c * scale - shift, d = d * scale - shift;
        REAL aa = a * a, bb = b * b, cc = c * c, dd = d * d;
        lanes->s1[l] += (a + b) + (c + d);
        lanes->s2[l] += (aa + bb) + (cc + dd);
        if (extended) {
            lanes->s3[l] += (aa * a + bb * b) + (cc * c + dd * d);
            lanes->s4[l] += (aa * aa + bb * bb) + (cc * cc + dd * dd);
        }
    }
}

/* One register of which the first `n` lanes are filled; the others are not touched in memory. */
INLINE void NAME(add_one)(NAME(Lanes) *lanes, const REAL *x, int n, REAL scale, REAL shift, int extended)
{
    const REAL any = x[0];
    SIMD(simdlen(NAME(LANES)))
    for (int l = 0; l < NAME(LANES); ++l) {
        const int there = l < n;
        REAL a = there ? x[l] : any;
        lanes->lowest[l] = LOWER(a, lanes->lowest[l]);
        lanes->highest[l] = HIGHER(a, lanes->highest[l]);
        lanes->zeros[l] += (a == 0) & there;
        REAL d = there ? a * scale - shift : 0, dd = d * d;
        lanes->s1[l] += d;
        lanes->s2[l] += dd;
        if (extended) {
            lanes->absolute[l] += there ? ABS(a) : 0;
            lanes->s3[l] += dd * d;
            lanes->s4[l] += dd * dd;
        }
    }
}

INLINE void NAME(add_run)(NAME(Lanes) *lanes, const REAL *x, int n, int far, REAL scale, REAL shift, int extended)
{
    int i = 0;
    for (; i + 4 * NAME(LANES) <= n; i += 4 * NAME(LANES)) {
        for (int line = 0; far && line < 4; ++line)
            PREFETCH(x + i + FAR_AHEAD + line * NAME(LANES));
        NAME(add_four)(lanes, x + i, scale, shift, extended);
    }
    for (; i + NAME(LANES) <= n; i += NAME(LANES))
        NAME(add_one)(lanes, x + i, NAME(LANES), scale, shift, extended);
    if (i < n)
        NAME(add_one)(lanes, x + i, n - i, scale, shift, extended);
}

/* Let the lanes go together into the numbers of one channel. */
INLINE void NAME(join_lanes)(NAME(Desk) *desk, int c, const NAME(Lanes) *lanes, int extended)
{
    REAL s1 = 0, s2 = 0, s3 = 0, s4 = 0, absolute = 0, lowest = lanes->lowest[0], highest = lanes->highest[0];
    int32_t zeros = 0;
    SIMD(reduction(+ : s1, s2, s3, s4, absolute, zeros) reduction(min : lowest) reduction(max : highest))
    for (int l = 0; l < NAME(LANES); ++l) {
        lowest = LOWER(lanes->lowest[l], lowest);
        highest = HIGHER(lanes->highest[l], highest);
        zeros += lanes->zeros[l];
        s1 += lanes->s1[l];
        s2 += lanes->s2[l];
        if (extended) {
            absolute += lanes->absolute[l];
            s3 += lanes->s3[l];
            s4 += lanes->s4[l];
        }
    }
    desk->lowest[c] = lowest, desk->highest[c] = highest, desk->zeros[c] = zeros;
    desk->absolute[c] = absolute;
    desk->s1[c] = s1, desk->s2[c] = s2, desk->s3[c] = s3, desk->s4[c] = s4;
}

INLINE void NAME(visit_block)(NAME(Desk) *desk, const REAL *x, int n, int far, int extended)
{
    NAME(Lanes) lanes;
    NAME(clear_lanes)(&lanes, x[0]);
    NAME(add_run)(&lanes, x, n, far, desk->scale[0], desk->shift[0] * desk->scale[0], extended);
    NAME(join_lanes)(desk, 0, &lanes, extended);
}

INLINE void NAME(read_block)(NAME(Desk) *desk, State state, int64_t c, const REAL *x, int n, int extended)
{
    if (extended)
        NAME(encode)(desk, x, n);
    if (!NAME(guess_from_state)(desk, state, c, 1))
        NAME(guess_from_nothing)(desk, 1);
    for (int visits = 1;; ++visits) {
        NAME(visit_block)(desk, x, n, desk->far && visits == 1, extended);
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

/* Visit `height` rows at a time, 4 or 1: a number per column. */
INLINE void NAME(visit_rows)(NAME(Desk) *desk, const REAL *const *row, const int height, int width, int extended)
{
    const int last = height - 1;
    const REAL *r0 = row[0], *r1 = row[LOWER(1, last)], *r2 = row[LOWER(2, last)], *r3 = row[last];
    SIMD()
    for (int j = 0; j < width; ++j) {
        const REAL scale = desk->column_scale[j], shift = desk->column_shift[j];
        REAL a = r0[j], low = a, high = a, absolute = ABS(a);
        int32_t zeros = a == 0;
        a = a * scale - shift;
        REAL aa = a * a, s1 = a, s2 = aa, s3 = aa * a, s4 = aa * aa;
        if (height == 4) {
            REAL b = r1[j], c = r2[j], d = r3[j];
            low = LOWER(LOWER(low, b), LOWER(c, d));
            high = HIGHER(HIGHER(high, b), HIGHER(c, d));
            zeros += (b == 0) + (c == 0) + (d == 0);
            absolute = (absolute + ABS(b)) + (ABS(c) + ABS(d));
            b = b * scale - shift, c = c * scale - shift, d = d * scale - shift;
            REAL bb = b * b, cc = c * c, dd = d * d;
            s1 = (a + b) + (c + d);
            s2 = (aa + bb) + (cc + dd);
            s3 = (aa * a + bb * b) + (cc * c + dd * d);
            s4 = (aa * aa + bb * bb) + (cc * cc + dd * dd);
        }
        desk->lowest[j] = LOWER(low, desk->lowest[j]);
        desk->highest[j] = HIGHER(high, desk->highest[j]);
        desk->zeros[j] += zeros;
        desk->s1[j] += s1;
        desk->s2[j] += s2;
        if (extended) {
            desk->absolute[j] += absolute;
            desk->s3[j] += s3;
            desk->s4[j] += s4;
        }
    }
}

/* Let the columns of each channel go together into one, in place: first over the fold, then over
 * inner: long runs one by one, short ones all at once, by windows of 1, 2, 4, ... columns. */
#define JOIN_COLUMNS(name, TYPE, SPARE, operator, JOIN)                                \
    INLINE void NAME(name)(NAME(Desk) *desk, const NAME(Tile) *tile, TYPE *column)     \
    {                                                                                  \
        const int period = tile->channels * tile->inner, inner = tile->inner;          \
        const int start = period - inner; /* of the last run */                        \
        TYPE *joined = desk->SPARE;                                                    \
        for (int f = 1; f < tile->fold; ++f) {                                         \
            SIMD()                                                                     \
            for (int j = 0; j < period; ++j)                                           \
                column[j] = JOIN(column[f * period + j], column[j]);                   \
        }                                                                              \
        if (inner >= LONG_WINDOW) {                                                    \
            for (int c = 0; c < tile->channels; ++c) {                                 \
                const TYPE *run = column + c * inner;                                  \
                TYPE all = run[0];                                                     \
                SIMD(reduction(operator : all))                                        \
                for (int k = 1; k < inner; ++k)                                        \
                    all = JOIN(run[k], all);                                           \
                column[c] = all;                                                       \
            }                                                                          \
        } else if (inner > 1) {                                                        \
            for (int window = 1, done = 0; window <= inner; window *= 2) {             \
                if (inner & window) {                                                  \
                    SIMD()                                                             \
                    for (int j = 0; j <= start; ++j)                                   \
                        joined[j] = done ? JOIN(column[j + done], joined[j]) : column[j]; \
                    done += window;                                                    \
                }                                                                      \
                SIMD()                                                                 \
                for (int j = 0; j < period - window; ++j)                              \
                    column[j] = JOIN(column[j + window], column[j]);                   \
            }                                                                          \
            for (int c = 0; c < tile->channels; ++c)                                   \
                column[c] = joined[c * inner];                                         \
        }                                                                              \
    }
JOIN_COLUMNS(join_sums, REAL, spare, +, ADDED)
JOIN_COLUMNS(join_counts, int32_t, spare_counts, +, ADDED)
JOIN_COLUMNS(join_lowest, REAL, spare, min, LOWER)
JOIN_COLUMNS(join_highest, REAL, spare, max, HIGHER)
#undef JOIN_COLUMNS

/* The opposite: from a number per channel to one per column. */
INLINE void NAME(spread_shift_and_scale)(NAME(Desk) *desk, const NAME(Tile) *tile)
{
    const int channels = tile->channels, inner = tile->inner;
    for (int f = 0; f < tile->fold; ++f) {
        REAL *scale = desk->column_scale + f * channels * inner;
        REAL *shift = desk->column_shift + f * channels * inner;
        if (inner == 1) {
            SIMD()
            for (int c = 0; c < channels; ++c)
                scale[c] = desk->scale[c], shift[c] = desk->shift[c] * desk->scale[c];
        } else {
            for (int c = 0; c < channels; ++c) {
                SIMD()
                for (int k = 0; k < inner; ++k)
                    scale[c * inner + k] = desk->scale[c], shift[c * inner + k] = desk->shift[c] * desk->scale[c];
            }
        }
    }
}

INLINE void NAME(visit_tile)(NAME(Desk) *desk, const NAME(Tile) *tile, int rows, int extended)
{
    const int width = tile->fold * tile->channels * tile->inner;
    int r = 0;
    NAME(spread_shift_and_scale)(desk, tile);
    for (int j = 0; j < width; ++j) {
        desk->lowest[j] = (REAL)INFINITY;
        desk->highest[j] = -(REAL)INFINITY;
        desk->zeros[j] = 0;
        desk->s1[j] = desk->s2[j] = desk->s3[j] = desk->s4[j] = desk->absolute[j] = 0;
    }
    for (; r + 4 <= rows; r += 4) {
        for (int k = r + AHEAD; desk->far && k < LOWER(r + AHEAD + 4, rows); ++k)
            NAME(prefetch)(tile->row[k], width);
        NAME(visit_rows)(desk, tile->row + r, 4, width, extended);
    }
    for (; r < rows; ++r)
        NAME(visit_rows)(desk, tile->row + r, 1, width, extended);
    NAME(join_lowest)(desk, tile, desk->lowest);
    NAME(join_highest)(desk, tile, desk->highest);
    NAME(join_counts)(desk, tile, desk->zeros);
    NAME(join_sums)(desk, tile, desk->s1);
    NAME(join_sums)(desk, tile, desk->s2);
    if (extended) {
        NAME(join_sums)(desk, tile, desk->absolute);
        NAME(join_sums)(desk, tile, desk->s3);
        NAME(join_sums)(desk, tile, desk->s4);
    }
}

INLINE void NAME(read_tile)(NAME(Desk) *desk, State state, const NAME(Tile) *tile, int extended)
{
    const int channels = tile->channels, values = tile->rows * tile->fold * tile->inner;
    int rows = tile->rows;
    for (int r = 0; r < rows && extended; ++r)
        NAME(encode)(desk, tile->row[r], tile->fold * channels * tile->inner);
    if (!NAME(guess_from_state)(desk, state, tile->first_channel, channels)) {
        /* Few means are farther from 0 than a standard deviation; a visit of some rows tells. */
        NAME(guess_from_nothing)(desk, channels);
        const int some = HIGHER(SAMPLES / (tile->fold * tile->inner), 4);
        rows = 3 * some < rows ? some : rows;
    }
    for (int visits = 1;; ++visits, rows = tile->rows) {
        NAME(visit_tile)(desk, tile, rows, extended);
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

INLINE int NAME(is_natural)(const TensorView *tensor) { return tensor->precision == NAME(PRECISION); }

/* Read `n` values that are `stride` apart, in blocks of equal length. */
INLINE void NAME(read_run)(NAME(Desk) *desk, State state, const TensorView *tensor, int64_t c, int64_t offset,
                           int64_t n, int64_t stride, int extended)
{
    const int64_t blocks = (n + BLOCK - 1) / BLOCK;
    for (int64_t b = 0; b < blocks; ++b) {
        const int64_t begin = n * b / blocks, length = n * (b + 1) / blocks - begin;
        const REAL *x = desk->copy;
        if (NAME(is_natural)(tensor) && stride == 1) {
            x = (const REAL *)tensor->data + offset + begin;
        } else {
            NAME(load)(desk->copy, tensor, offset + begin * stride, (int)length, stride);
        }
        NAME(read_block)(desk, state, c, x, (int)length, extended);
    }
}

INLINE void NAME(read_runs)(NAME(Desk) *desk, State state, const TensorView *tensor, const Layout *layout,
                            Part part, int extended)
{
    const int64_t start = part.inner_begin * layout->inner_stride, length = part.inner_end - part.inner_begin;
    Position position = position_at(layout, part.outer_begin);
    for (int64_t o = part.outer_begin; o < part.outer_end; ++o, advance(&position))
        for (int64_t c = part.channel_begin; c < part.channel_end; ++c)
            NAME(read_run)(desk, state, tensor, c, position.offset + c * layout->channel_stride + start,
                           length, layout->inner_stride, extended);
}

/* Copy runs of a channel, each shorter than BLOCK, until the copy holds that many. */
INLINE void NAME(read_gathered)(NAME(Desk) *desk, State state, const TensorView *tensor, const Layout *layout,
                                Part part, int extended)
{
    const int n = (int)(part.inner_end - part.inner_begin);
    for (int64_t c = part.channel_begin; c < part.channel_end; ++c) {
        const int64_t start = c * layout->channel_stride + part.inner_begin * layout->inner_stride;
        Position position = position_at(layout, part.outer_begin);
        int held = 0;
        for (int64_t o = part.outer_begin; o < part.outer_end; ++o, advance(&position)) {
            NAME(load)(desk->copy + held, tensor, position.offset + start, n, layout->inner_stride);
            held += n;
            if (held + n > BLOCK || o + 1 == part.outer_end) {
                NAME(read_block)(desk, state, c, desk->copy, held, extended);
                held = 0;
            }
        }
    }
}

/* Copy the channels of a tile that stand at one position. */
INLINE void NAME(load_position)(REAL *copy, const TensorView *tensor, const Layout *layout, int64_t offset,
                                int channels)
{
    const int inner = (int)layout->inner;
    if (inner == 1)
        NAME(load)(copy, tensor, offset, channels, layout->channel_stride);
    else /* then channels follow each other */
        NAME(load)(copy, tensor, offset, channels * inner, 1);
}

/* Whether rows of a tile lie in memory as they are read. */
INLINE int NAME(rows_are_in_place)(const TensorView *tensor, const Layout *layout)
{
    const int64_t period = layout->channels * layout->inner;
    return NAME(is_natural)(tensor) && layout->channel_stride == layout->inner &&
           (layout->fold == 1 || (layout->outer_axes == 1 && layout->outer_stride[0] == period));
}

/* Point the rows of a tile to memory, or to a copy. */
INLINE void NAME(place_rows)(NAME(Desk) *desk, NAME(Tile) *tile, const TensorView *tensor, const Layout *layout,
                             Position position, int in_place)
{
    const int period = tile->channels * tile->inner;
    const int64_t start = tile->first_channel * layout->channel_stride;
    for (int r = 0, held = 0; r < tile->rows; ++r) {
        tile->row[r] = in_place ? (const REAL *)tensor->data + position.offset + start : desk->copy + held;
        for (int f = 0; f < tile->fold; ++f, held += period, advance(&position))
            if (!in_place)
                NAME(load_position)(desk->copy + held, tensor, layout, position.offset + start, tile->channels);
    }
}

INLINE void NAME(read_columns)(NAME(Desk) *desk, State state, const TensorView *tensor, const Layout *layout,
                               Part part, int extended)
{
    const int64_t channels = part.channel_end - part.channel_begin, inner = layout->inner;
    const int64_t strip = inner * channels > STRIP ? HIGHER(1, STRIP / inner) : channels;
    const int in_place = NAME(rows_are_in_place)(tensor, layout);
    Position position = position_at(layout, part.outer_begin);
    int64_t left = part.outer_end - part.outer_begin;
    while (left > 0) {
        const int fold = left >= layout->fold ? layout->fold : 1;
        NAME(Tile) tile;
        tile.fold = fold, tile.inner = (int)inner;
        const int64_t copied = LOWER(NAME(TILE) / (strip * inner * fold), MOST_ROWS);
        const int64_t fitting = in_place ? MOST_ROWS : copied;
        tile.rows = (int)LOWER(left / fold, fitting);
        for (int64_t c = 0; c < channels; c += strip) {
            tile.channels = (int)LOWER(strip, channels - c);
            tile.first_channel = part.channel_begin + c;
            NAME(place_rows)(desk, &tile, tensor, layout, position, in_place);
            NAME(read_tile)(desk, state, &tile, extended);
        }
        for (int k = 0; k < tile.rows * fold; ++k, --left)
            advance(&position);
    }
}

INLINE void NAME(read_part)(const TensorView *tensor, const Layout *layout, Part part, State state,
                            int64_t *histogram, void (*count)(Histogram *))
{
    const int extended = count != NULL;
    NAME(Desk) desk;
    desk.scale[0] = 1;
    desk.far = layout->far;
    if (extended)
        start_counting(&desk.histogram, count);
    if (layout->form == RUNS)
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
