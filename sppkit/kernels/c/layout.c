#include "layout.h"

#include "portable.h"

enum {
    LONGEST_OF_TILE = IN_LANES ? 2048 : 64, /* values of a run that is read beside those of other channels */
    SHORT_RUN = 64,     /* below, the sums over lanes at its end cost more than the run */
    FEW_ROWS = 8,       /* columns of fewer values leave too many partial results behind */
    NARROW_ROWS = 8,    /* rows of fewer columns do not fill a vector register */
    WIDE_ROWS = 128,    /* rows of this width fill several */
    BEYOND_CACHES = 1 << 18, /* values, 1 MiB of float32 */
    SHORT_PIECE = 4,    /* pieces of fewer values are not worth a copy each */
};

typedef struct {
    int64_t size, stride;
} Axis;

/* Insert an axis behind those of larger stride. */
static void insert(Axis *axes, int count, Axis axis)
{
    for (; count > 0 && axes[count - 1].stride < axis.stride; --count)
        axes[count] = axes[count - 1];
    axes[count] = axis;
}

/* Collect the axes other than the channel's in the order of memory; return their number. */
static int ordered_axes(const TensorView *tensor, int channel_axis, Axis *axes, int64_t *repeats)
{
    int count = 0;
    *repeats = 1;
    for (int k = 0; k < tensor->axes; ++k) {
        if (k == channel_axis || tensor->size[k] == 1)
            continue;
        if (tensor->stride[k] == 0 && tensor->size[k] > 0) /* an expanded axis; of none there is nothing to read */
            *repeats *= tensor->size[k];
        else
            insert(axes, count++, (Axis){tensor->size[k], tensor->stride[k]});
    }
    return count;
}

/* Join axes that continue each other: (N, H, W) with strides (s H W, W, 1) to (N, HW). */
static int joined_axes(Axis *axes, int count)
{
    int kept = 0;
    for (int k = 0; k < count; ++k) {
        if (kept > 0 && axes[kept - 1].stride == axes[k].size * axes[k].stride) {
            axes[kept - 1].size *= axes[k].size;
            axes[kept - 1].stride = axes[k].stride;
        } else {
            axes[kept++] = axes[k];
        }
    }
    return kept;
}

static void set_outer(Layout *layout, const Axis *axes, int count)
{
    layout->outer_axes = count;
    layout->outer = 1;
    for (int k = 0; k < count; ++k) {
        layout->outer_size[k] = axes[k].size;
        layout->outer_stride[k] = axes[k].stride;
        layout->outer *= axes[k].size;
    }
}

/* Make the inner axis the last outer one: each value of a channel stands in a row of its own. */
static void turn_runs_into_rows(Layout *layout)
{
    if (layout->inner > 1) {
        layout->outer_size[layout->outer_axes] = layout->inner;
        layout->outer_stride[layout->outer_axes++] = layout->inner_stride;
        layout->outer *= layout->inner;
    }
    layout->inner = layout->inner_stride = 1;
}

static int fold_of(const Layout *layout)
{
    int64_t fold = WIDE_ROWS / layout->channels;
    if (fold > layout->outer / FEW_ROWS)
        fold = layout->outer / FEW_ROWS;
    return fold > 1 ? (int)fold : 1;
}

static Form form_of(Layout *layout)
{
    int64_t inner = layout->inner;
    int packed = layout->inner_stride == 1 && layout->channel_stride == inner;
    if (layout->channels == 1 || layout->channel_stride == 0)
        return inner >= SHORT_RUN ? RUNS : GATHERED;
    if (packed && inner > 1)
        return inner <= LONGEST_OF_TILE ? COLUMNS : RUNS;
    if (!packed || layout->outer < FEW_ROWS) {
        int pieces_pay = inner >= SHORT_PIECE && inner * layout->outer >= SHORT_RUN;
        if (inner >= SHORT_RUN)
            return RUNS;
        if (layout->channels < NARROW_ROWS || (!packed && pieces_pay))
            return GATHERED;
        turn_runs_into_rows(layout);
    }
    layout->fold = fold_of(layout);
    return layout->fold * layout->channels >= NARROW_ROWS ? COLUMNS : GATHERED;
}

int64_t lay_out(const TensorView *tensor, int channel_axis, Layout *layout)
{
    Axis axes[MOST_AXES];
    int64_t repeats;
    int count = joined_axes(axes, ordered_axes(tensor, channel_axis, axes, &repeats));
    layout->channels = channel_axis < 0 ? 1 : tensor->size[channel_axis];
    layout->channel_stride = channel_axis < 0 ? 0 : tensor->stride[channel_axis];
    layout->repeats = repeats;
    layout->fold = 1;
    layout->inner = layout->inner_stride = 1;
    int channel_is_fast = layout->channels > 1 && layout->channel_stride > 0 && count > 0 &&
                          layout->channel_stride < axes[count - 1].stride;
    if (count > 0 && !channel_is_fast) {
        layout->inner = axes[--count].size;
        layout->inner_stride = axes[count].stride;
    }
    set_outer(layout, axes, count);
    const int64_t values = layout->outer * layout->channels * layout->inner;
    if (values == 0 || repeats == 0)
        return 0;
    layout->far = values >= BEYOND_CACHES;
    layout->form = form_of(layout);
    return values;
}

Position position_at(const Layout *layout, int64_t outer)
{
    Position position = {.layout = layout, .offset = 0};
    for (int axis = layout->outer_axes - 1; axis >= 0; --axis) {
        position.index[axis] = outer % layout->outer_size[axis];
        position.offset += position.index[axis] * layout->outer_stride[axis];
        outer /= layout->outer_size[axis];
    }
    return position;
}
