/* From channels to tensors: what the statistics of many tensors are formed of, in one walk. */

#ifndef SPPKIT_TOTALS_H
#define SPPKIT_TOTALS_H

#include <stdint.h>

#include "state.h"

/* In the order of sppkit.summaries.TOTALS. */
enum {
    VALUES,
    SAMPLES,
    NONEMPTY,
    MEAN_OF_ALL,
    POOLED_M2,
    SQUARED_MEANS,
    VARIANCES,
    LEAST,
    GREATEST,
    ALL_ZEROS,
    ALL_NONFINITE,
    DEAD,
    SQUARES,
    NORMS,
    GREATEST_NORM,
    TOTALS
};

/* Writes column p of `totals` (TOTALS rows of `tensors` numbers) for each tensor p: `sizes[p]` columns of
 * `summaries`, whose rows are those of a packed summary. */
void add_up(State summaries, const int64_t *sizes, int64_t tensors, double *totals);

#endif
