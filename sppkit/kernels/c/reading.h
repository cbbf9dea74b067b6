/* The read of a part of a tensor, on one thread. */

#ifndef SPPKIT_READING_H
#define SPPKIT_READING_H

#include "layout.h"
#include "state.h"

/* Adds a part of a tensor to `state`, and to `histogram` (EXPONENTS counts) if that is not NULL,
 * in which case the state has ALL_ROWS, else BASE_ROWS. */
typedef void (*ReadPart)(const TensorView *, const Layout *, Part, State state, int64_t *histogram);

/* The read that was chosen. */
ReadPart reader_of(Precision precision, int extended);

/* Choose the instructions that reads use from now on: "baseline", "AVX2" or "AVX-512"; the best ones
 * with NULL. Returns 0 where this machine does not have them. To be called before the first read. */
int choose_instruction_set(const char *name);

/* The name of those that are used. */
const char *instruction_set(void);

#endif
