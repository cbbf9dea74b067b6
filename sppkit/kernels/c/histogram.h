/* Counts of values by sign and exponent, from codes of 256 * sign + exponent. */

#ifndef SPPKIT_HISTOGRAM_H
#define SPPKIT_HISTOGRAM_H

#include <stdint.h>
#include <string.h>

#include "portable.h"
#include "state.h"

enum {
    CODES = 4096, /* that are counted at once, at most */
    PAIRED = 512, /* from that many on, in pairs */
    WINDOW = 64,  /* codes that are looked at together */
    LEVELS = 32,  /* 15 powers of two below the largest, with either sign, and two more: */
    DEEPER = 30,
    NO_LEVEL = 31, /* of a code that is not counted */
};

/* Codes that wait for being counted, and the counts. */
typedef struct Histogram {
    uint32_t counts[EXPONENTS];
    int held;
    void (*count)(struct Histogram *); /* count_held, compiled for this machine */
    uint16_t code[CODES];
} Histogram;

INLINE void start_counting(Histogram *histogram, void (*count)(Histogram *))
{
    memset(histogram->counts, 0, sizeof histogram->counts);
    histogram->held = 0;
    histogram->count = count;
}

INLINE uint16_t level_of(uint16_t code, uint16_t top)
{
    const uint16_t exponent = code & 255;
    const uint16_t level = (uint16_t)(2 * (top - exponent) + (code >> 8));
    return exponent == NOT_COUNTED ? NO_LEVEL : LOWER(level, DEEPER);
}

INLINE uint16_t top_of(const uint16_t *code, int n)
{
    uint16_t top = 0;
    SIMD(reduction(max : top))
    for (int i = 0; i < n; ++i) {
        const uint16_t exponent = code[i] & 255, counted = exponent == NOT_COUNTED ? 0 : exponent;
        top = HIGHER(counted, top);
    }
    return top;
}

/* Sum of LEVELS counts of CODES at most, four at a time. */
INLINE uint16_t sum_of_row(const uint16_t *row)
{
    uint64_t words[LEVELS / 4];
    memcpy(words, row, sizeof words);
    uint64_t sum = 0;
    for (int k = 0; k < LEVELS / 4; ++k)
        sum += words[k];
    return (uint16_t)(sum * 0x0001000100010001 >> 48);
}

/* Count how often each pair of levels occurs, which halves the visits to a table: a code goes with
 * that n / 2 places on. Then how often each level occurs. */
INLINE void count_levels(uint16_t *restrict single, const uint16_t *code, int half, uint16_t top)
{
    uint16_t pair[CODES / 2], table[2][LEVELS * LEVELS];
    memset(table, 0, sizeof table);
    SIMD()
    for (int i = 0; i < half; ++i)
        pair[i] = (uint16_t)(level_of(code[i], top) * LEVELS + level_of(code[half + i], top));
    /* Neighbours are often alike: in one table each would wait for the one before. */
    for (int i = 0; i + 2 <= half; i += 2) {
        ++table[0][pair[i]];
        ++table[1][pair[i + 1]];
    }
    if (half % 2)
        ++table[0][pair[half - 1]];
    memset(single, 0, LEVELS * sizeof *single);
    for (int a = 0; a < LEVELS; ++a) {
        uint16_t *row = table[0] + a * LEVELS;
        SIMD()
        for (int b = 0; b < LEVELS; ++b) {
            row[b] += table[1][a * LEVELS + b];
            single[b] += row[b];
        }
    }
    for (int a = 0; a < LEVELS; ++a)
        single[a] += sum_of_row(table[0] + a * LEVELS);
}

/* Count those that lie deeper than the levels reach, few as a rule: most windows hold none. */
INLINE void count_deeper(uint32_t *counts, const uint16_t *code, int n, uint16_t top)
{
    for (int begin = 0; begin < n; begin += WINDOW) {
        const int end = LOWER(begin + WINDOW, n);
        int deeper = 0;
        SIMD(reduction(| : deeper))
        for (int i = begin; i < end; ++i)
            deeper |= level_of(code[i], top) == DEEPER;
        for (int i = begin; i < end && deeper; ++i)
            if (level_of(code[i], top) == DEEPER)
                ++counts[code[i]];
    }
}

INLINE void count_held(Histogram *histogram)
{
    const uint16_t *code = histogram->code;
    const int half = histogram->held < PAIRED ? 0 : histogram->held / 2;
    if (half > 0) {
        uint16_t single[LEVELS];
        const uint16_t top = top_of(code, 2 * half);
        count_levels(single, code, half, top);
        for (int level = 0; level < DEEPER && level / 2 <= top; ++level)
            histogram->counts[256 * (level & 1) + top - level / 2] += single[level];
        if (single[DEEPER] > 0)
            count_deeper(histogram->counts, code, 2 * half, top);
    }
    for (int i = 2 * half; i < histogram->held; ++i)
        ++histogram->counts[code[i]];
    histogram->held = 0;
}

/* Return where to put n codes, n <= CODES. */
INLINE uint16_t *room_for_codes(Histogram *histogram, int n)
{
    if (histogram->held + n > CODES)
        histogram->count(histogram);
    histogram->held += n;
    return histogram->code + histogram->held - n;
}

#endif
