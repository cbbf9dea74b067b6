/* The read of a part of a tensor, on one thread. */

#ifndef SPPKIT_READING_H
#define SPPKIT_READING_H

#include "layout.h"
#include "state.h"

/* Adds a part of a tensor to `state`, and to `histogram` (EXPONENTS counts) if that is not NULL,
 * in which case the state has ALL_ROWS, else BASE_ROWS. */
typedef void (*ReadPart)(const TensorView *, const Layout *, Part, State state, int64_t *histogram);

/* The fastest read that this machine runs. */
ReadPart reader_of(Precision precision, int extended);

/* The name of the instruction set that it uses. */
const char *instruction_set(void);

#endif
