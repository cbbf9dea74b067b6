/* Counts of values by sign and exponent, from codes of 256 * sign + exponent. */

#ifndef SPPKIT_HISTOGRAM_H
#define SPPKIT_HISTOGRAM_H

#include <stdint.h>
#include <string.h>

#include "portable.h"
#include "state.h"

enum {
    CODES = 1024, /* that are counted at once */
    LEVELS = 32,  /* 16 powers of two below the largest, with either sign */
    DEEPER = 254, /* levels that are not told apart */
    NO_LEVEL = 255,
};

/* Neighbours are often alike: in one table each would wait for the one before. */
INLINE void count_one_by_one(uint32_t counts[4][EXPONENTS], const uint16_t *code, int n)
{
    int i = 0;
    for (; i + 4 <= n; i += 4)
        for (int k = 0; k < 4; ++k)
            ++counts[k][code[i + k]];
    for (; i < n; ++i)
        ++counts[0][code[i]];
}

#if BYTE_VECTORS
/* Count a level among CODES, a vector at a time. */
INLINE int count_level(const uint8_t *levels, int level)
{
    const ByteVector wanted = (uint8_t)level - (ByteVector){0};
    ByteVector sums = {0};
    for (int i = 0; i < CODES; i += (int)sizeof(ByteVector)) {
        ByteVector these;
        memcpy(&these, levels + i, sizeof these);
        sums -= (ByteVector)(these == wanted); /* true is -1 */
    }
    uint64_t words[sizeof sums / 8], sum = 0;
    memcpy(words, &sums, sizeof words);
    for (size_t k = 0; k < sizeof words / sizeof *words; ++k)
        sum += words[k]; /* a byte holds at most CODES / 64 * 8 = 128 */
    sum = (sum & 0x00FF00FF00FF00FF) + (sum >> 8 & 0x00FF00FF00FF00FF);
    return (int)(sum * 0x0001000100010001 >> 48);
}

/* Count CODES codes. Most numbers of a tensor lie within a few powers of two below the largest, and
 * comparing all of them with each of those is faster than visiting a table with each of them. */
INLINE void count_by_level(uint32_t counts[4][EXPONENTS], const uint16_t *code)
{
    uint8_t levels[CODES];
    uint16_t top = 0, uncounted = 0, negative = 0;
    SIMD(reduction(max : top) reduction(+ : uncounted, negative))
    for (int i = 0; i < CODES; ++i) {
        const uint16_t exponent = code[i] & 255, counted = exponent != NOT_COUNTED;
        top = HIGHER(counted ? exponent : 0, top);
        uncounted += !counted;
        negative += counted & (code[i] >> 8);
    }
    SIMD()
    for (int i = 0; i < CODES; ++i) {
        const uint16_t exponent = code[i] & 255, level = 2 * (top - exponent) + (code[i] >> 8);
        levels[i] = (uint8_t)(exponent == NOT_COUNTED ? NO_LEVEL : LOWER(level, DEEPER));
    }
    int left[2] = {CODES - uncounted - negative, negative};
    for (int level = 0; level < LEVELS && left[0] + left[1] > 0; ++level) {
        const int sign = level & 1;
        if (left[sign] > 0) {
            const int count = count_level(levels, level);
            counts[0][256 * sign + top - level / 2] += count;
            left[sign] -= count;
        }
    }
    for (int i = 0; i < CODES && left[0] + left[1] > 0; ++i)
        if (levels[i] >= LEVELS && levels[i] != NO_LEVEL)
            ++counts[1][code[i]];
}
#endif

INLINE void count_codes(uint32_t counts[4][EXPONENTS], const uint16_t *code, int n)
{
#if BYTE_VECTORS
    for (; n >= CODES; n -= CODES, code += CODES)
        count_by_level(counts, code);
#endif
    count_one_by_one(counts, code, n);
}

#endif
