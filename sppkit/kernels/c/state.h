/* The summary of a tensor while it is read: for each channel, what sppkit/summary.py describes. */

#ifndef SPPKIT_STATE_H
#define SPPKIT_STATE_H

#include <math.h>
#include <stdint.h>

#include "portable.h"

/* In the order of the packed summary. */
enum { COUNT, MEAN, M2, LOWEST, HIGHEST, ZEROS, NONFINITE, BASE_ROWS, ABSOLUTE = BASE_ROWS, M3, M4, ALL_ROWS };

enum { EXPONENTS = 512, NOT_COUNTED = 255 /* and 511: exponents of infinities and NaN */ };

/* One block of numbers, row after row; a row has one number per channel. */
typedef struct {
    double *values;
    int64_t channels;
} State;

INLINE double *row_of(State state, int row) { return state.values + row * state.channels; }

/* The central moments of some values of one channel. */
typedef struct {
    double mean, m2, m3, m4;
} Moments;

/* The state of no values: zeros, but for the extremes. */
INLINE void clear(State state, int rows)
{
    for (int64_t k = 0; k < rows * state.channels; ++k)
        state.values[k] = 0;
    for (int64_t c = 0; c < state.channels; ++c) {
        row_of(state, LOWEST)[c] = INFINITY;
        row_of(state, HIGHEST)[c] = -INFINITY;
    }
}

/* Combine the moments of a and b, n_a and n_b values, without the values.
 *
 * M2: Chan, Golub and LeVeque, 1979, STAN-CS-79-773. M3 and M4: Pebay, 2008, SAND2008-6212,
 * equations 2.1 to 2.4.
 */
INLINE Moments combined(Moments a, Moments b, double n_a, double n_b, int extended)
{
    double n = n_a + n_b, p = n_a / n, q = n_b / n, d = b.mean - a.mean;
    double spread = n_a * q * d * d;
    Moments both = {a.mean + d * q, a.m2 + b.m2 + spread, 0, 0};
    if (extended) {
        both.m3 = a.m3 + b.m3 + spread * d * (p - q) + 3 * d * (p * b.m2 - q * a.m2);
        both.m4 = a.m4 + b.m4 + spread * d * d * (p * p - p * q + q * q) +
                  6 * d * d * (p * p * b.m2 + q * q * a.m2) + 4 * d * (p * b.m3 - q * a.m3);
    }
    return both;
}

/* Add values to a channel that already holds n_a. */
INLINE void add_moments(State state, int64_t c, double n_a, Moments b, double n_b, int extended)
{
    double *mean = row_of(state, MEAN), *m2 = row_of(state, M2);
    double *m3 = row_of(state, M3), *m4 = row_of(state, M4);
    Moments a = {mean[c], m2[c], extended ? m3[c] : 0, extended ? m4[c] : 0};
    Moments both = combined(a, b, n_a, n_b, extended);
    mean[c] = both.mean;
    m2[c] = both.m2;
    if (extended) {
        m3[c] = both.m3;
        m4[c] = both.m4;
    }
}

#endif
