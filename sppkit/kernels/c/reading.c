/* Reads in each precision, for each instruction set, and which of them this machine runs. */

#include "reading.h"

#include <stddef.h>
#include <string.h>

enum {
    WIDEST = 512,    /* columns of a tile at most */
    STRIP = 512,     /* columns of a tile, where the channels can be cut */
    MOST_ROWS = 128, /* rows of a tile: a quarter of it is what a lane adds up */
    MOST_VISITS = 4,
    FAR_AHEAD = 1024, /* values between those that are asked for and those that are visited */
    AHEAD = 16,      /* rows between those that are asked for and those that are visited */
    SAMPLES = 16,    /* values of a channel that the first guess takes */
    WORTH_A_GUESS = 128, /* values of a channel that are worth it: fewer are read twice if need be */
    RUN_ROWS = 16,   /* rows of a tile of runs at most: as many streams as are fetched ahead */
};

/* Scaled ranges whose fourth powers are normal numbers down to deviations of 2^-11 of the range. */
#define LEAST_RANGE 0x1p-20f
#define MOST_RANGE 0x1p20f

#define ADDED(a, b) ((a) + (b))
#define SIZE_OF(a) PICK((a) < 0, -(a), a)

#include "histogram.h"

/* ---- float32, and what is lifted to it */

#define REAL float
#define INTEGER int32_t
#define PRECISE(x) x##_float32
#define BITS uint32_t
#define MANTISSA_BITS 23
#define LARGEST_EXPONENT 254
#define PRECISION_float32 FLOAT32

INLINE float float_of(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

INLINE float from_bfloat16(uint16_t bits) { return float_of((uint32_t)bits << 16); }

/* Exponent and mantissa move up; the bias grows from 15 to 127, by 112. */
INLINE float from_float16(uint16_t bits)
{
    const uint32_t sign = (uint32_t)(bits & 0x8000) << 16, rest = (uint32_t)(bits & 0x7FFF) << 13;
    const uint32_t normal = rest + (112u << 23), nonfinite = rest | 0x7F800000;
    /* A subnormal m 2^-24 is (2^-14 + m 2^-24) - 2^-14, where the first is normal. */
    const float subnormal = float_of(rest | (113u << 23)) - float_of(113u << 23);
    uint32_t subnormal_bits;
    memcpy(&subnormal_bits, &subnormal, sizeof subnormal_bits);
    const uint32_t finite = rest < (1u << 23) ? subnormal_bits : normal;
    return float_of(sign | (rest >= (31u << 23) ? nonfinite : finite));
}

/* Sign and exponent; zeros and what is not finite go to places that are thrown away. */
INLINE uint16_t code_of_float32(uint32_t bits)
{
    return (uint16_t)(bits << 1 == 0 ? NOT_COUNTED : bits >> MANTISSA_BITS);
}

#define COPY(TYPE, LIFT)                                          \
    do {                                                          \
        const TYPE *from = (const TYPE *)tensor->data + offset;   \
        if (stride == 1)                                          \
            for (int i = 0; i < n; ++i)                           \
                copy[i] = LIFT(from[i]);                          \
        else                                                      \
            for (int i = 0; i < n; ++i)                           \
                copy[i] = LIFT(from[i * stride]);                 \
    } while (0)

INLINE void load_float32(float *restrict copy, const TensorView *tensor, int64_t offset, int n, int64_t stride)
{
    if (tensor->precision == FLOAT32)
        COPY(float, );
    else if (tensor->precision == BFLOAT16)
        COPY(uint16_t, from_bfloat16);
    else
        COPY(uint16_t, from_float16);
}

INLINE BITS PRECISE(bits_of)(REAL value)
{
    BITS bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

INLINE int PRECISE(is_natural)(const TensorView *tensor) { return tensor->precision == PRECISE(PRECISION); }

#if SEVERAL_INSTRUCTION_SETS
#define WIDTH 32
#define NAME(x) x##_float32_avx2
#define HELPER INLINE_FOR(AVX2)
#include "passes.h"
#undef WIDTH
#undef NAME
#undef HELPER
#define WIDTH 64
#define NAME(x) x##_float32_avx512
#define HELPER INLINE_FOR(AVX512)
#include "passes.h"
#undef WIDTH
#undef NAME
#undef HELPER
#endif
#define WIDTH NARROWEST
#define NAME(x) x##_float32_baseline
#define HELPER INLINE
#include "passes.h"
#undef WIDTH
#undef NAME
#undef HELPER

#undef REAL
#undef INTEGER
#undef PRECISE
#undef BITS
#undef MANTISSA_BITS
#undef LARGEST_EXPONENT

/* ---- float64 */

#define REAL double
#define INTEGER int64_t
#define PRECISE(x) x##_float64
#define BITS uint64_t
#define MANTISSA_BITS 52
#define LARGEST_EXPONENT 2046
#define PRECISION_float64 FLOAT64

/* Sign and the exponent that a float32 would have, or nearly. */
INLINE uint16_t code_of_float64(uint64_t bits)
{
    const int64_t exponent = (int64_t)(bits >> MANTISSA_BITS & 2047), of_float32 = exponent - (1023 - 127);
    const int64_t finite = LOWER(HIGHER(of_float32, 0), NOT_COUNTED - 1);
    const int counted = exponent <= LARGEST_EXPONENT && bits << 1 != 0;
    return (uint16_t)((counted ? finite : NOT_COUNTED) + (bits >> 63) * 256);
}

INLINE void load_float64(double *restrict copy, const TensorView *tensor, int64_t offset, int n, int64_t stride)
{
    COPY(double, );
}

INLINE BITS PRECISE(bits_of)(REAL value)
{
    BITS bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

INLINE int PRECISE(is_natural)(const TensorView *tensor) { return tensor->precision == PRECISE(PRECISION); }

#if SEVERAL_INSTRUCTION_SETS
#define WIDTH 32
#define NAME(x) x##_float64_avx2
#define HELPER INLINE_FOR(AVX2)
#include "passes.h"
#undef WIDTH
#undef NAME
#undef HELPER
#endif
#define WIDTH NARROWEST
#define NAME(x) x##_float64_baseline
#define HELPER INLINE
#include "passes.h"
#undef WIDTH
#undef NAME
#undef HELPER

#undef REAL
#undef INTEGER
#undef PRECISE
#undef BITS
#undef MANTISSA_BITS
#undef LARGEST_EXPONENT

/* ---- One copy of the machine code for each instruction set */

#define READER(TARGET, name, read, count)                                           \
    TARGET static void name(const TensorView *tensor, const Layout *layout, Part part, \
                            State state, int64_t *histogram)                           \
    {                                                                                  \
        read(tensor, layout, part, state, histogram, count);                           \
    }
#define READERS(TARGET, suffix)                                                       \
    TARGET static void count_##suffix(Histogram *histogram) { count_held(histogram); } \
    READER(TARGET, base_float32_##suffix, read_part_float32_##suffix, NULL)            \
    READER(TARGET, extended_float32_##suffix, read_part_float32_##suffix, count_##suffix)
#define WIDE_READERS(TARGET, suffix)                                                   \
    READER(TARGET, base_float64_##suffix, read_part_float64_##suffix, NULL)            \
    READER(TARGET, extended_float64_##suffix, read_part_float64_##suffix, count_##suffix)

READERS(, baseline)
WIDE_READERS(, baseline)
#if SEVERAL_INSTRUCTION_SETS
READERS(AVX2, avx2)
WIDE_READERS(AVX2, avx2)
READERS(AVX512, avx512) /* float64 waits for memory sooner */
#endif

typedef enum { UNDECIDED, BASELINE, WITH_AVX2, WITH_AVX512 } InstructionSet;

static const char *const names[] = {"undecided", "baseline", "AVX2", "AVX-512"};
static InstructionSet chosen = UNDECIDED;

static InstructionSet best_instruction_set(void)
{
#if SEVERAL_INSTRUCTION_SETS
    const int wide = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (wide && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        return WITH_AVX512;
    if (wide)
        return WITH_AVX2;
#endif
    return BASELINE;
}

int choose_instruction_set(const char *name)
{
    const InstructionSet best = best_instruction_set();
    chosen = best;
    for (int k = BASELINE; name && k <= (int)best; ++k)
        if (strcmp(name, names[k]) == 0)
            chosen = k;
    return name == NULL || strcmp(name, names[chosen]) == 0;
}

ReadPart reader_of(Precision precision, int extended)
{
#if SEVERAL_INSTRUCTION_SETS
    if (precision == FLOAT64 && chosen >= WITH_AVX2)
        return extended ? extended_float64_avx2 : base_float64_avx2;
    if (chosen == WITH_AVX512)
        return extended ? extended_float32_avx512 : base_float32_avx512;
    if (chosen == WITH_AVX2)
        return extended ? extended_float32_avx2 : base_float32_avx2;
#endif
    if (precision == FLOAT64)
        return extended ? extended_float64_baseline : base_float64_baseline;
    return extended ? extended_float32_baseline : base_float32_baseline;
}

const char *instruction_set(void) { return names[chosen]; }
