/* How the values of a tensor lie in memory, seen by channels.
 *
 * A tensor of any shape and stride is (outer axes, channel, inner): the inner axis is the longest run
 * of one channel that has one stride. Axes other than the channel's are put into the order of memory,
 * those that continue each other are joined, and axes of stride 0, along which values repeat, are
 * left out and counted.
 */

#ifndef SPPKIT_LAYOUT_H
#define SPPKIT_LAYOUT_H

#include <stdint.h>

enum { MOST_AXES = 32 };

typedef enum { FLOAT16, BFLOAT16, FLOAT32, FLOAT64, OTHER_PRECISION } Precision;

/* A tensor as its owner describes it; strides count values, not bytes. */
typedef struct {
    const char *data;
    Precision precision;
    int axes;
    int64_t size[MOST_AXES];
    int64_t stride[MOST_AXES];
} TensorView;

/* How a part of memory is read. */
typedef enum {
    RUNS,     /* run after run: blocks of neighbouring values of one channel */
    GATHERED, /* the same, where runs are short: several of one channel are copied together */
    COLUMNS,  /* the channels, or short runs of each of them, stand side by side in rows */
} Form;

typedef struct {
    Form form;
    int64_t channels, channel_stride;
    int outer_axes;
    int64_t outer_size[MOST_AXES], outer_stride[MOST_AXES];
    int64_t outer; /* the product of outer_size */
    int64_t inner, inner_stride;
    int64_t repeats; /* how often the tensor holds each of these values */
    int far;         /* whether they are too many to be in a cache */
    int fold;        /* COLUMNS: positions that are put side by side, to fill the vector registers */
} Layout;

/* A part of a layout: the reads of parts are independent. */
typedef struct {
    int64_t outer_begin, outer_end, channel_begin, channel_end, inner_begin, inner_end;
} Part;

/* Walks over the outer axes in the order of memory. */
typedef struct {
    const Layout *layout;
    int64_t index[MOST_AXES];
    int64_t offset;
} Position;

/* Returns the number of values that are there to be read; with 0, only `channels` is of use.
 * `channel_axis` counts from the front; -1 makes one channel. */
int64_t lay_out(const TensorView *tensor, int channel_axis, Layout *layout);

Position position_at(const Layout *layout, int64_t outer);

static inline void advance(Position *position)
{
    const Layout *layout = position->layout;
    if (layout->outer_axes == 1) { /* as most tensors have after their axes were joined */
        position->offset += layout->outer_stride[0];
        return;
    }
    for (int axis = layout->outer_axes - 1; axis >= 0; --axis) {
        position->offset += layout->outer_stride[axis];
        if (++position->index[axis] < layout->outer_size[axis])
            return;
        position->offset -= layout->outer_size[axis] * layout->outer_stride[axis];
        position->index[axis] = 0;
    }
}

#endif
