/* What differs between compilers, kept in one place. */

#ifndef SPPKIT_PORTABLE_H
#define SPPKIT_PORTABLE_H

#include <stdint.h>

#if defined(_MSC_VER)
#define INLINE static __forceinline
#define SIMD(clauses)
#define IN_LANES 0
#define PREFETCH(address) ((void)(address))
#else
#define INLINE static inline __attribute__((always_inline))
#define PRAGMA(text) _Pragma(#text)
/* Lets the compiler add up in lanes, which changes the order of additions: -fopenmp-simd, no runtime. */
#define SIMD(clauses) PRAGMA(omp simd clauses)
#define PREFETCH(address) __builtin_prefetch((address), 0, 2)
#ifndef IN_LANES
#define IN_LANES 1
#endif
#endif

/* Bytes of the vector registers that every machine has; 0 where the compiler has no vectors. */
#if IN_LANES
#define NARROWEST 16
#else
#define NARROWEST 0
#endif

/* x86-64 compilers target machines of 2003 by default; the reads are compiled for newer ones too. */
#if (defined(__GNUC__) || defined(__clang__)) && defined(__x86_64__)
#define SEVERAL_INSTRUCTION_SETS 1
#define INLINE_FOR(TARGET) TARGET INLINE
#define AVX2 __attribute__((target("avx2,fma")))
#define AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,fma")))
#else
#define SEVERAL_INSTRUCTION_SETS 0
#endif

#define LOWER(a, b) ((a) < (b) ? (a) : (b))
#define HIGHER(a, b) ((a) > (b) ? (a) : (b))

#endif
