/* x86-64-v3 (AVX2 and FMA): 8 lanes, 16 registers. */
#ifndef EC_SIMD_AVX2_H
#define EC_SIMD_AVX2_H

#include <immintrin.h>

#define EC_LANES 8
#define EC_REGISTERS 16

typedef __m256 ec_f32;
typedef __m256i ec_i32;
typedef __m256 ec_m32;

/* Not under a sanitizer, with which gcc takes minutes over it. */
#if defined(__OPTIMIZE__) && !defined(__SANITIZE_ADDRESS__)
#define EC_F32_KEEP(v) __asm__("" : "+x"(v))
#endif

EC_INLINE __m256i ec_avx2_first(size_t n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

EC_INLINE ec_f32 ec_f32_load(const float *p) { return _mm256_loadu_ps(p); }
EC_INLINE void ec_f32_store(float *p, ec_f32 v) { _mm256_storeu_ps(p, v); }
EC_INLINE ec_f32 ec_f32_load_tail(const float *p, size_t n) { return _mm256_maskload_ps(p, ec_avx2_first(n)); }
EC_INLINE void ec_f32_store_tail(float *p, ec_f32 v, size_t n) { _mm256_maskstore_ps(p, ec_avx2_first(n), v); }
EC_INLINE ec_f32 ec_f32_set(float value) { return _mm256_set1_ps(value); }
EC_INLINE ec_f32 ec_f32_load_same(const float *p) { return ec_f32_set(*p); }

EC_INLINE ec_f32 ec_f32_load_strided(const float *p, ptrdiff_t stride)
{
    return _mm256_setr_ps(p[0], p[stride], p[2 * stride], p[3 * stride], p[4 * stride], p[5 * stride], p[6 * stride],
                          p[7 * stride]);
}

EC_INLINE ec_f32 ec_f32_add(ec_f32 a, ec_f32 b) { return _mm256_add_ps(a, b); }
EC_INLINE ec_f32 ec_f32_sub(ec_f32 a, ec_f32 b) { return _mm256_sub_ps(a, b); }
EC_INLINE ec_f32 ec_f32_mul(ec_f32 a, ec_f32 b) { return _mm256_mul_ps(a, b); }
EC_INLINE ec_f32 ec_f32_div(ec_f32 a, ec_f32 b) { return _mm256_div_ps(a, b); }
EC_INLINE ec_f32 ec_f32_min(ec_f32 a, ec_f32 b) { return _mm256_min_ps(a, b); }
EC_INLINE ec_f32 ec_f32_max(ec_f32 a, ec_f32 b) { return _mm256_max_ps(a, b); }
EC_INLINE ec_f32 ec_f32_sqrt(ec_f32 a) { return _mm256_sqrt_ps(a); }
EC_INLINE ec_f32 ec_f32_fma(ec_f32 a, ec_f32 b, ec_f32 c) { return _mm256_fmadd_ps(a, b, c); }
EC_INLINE ec_f32 ec_f32_floor(ec_f32 a) { return _mm256_round_ps(a, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC); }
EC_INLINE ec_f32 ec_f32_ceil(ec_f32 a) { return _mm256_round_ps(a, _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC); }
EC_INLINE ec_f32 ec_f32_round(ec_f32 a) { return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
EC_INLINE ec_f32 ec_f32_trunc(ec_f32 a) { return _mm256_round_ps(a, _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC); }

EC_INLINE ec_m32 ec_f32_lt(ec_f32 a, ec_f32 b) { return _mm256_cmp_ps(a, b, _CMP_LT_OQ); }
EC_INLINE ec_m32 ec_f32_le(ec_f32 a, ec_f32 b) { return _mm256_cmp_ps(a, b, _CMP_LE_OQ); }
EC_INLINE ec_m32 ec_f32_eq(ec_f32 a, ec_f32 b) { return _mm256_cmp_ps(a, b, _CMP_EQ_OQ); }
EC_INLINE ec_m32 ec_m32_and(ec_m32 a, ec_m32 b) { return _mm256_and_ps(a, b); }
EC_INLINE ec_m32 ec_m32_or(ec_m32 a, ec_m32 b) { return _mm256_or_ps(a, b); }
EC_INLINE ec_m32 ec_m32_xor(ec_m32 a, ec_m32 b) { return _mm256_xor_ps(a, b); }
EC_INLINE ec_m32 ec_m32_not(ec_m32 a) { return _mm256_xor_ps(a, _mm256_castsi256_ps(_mm256_set1_epi32(-1))); }
EC_INLINE ec_f32 ec_f32_select(ec_m32 m, ec_f32 a, ec_f32 b) { return _mm256_blendv_ps(b, a, m); }

#define EC_REDUCE(name, pair, one)                                                                                     \
    EC_INLINE float ec_f32_reduce_##name(ec_f32 v)                                                                     \
    {                                                                                                                  \
        __m128 quarter = pair(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));                                 \
        __m128 eighth = pair(quarter, _mm_movehl_ps(quarter, quarter));                                                \
        return _mm_cvtss_f32(one(eighth, _mm_shuffle_ps(eighth, eighth, 1)));                                          \
    }
EC_REDUCE(add, _mm_add_ps, _mm_add_ss)
EC_REDUCE(max, _mm_max_ps, _mm_max_ss)
EC_REDUCE(min, _mm_min_ps, _mm_min_ss)
#undef EC_REDUCE

EC_INLINE ec_i32 ec_i32_set(int32_t value) { return _mm256_set1_epi32(value); }
EC_INLINE ec_i32 ec_i32_add(ec_i32 a, ec_i32 b) { return _mm256_add_epi32(a, b); }
EC_INLINE ec_i32 ec_i32_sub(ec_i32 a, ec_i32 b) { return _mm256_sub_epi32(a, b); }
EC_INLINE ec_i32 ec_i32_and(ec_i32 a, ec_i32 b) { return _mm256_and_si256(a, b); }
EC_INLINE ec_i32 ec_i32_or(ec_i32 a, ec_i32 b) { return _mm256_or_si256(a, b); }
EC_INLINE ec_i32 ec_i32_xor(ec_i32 a, ec_i32 b) { return _mm256_xor_si256(a, b); }
EC_INLINE ec_i32 ec_i32_shl(ec_i32 a, int bits) { return _mm256_slli_epi32(a, bits); }
EC_INLINE ec_i32 ec_i32_shr(ec_i32 a, int bits) { return _mm256_srai_epi32(a, bits); }
EC_INLINE ec_f32 ec_i32_to_f32(ec_i32 a) { return _mm256_cvtepi32_ps(a); }
EC_INLINE ec_i32 ec_f32_to_i32(ec_f32 a) { return _mm256_cvttps_epi32(a); }
EC_INLINE ec_i32 ec_f32_bits(ec_f32 a) { return _mm256_castps_si256(a); }
EC_INLINE ec_f32 ec_i32_as_f32(ec_i32 a) { return _mm256_castsi256_ps(a); }

#define EC_STORES_THREE 1
EC_INLINE void ec_f32_store_three(float *p, ec_f32 a, ec_f32 b, ec_f32 c)
{
    enum { FIRST = 0x49, SECOND = 0x92, THIRD = 0x24 }; /* each third lane from there on */
    ec_i32 from = _mm256_setr_epi32(0, 0, 0, 1, 1, 1, 2, 2);
    ec_f32 v = _mm256_permutevar8x32_ps(a, from);
    v = _mm256_blend_ps(v, _mm256_permutevar8x32_ps(b, from), SECOND);
    ec_f32_store(p, _mm256_blend_ps(v, _mm256_permutevar8x32_ps(c, from), THIRD));
    from = _mm256_setr_epi32(2, 3, 3, 3, 4, 4, 4, 5);
    v = _mm256_permutevar8x32_ps(a, from);
    v = _mm256_blend_ps(v, _mm256_permutevar8x32_ps(b, from), THIRD);
    ec_f32_store(p + 8, _mm256_blend_ps(v, _mm256_permutevar8x32_ps(c, from), FIRST));
    from = _mm256_setr_epi32(5, 5, 6, 6, 6, 7, 7, 7);
    v = _mm256_permutevar8x32_ps(a, from);
    v = _mm256_blend_ps(v, _mm256_permutevar8x32_ps(b, from), FIRST);
    ec_f32_store(p + 16, _mm256_blend_ps(v, _mm256_permutevar8x32_ps(c, from), SECOND));
}

#include "transpose8.h"

#endif
