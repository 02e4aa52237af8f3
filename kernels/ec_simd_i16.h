/*
 * The vector layer for 16-bit values, beside those of floats and bytes: the same meaning, and the same bits, on every ISA.
 *
 * Sums of products: x comes in pairs of 16-bit numbers, w as [EC_LANES][2]; ec_i16_dot adds both products to each of
 * EC_LANES 32-bit sums. A pair of products always fits; the caller sees to it that sums do.
 * ec_i16_weights_s8 reads w from int8 and widens it.
 * ec_i16_columns takes the pairs from two rows of EC_LANES numbers instead, ec_i16_column_dot multiplies them.
 * ec_f32_store_s16 rounds half to even; the rounded values must be in range.
 */
#ifndef EC_SIMD_I16_H
#define EC_SIMD_I16_H

#include "ec_simd.h"

#include <string.h>

#if defined(EC_ISA_AVX512)
#include "simd/i16_avx512.h"
#elif defined(EC_ISA_AVX2)
#include "simd/i16_avx2.h"
#elif defined(EC_ISA_SSE2)
#include "simd/i16_sse2.h"
#elif defined(EC_ISA_NEON)
#include "simd/i16_neon.h"
#elif defined(EC_ISA_SCALAR)
#include "simd/i16_scalar.h"
#endif

/* The numbers 0 .. n - 1 (n at most 2) at x, the first in the low half, zeros above them. */
EC_INLINE uint32_t ec_i16_two(const int16_t *x, size_t n)
{
    uint32_t two = 0;
#if defined(EC_ISA_SCALAR)
    two = (uint16_t)x[0];
    if (n == 2)
        two |= (uint32_t)(uint16_t)x[1] << 16;
#else
    memcpy(&two, x, 2 * n);
#endif
    return two;
}

EC_INLINE ec_f32 ec_f32_load_s16_tail(const void *p, size_t n)
{
    int16_t words[EC_LANES] = {0};
    memcpy(words, p, 2 * ec_min_size(n, EC_LANES));
    return ec_f32_load_s16(words);
}

EC_INLINE void ec_f32_store_s16_tail(void *p, ec_f32 v, size_t n)
{
    int16_t words[EC_LANES];
    ec_f32_store_s16(words, v);
    memcpy(p, words, 2 * ec_min_size(n, EC_LANES));
}

/* EC_LANES (or n) numbers of two rows, in pairs. */
EC_INLINE ec_i16_column ec_i16_columns(const int16_t *first, const int16_t *second, size_t n)
{
    if (n == EC_LANES)
        return ec_i16_columns_load(first, second);
    int16_t words[2][EC_LANES] = {{0}};
    memcpy(words[0], first, 2 * ec_min_size(n, EC_LANES));
    memcpy(words[1], second, 2 * ec_min_size(n, EC_LANES));
    return ec_i16_columns_load(words[0], words[1]);
}

#endif
