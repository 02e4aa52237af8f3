/* Words shared by every kernel: inlining, unrolling, small integer helpers. */
#ifndef EC_COMMON_H
#define EC_COMMON_H

/*
 * gcc takes constants of epilogues (the bounds of a clip) out of all loops into registers of their own, and has none left
 * for the sums of a tile: with the 16 registers of AVX2 such a layer took twice the time.
 */
#if defined(EC_ISA_AVX2) && defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("no-move-loop-invariants", "no-gcse")
#define EC_KEEPS_CONSTANTS 1 /* the compiler leaves constants where they are used */
#endif

#include <stddef.h>
#include <stdint.h>

/* Kernels are specialised by constant arguments, which only full inlining makes visible to the compiler. */
#if defined(__GNUC__)
#define EC_INLINE static inline __attribute__((always_inline))
#define EC_RESTRICT __restrict__
#else
#define EC_INLINE static inline
#define EC_RESTRICT restrict
#endif

/*
 * EC_APART: a function that keeps its constants to itself. EC_IN_MEMORY: an array must have been written here, and is read
 * again behind it.
 */
#if defined(EC_KEEPS_CONSTANTS)
#define EC_APART EC_INLINE
#elif defined(__GNUC__)
#define EC_APART static __attribute__((noinline))
#else
#define EC_APART static
#endif
#if defined(__GNUC__)
#define EC_IN_MEMORY(array) __asm__("" : "+m"(array))
#else
#define EC_IN_MEMORY(array) ((void)(array))
#endif

/* EC_UNROLL: unroll the next loop fully (constant bounds); EC_ROLLED: keep the next loop as it is written. */
#if defined(__clang__)
#define EC_UNROLL _Pragma("clang loop unroll(full)")
#define EC_ROLLED _Pragma("clang loop unroll(disable)")
#elif defined(__GNUC__)
#define EC_UNROLL _Pragma("GCC unroll 128")
#define EC_ROLLED _Pragma("GCC unroll 1")
#else
#define EC_UNROLL
#define EC_ROLLED
#endif

/*
 * EC_HIDE: hides what the compiler knows of a number. Where it sees that the loop around a tile turns but once, it moves
 * constants of the epilogue out of it, and has too few registers left for the sums.
 */
#if defined(__GNUC__) || defined(__clang__)
#define EC_HIDE(number) __asm__("" : "+r"(number))
#else
#define EC_HIDE(number) ((void)(number))
#endif

EC_INLINE size_t ec_min_size(size_t a, size_t b) { return a < b ? a : b; }

EC_INLINE size_t ec_ceil_div(size_t a, size_t b) { return (a + b - 1) / b; }

#endif
