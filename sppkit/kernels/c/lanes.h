/* Vector registers of WIDTH bytes, without instructions of any one machine; reading.c includes this
 * with passes.h once for each precision and width.
 *
 * Compilers turn loops over arrays of sums into vector code, but keep the sums in memory; vectors of
 * GCC and Clang stay in registers. Without them a vector is one number.
 */

#if WIDTH > 0
typedef REAL NAME(Vector) __attribute__((vector_size(WIDTH)));
typedef INTEGER NAME(Mask) __attribute__((vector_size(WIDTH))); /* -1 where something holds, else 0 */
typedef REAL NAME(Quarter) __attribute__((vector_size(16)));
typedef INTEGER NAME(QuarterMask) __attribute__((vector_size(16)));
enum { NAME(LANES) = WIDTH / sizeof(REAL) };
#else
typedef REAL NAME(Vector);
typedef INTEGER NAME(Mask);
enum { NAME(LANES) = 1 };
#endif

HELPER NAME(Vector) NAME(fill)(REAL value) { return value - (NAME(Vector)){0}; }

HELPER NAME(Vector) NAME(lanes_at)(const REAL *x)
{
    NAME(Vector) vector;
    memcpy(&vector, x, sizeof vector);
    return vector;
}

HELPER void NAME(put_lanes)(REAL *x, NAME(Vector) vector) { memcpy(x, &vector, sizeof vector); }

/* The first `n` lanes; the others are those of `other`, and their memory is not touched. */
HELPER NAME(Vector) NAME(some_lanes_at)(const REAL *x, int n, NAME(Vector) other)
{
    REAL lane[NAME(LANES)];
    NAME(put_lanes)(lane, other);
    SIMD()
    for (int l = 0; l < NAME(LANES); ++l)
        lane[l] = l < n ? x[l] : lane[l];
    return NAME(lanes_at)(lane);
}

/* A vector with zeros from lane `n` on. */
HELPER NAME(Vector) NAME(only_lanes)(NAME(Vector) vector, int n)
{
    REAL lane[NAME(LANES)];
    NAME(put_lanes)(lane, vector);
    SIMD()
    for (int l = 0; l < NAME(LANES); ++l)
        lane[l] = l < n ? lane[l] : 0;
    return NAME(lanes_at)(lane);
}

/* The lanes before `n`. */
HELPER NAME(Mask) NAME(first_lanes)(int n)
{
    INTEGER lane[NAME(LANES)];
    NAME(Mask) mask;
    for (int l = 0; l < NAME(LANES); ++l)
        lane[l] = l < n ? -1 : 0;
    memcpy(&mask, lane, sizeof mask);
    return mask;
}

#undef PICK
#undef IS_ZERO
#if WIDTH > 0
#define PICK(mask, a, b) \
    ((__typeof__(a))(((__typeof__(mask))(a) & (mask)) | ((__typeof__(mask))(b) & ~(mask))))
#define IS_ZERO(a) ((a) == 0)
#else
#define PICK(mask, a, b) ((mask) ? (a) : (b))
#define IS_ZERO(a) (-(INTEGER)((a) == 0))
#endif

/* Loops over lanes become the one instruction that takes the lower of two; comparing and picking would be two. */
#define EACH_LANE(name, JOIN)                                            \
    HELPER NAME(Vector) NAME(name)(NAME(Vector) a, NAME(Vector) b)       \
    {                                                                    \
        REAL x[NAME(LANES)], y[NAME(LANES)];                             \
        NAME(put_lanes)(x, a);                                           \
        NAME(put_lanes)(y, b);                                           \
        SIMD()                                                           \
        for (int l = 0; l < NAME(LANES); ++l)                            \
            x[l] = JOIN(x[l], y[l]);                                     \
        return NAME(lanes_at)(x);                                        \
    }
EACH_LANE(lower, LOWER)
EACH_LANE(higher, HIGHER)
#undef EACH_LANE

#define LOWER_LANES(a, b) PICK((a) < (b), a, b)
#define HIGHER_LANES(a, b) PICK((a) > (b), a, b)
#define ADD_LANES(a, b) ((a) + (b))

/* Let the lanes go together: halves are joined until one is left. */
#if WIDTH > 0
#define JOIN_LANES(name, TYPE, VECTOR, QUARTER, JOIN_VECTORS, JOIN)    \
    HELPER TYPE NAME(name)(VECTOR vector)                              \
    {                                                                  \
        QUARTER part[WIDTH / 16];                                      \
        TYPE lane[16 / sizeof(TYPE)];                                  \
        memcpy(part, &vector, WIDTH);                                  \
        for (int half = WIDTH / 32; half > 0; half /= 2)               \
            for (int k = 0; k < half; ++k)                             \
                part[k] = JOIN_VECTORS(part[k], part[k + half]);       \
        memcpy(lane, part, 16);                                        \
        for (int half = 8 / sizeof(TYPE); half > 0; half /= 2)         \
            for (int k = 0; k < half; ++k)                             \
                lane[k] = JOIN(lane[k], lane[k + half]);               \
        return lane[0];                                                \
    }
#else
#define JOIN_LANES(name, TYPE, VECTOR, QUARTER, JOIN_VECTORS, JOIN) \
    HELPER TYPE NAME(name)(VECTOR vector) { return vector; }
#endif
JOIN_LANES(sum_of, REAL, NAME(Vector), NAME(Quarter), ADD_LANES, ADDED)
JOIN_LANES(count_of, INTEGER, NAME(Mask), NAME(QuarterMask), ADD_LANES, ADDED)
JOIN_LANES(lowest_of, REAL, NAME(Vector), NAME(Quarter), LOWER_LANES, LOWER)
JOIN_LANES(highest_of, REAL, NAME(Vector), NAME(Quarter), HIGHER_LANES, HIGHER)
#undef JOIN_LANES
