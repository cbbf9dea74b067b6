/* The read of a whole tensor, shared over threads where it is large. */

#ifndef SPPKIT_SHARING_H
#define SPPKIT_SHARING_H

#include "layout.h"

typedef enum { WRITTEN, BEYOND_RANGE, OUT_OF_MEMORY } Outcome;

/* Where a summary goes: `rows` rows, `stride` numbers apart, one number per channel, and EXPONENTS
 * counts in the histogram, NULL without the extension. */
typedef struct {
    double *first_row, *histogram;
    int64_t stride;
} Slot;

/* From this many values on it matters how many threads there are. */
enum { VALUES_PER_PART = 1 << 18 };

/* Writes the summary to the slot, or nothing: BEYOND_RANGE if a moment of finite float64 values is
 * not finite, or cannot be formed without passing through numbers that are not.
 *
 * The result does not depend on the number of threads: a tensor is cut into the same parts, whose
 * summaries are combined in the same order. */
Outcome read_tensor(const TensorView *tensor, int channel_axis, int threads, Slot slot);

#endif
