/* x86-64-v4 (AVX-512 F, DQ): 16 lanes, 32 registers, masks of their own. */
#ifndef EC_SIMD_AVX512_H
#define EC_SIMD_AVX512_H

#include <immintrin.h>

#define EC_LANES 16
#define EC_REGISTERS 32

typedef __m512 ec_f32;
typedef __m512i ec_i32;
typedef __mmask16 ec_m32;

/* c + a * b in the lower half of the lanes, in half the time; the upper half may hold anything. */
#define EC_F32_FMA_HALF(a, b, c)                                                                                       \
    _mm512_castps256_ps512(                                                                                            \
        _mm256_fmadd_ps(_mm512_castps512_ps256(a), _mm512_castps512_ps256(b), _mm512_castps512_ps256(c)))

/* table[index % 16] of 16 floats. */
#define EC_F32_LOOKUP(table, index) _mm512_permutexvar_ps(index, _mm512_loadu_ps(table))

/* a * 2^b for whole b. */
#define EC_F32_SCALE(a, b) _mm512_scalef_ps(a, b)

/* Not under a sanitizer, with which gcc takes minutes over it. */
#if defined(__OPTIMIZE__) && !defined(__SANITIZE_ADDRESS__)
#define EC_F32_KEEP(v) __asm__("" : "+v"(v))
#endif

EC_INLINE __mmask16 ec_avx512_first(size_t n) { return (__mmask16)((1u << n) - 1u); }

EC_INLINE ec_f32 ec_f32_load(const float *p) { return _mm512_loadu_ps(p); }
EC_INLINE void ec_f32_store(float *p, ec_f32 v) { _mm512_storeu_ps(p, v); }
EC_INLINE ec_f32 ec_f32_load_tail(const float *p, size_t n) { return _mm512_maskz_loadu_ps(ec_avx512_first(n), p); }
EC_INLINE void ec_f32_store_tail(float *p, ec_f32 v, size_t n) { _mm512_mask_storeu_ps(p, ec_avx512_first(n), v); }
EC_INLINE ec_f32 ec_f32_set(float value) { return _mm512_set1_ps(value); }
EC_INLINE ec_f32 ec_f32_load_same(const float *p) { return ec_f32_set(*p); }

EC_INLINE ec_f32 ec_f32_load_strided(const float *p, ptrdiff_t stride)
{
    const float *q = p + 8 * stride;
    return _mm512_setr_ps(p[0], p[stride], p[2 * stride], p[3 * stride], p[4 * stride], p[5 * stride], p[6 * stride],
                          p[7 * stride], q[0], q[stride], q[2 * stride], q[3 * stride], q[4 * stride], q[5 * stride],
                          q[6 * stride], q[7 * stride]);
}

EC_INLINE ec_f32 ec_f32_add(ec_f32 a, ec_f32 b) { return _mm512_add_ps(a, b); }
EC_INLINE ec_f32 ec_f32_sub(ec_f32 a, ec_f32 b) { return _mm512_sub_ps(a, b); }
EC_INLINE ec_f32 ec_f32_mul(ec_f32 a, ec_f32 b) { return _mm512_mul_ps(a, b); }
EC_INLINE ec_f32 ec_f32_div(ec_f32 a, ec_f32 b) { return _mm512_div_ps(a, b); }
EC_INLINE ec_f32 ec_f32_min(ec_f32 a, ec_f32 b) { return _mm512_min_ps(a, b); }
EC_INLINE ec_f32 ec_f32_max(ec_f32 a, ec_f32 b) { return _mm512_max_ps(a, b); }
EC_INLINE ec_f32 ec_f32_sqrt(ec_f32 a) { return _mm512_sqrt_ps(a); }
EC_INLINE ec_f32 ec_f32_fma(ec_f32 a, ec_f32 b, ec_f32 c) { return _mm512_fmadd_ps(a, b, c); }
EC_INLINE ec_f32 ec_f32_floor(ec_f32 a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC); }
EC_INLINE ec_f32 ec_f32_ceil(ec_f32 a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC); }
EC_INLINE ec_f32 ec_f32_round(ec_f32 a)
{
    return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
EC_INLINE ec_f32 ec_f32_trunc(ec_f32 a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC); }

EC_INLINE ec_m32 ec_f32_lt(ec_f32 a, ec_f32 b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
EC_INLINE ec_m32 ec_f32_le(ec_f32 a, ec_f32 b) { return _mm512_cmp_ps_mask(a, b, _CMP_LE_OQ); }
EC_INLINE ec_m32 ec_f32_eq(ec_f32 a, ec_f32 b) { return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ); }
EC_INLINE ec_m32 ec_m32_and(ec_m32 a, ec_m32 b) { return (ec_m32)(a & b); }
EC_INLINE ec_m32 ec_m32_or(ec_m32 a, ec_m32 b) { return (ec_m32)(a | b); }
EC_INLINE ec_m32 ec_m32_xor(ec_m32 a, ec_m32 b) { return (ec_m32)(a ^ b); }
EC_INLINE ec_m32 ec_m32_not(ec_m32 a) { return (ec_m32)~a; }
EC_INLINE ec_f32 ec_f32_select(ec_m32 m, ec_f32 a, ec_f32 b) { return _mm512_mask_blend_ps(m, b, a); }

#define EC_REDUCE(name, half, pair, one)                                                                               \
    EC_INLINE float ec_f32_reduce_##name(ec_f32 v)                                                                     \
    {                                                                                                                  \
        __m256 high = _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(v), 1));                                \
        __m256 eight = half(_mm512_castps512_ps256(v), high);                                                          \
        __m128 four = pair(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));                            \
        __m128 two = pair(four, _mm_movehl_ps(four, four));                                                            \
        return _mm_cvtss_f32(one(two, _mm_shuffle_ps(two, two, 1)));                                                   \
    }
EC_REDUCE(add, _mm256_add_ps, _mm_add_ps, _mm_add_ss)
EC_REDUCE(max, _mm256_max_ps, _mm_max_ps, _mm_max_ss)
EC_REDUCE(min, _mm256_min_ps, _mm_min_ps, _mm_min_ss)
#undef EC_REDUCE

/* The shift intrinsics want literals even without optimisation; shifts of GNU vectors do not. */
EC_INLINE ec_i32 ec_i32_set(int32_t value) { return _mm512_set1_epi32(value); }
EC_INLINE ec_i32 ec_i32_add(ec_i32 a, ec_i32 b) { return _mm512_add_epi32(a, b); }
EC_INLINE ec_i32 ec_i32_sub(ec_i32 a, ec_i32 b) { return _mm512_sub_epi32(a, b); }
EC_INLINE ec_i32 ec_i32_and(ec_i32 a, ec_i32 b) { return _mm512_and_si512(a, b); }
EC_INLINE ec_i32 ec_i32_or(ec_i32 a, ec_i32 b) { return _mm512_or_si512(a, b); }
EC_INLINE ec_i32 ec_i32_xor(ec_i32 a, ec_i32 b) { return _mm512_xor_si512(a, b); }
EC_INLINE ec_i32 ec_i32_shl(ec_i32 a, int bits) { return (__m512i)((__v16si)a << bits); }
EC_INLINE ec_i32 ec_i32_shr(ec_i32 a, int bits) { return (__m512i)((__v16si)a >> bits); }
EC_INLINE ec_f32 ec_i32_to_f32(ec_i32 a) { return _mm512_cvtepi32_ps(a); }
EC_INLINE ec_i32 ec_f32_to_i32(ec_f32 a) { return _mm512_cvttps_epi32(a); }
EC_INLINE ec_i32 ec_f32_bits(ec_f32 a) { return _mm512_castps_si512(a); }
EC_INLINE ec_f32 ec_i32_as_f32(ec_i32 a) { return _mm512_castsi512_ps(a); }

#define EC_STORES_THREE 1
EC_INLINE void ec_f32_store_three(float *p, ec_f32 a, ec_f32 b, ec_f32 c)
{
    const ec_i32 first = _mm512_setr_epi32(0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4, 5);
    const ec_i32 second = _mm512_setr_epi32(5, 5, 6, 6, 6, 7, 7, 7, 8, 8, 8, 9, 9, 9, 10, 10);
    const ec_i32 third = _mm512_setr_epi32(10, 11, 11, 11, 12, 12, 12, 13, 13, 13, 14, 14, 14, 15, 15, 15);
    const ec_m32 every[3] = {0x9249, 0x2492, 0x4924}; /* each third lane from the first, second and third on */
    ec_f32 v = _mm512_mask_permutexvar_ps(_mm512_permutexvar_ps(first, a), every[1], first, b);
    ec_f32_store(p, _mm512_mask_permutexvar_ps(v, every[2], first, c));
    v = _mm512_mask_permutexvar_ps(_mm512_permutexvar_ps(second, a), every[0], second, b);
    ec_f32_store(p + 16, _mm512_mask_permutexvar_ps(v, every[1], second, c));
    v = _mm512_mask_permutexvar_ps(_mm512_permutexvar_ps(third, a), every[2], third, b);
    ec_f32_store(p + 32, _mm512_mask_permutexvar_ps(v, every[0], third, c));
}

#include "transpose8.h"

#endif
