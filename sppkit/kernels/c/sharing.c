#include "sharing.h"

#include <stdlib.h>
#include <string.h>

#include "reading.h"

#if !defined(_WIN32)
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#define THREADS 1
#else
#define THREADS 0
#endif

enum {
    MOST_PARTS = 64,
    MOST_THREADS = 64,
    LEAST_COLUMNS = 256, /* a part of rows is not cut narrower */
    SMALL = 2048,        /* numbers of a state that fit the stack */
    STACK_BYTES = 1 << 20,
    BASE_PARTS_PER_THREAD = 4,
};

typedef struct {
    const TensorView *tensor;
    const Layout *layout;
    ReadPart read;
    int count, states; /* parts of the same channels have a state each, else they share one */
    Part part[MOST_PARTS];
    double *numbers;
    int64_t state_size;
    int64_t *histograms; /* one for each part, or NULL */
#if THREADS
    atomic_int next;
#endif
} Work;

/* ---- Parts */

typedef struct {
    int64_t *begin, *end;
    int64_t extent;
} Cut;

static Cut cut_along(const Layout *layout, Part *part, int64_t wanted)
{
    const Cut channels = {&part->channel_begin, &part->channel_end, layout->channels};
    const Cut outer = {&part->outer_begin, &part->outer_end, layout->outer};
    const Cut inner = {&part->inner_begin, &part->inner_end, layout->inner};
    const int64_t least = layout->form == COLUMNS ? LEAST_COLUMNS / layout->inner + 1 : 1;
    if (layout->channels >= 2 * least * wanted)
        return channels;
    if (layout->outer >= wanted || layout->form != RUNS)
        return outer;
    return layout->inner >= layout->outer ? inner : outer;
}

static void cut(Work *work, int64_t values, int rows)
{
    const Layout *layout = work->layout;
    const Part whole = {0, layout->outer, 0, layout->channels, 0, layout->inner};
    int64_t wanted = LOWER(values / VALUES_PER_PART, MOST_PARTS);
    Part part = whole;
    Cut along = cut_along(layout, &part, HIGHER(wanted, 1));
    const int by_channel = along.begin == &part.channel_begin;
    if (!by_channel) /* the states must stay small beside the tensor */
        wanted = LOWER(wanted, values / (8 * rows * layout->channels));
    work->count = (int)LOWER(HIGHER(wanted, 1), along.extent);
    work->states = by_channel ? 1 : work->count;
    for (int k = 0; k < work->count; ++k) {
        *along.begin = along.extent * k / work->count;
        *along.end = along.extent * (k + 1) / work->count;
        work->part[k] = part;
    }
}

static State state_of(const Work *work, int part)
{
    const int own = work->states > 1 ? part : 0;
    return (State){work->numbers + own * work->state_size, work->layout->channels};
}

static void read_one(Work *work, int k)
{
    int64_t *histogram = work->histograms ? work->histograms + k * EXPONENTS : NULL;
    work->read(work->tensor, work->layout, work->part[k], state_of(work, k), histogram);
}

/* ---- Threads, which live as long as the read: nothing is left over that a fork could miss */

#if THREADS
static void *take_parts(void *argument)
{
    Work *work = argument;
    for (int k; (k = atomic_fetch_add(&work->next, 1)) < work->count;)
        read_one(work, k);
    return NULL;
}

/* Start up to `wanted` helpers; signals stay with the threads that the program knows. */
static int start_threads(pthread_t *threads, int wanted, Work *work)
{
    int started = 0;
    sigset_t all, before;
    pthread_attr_t attributes;
    if (pthread_attr_init(&attributes) != 0)
        return 0;
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (started < wanted && pthread_create(&threads[started], &attributes, take_parts, work) == 0)
        ++started;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return started;
}

/* Starting and joining a thread takes longer than the base read of a part. */
static int64_t threads_worth(const Work *work)
{
    return work->histograms ? work->count : work->count / BASE_PARTS_PER_THREAD;
}

static void read_parts(Work *work, int threads)
{
    pthread_t helpers[MOST_THREADS];
    atomic_init(&work->next, 0);
    const int wanted = (int)LOWER(LOWER(threads, threads_worth(work)), MOST_THREADS) - 1;
    const int started = wanted > 0 ? start_threads(helpers, wanted, work) : 0;
    take_parts(work);
    for (int k = 0; k < started; ++k)
        pthread_join(helpers[k], NULL);
}
#else
static void read_parts(Work *work, int threads)
{
    (void)threads;
    for (int k = 0; k < work->count; ++k)
        read_one(work, k);
}
#endif

/* ---- Results */

static void combine_channel(State into, State from, int64_t c, int extended)
{
    Moments b = {row_of(from, MEAN)[c], row_of(from, M2)[c], 0, 0};
    if (extended) {
        b.m3 = row_of(from, M3)[c];
        b.m4 = row_of(from, M4)[c];
        row_of(into, ABSOLUTE)[c] += row_of(from, ABSOLUTE)[c];
    }
    add_moments(into, c, row_of(into, COUNT)[c], b, row_of(from, COUNT)[c], extended);
    row_of(into, COUNT)[c] += row_of(from, COUNT)[c];
    row_of(into, LOWEST)[c] = LOWER(row_of(from, LOWEST)[c], row_of(into, LOWEST)[c]);
    row_of(into, HIGHEST)[c] = HIGHER(row_of(from, HIGHEST)[c], row_of(into, HIGHEST)[c]);
    row_of(into, ZEROS)[c] += row_of(from, ZEROS)[c];
    row_of(into, NONFINITE)[c] += row_of(from, NONFINITE)[c];
}

static void combine_parts(const Work *work, int extended)
{
    for (int k = 1; k < work->states; ++k)
        for (int64_t c = 0; c < work->layout->channels; ++c)
            combine_channel(state_of(work, 0), state_of(work, k), c, extended);
}

static int is_within_range(State state, int extended)
{
    for (int64_t c = 0; c < state.channels; ++c) {
        double sum = row_of(state, MEAN)[c] + row_of(state, M2)[c];
        if (extended)
            sum += row_of(state, ABSOLUTE)[c] + row_of(state, M3)[c] + row_of(state, M4)[c];
        if (!isfinite(sum) && row_of(state, NONFINITE)[c] == 0)
            return 0;
    }
    return 1;
}

/* Values that are there several times count several times. */
static void write_slot(const Work *work, Slot slot)
{
    const State state = state_of(work, 0);
    const double repeats = (double)work->layout->repeats;
    for (int row = 0; row < (slot.histogram ? ALL_ROWS : BASE_ROWS); ++row) {
        const double factor = row == MEAN || row == LOWEST || row == HIGHEST ? 1 : repeats;
        const double *from = row_of(state, row);
        double *to = slot.first_row + row * slot.stride;
        for (int64_t c = 0; c < state.channels; ++c)
            to[c] = from[c] * factor;
    }
    for (int k = 0; k < EXPONENTS && slot.histogram; ++k) {
        int64_t sum = 0;
        for (int part = 0; part < work->count; ++part)
            sum += work->histograms[part * EXPONENTS + k];
        slot.histogram[k] = (k | 256) == (NOT_COUNTED | 256) ? 0 : (double)sum * repeats;
    }
}

/* Cut, read and combine; the memory is prepared. */
static void read_all(Work *work, int threads, int extended)
{
    const int rows = extended ? ALL_ROWS : BASE_ROWS;
    for (int k = 0; k < work->states; ++k)
        clear(state_of(work, k), rows);
    if (extended)
        memset(work->histograms, 0, (size_t)work->count * EXPONENTS * sizeof(int64_t));
    read_parts(work, threads);
    combine_parts(work, extended);
}

Outcome read_tensor(const TensorView *tensor, int channel_axis, int threads, Slot slot)
{
    Layout layout;
    const int extended = slot.histogram != NULL, rows = extended ? ALL_ROWS : BASE_ROWS;
    const int64_t values = lay_out(tensor, channel_axis, &layout);
    Work work = {.tensor = tensor, .layout = &layout, .states = 1, .state_size = rows * layout.channels};
    if (values == 0)
        layout.repeats = 1;
    else
        cut(&work, values, rows);
    const int64_t numbers = work.states * work.state_size;
    const int64_t counts = extended ? (int64_t)work.count * EXPONENTS : 0;
    double small[SMALL];
    work.numbers = small;
    if (numbers + counts > SMALL && !(work.numbers = malloc((size_t)(numbers + counts) * sizeof(double))))
        return OUT_OF_MEMORY;
    if (extended)
        work.histograms = (int64_t *)(work.numbers + numbers);
    work.read = reader_of(tensor->precision, extended);
    read_all(&work, threads, extended);
    const int fits = tensor->precision != FLOAT64 || is_within_range(state_of(&work, 0), extended);
    if (fits)
        write_slot(&work, slot);
    if (work.numbers != small)
        free(work.numbers);
    return fits ? WRITTEN : BEYOND_RANGE;
}
