/* x86-64 baseline: 4 lanes, 16 registers, no fused multiply-add, no masks in memory. */
#ifndef EC_SIMD_SSE2_H
#define EC_SIMD_SSE2_H

#include <emmintrin.h>

#define EC_TRANSPOSE_EDGE 4
#define EC_LANES 4
#define EC_REGISTERS 16
#define EC_ROUND_BY_SHIFT 1

typedef __m128 ec_f32;
typedef __m128i ec_i32;
typedef __m128 ec_m32;

EC_INLINE ec_f32 ec_f32_load(const float *p) { return _mm_loadu_ps(p); }
EC_INLINE void ec_f32_store(float *p, ec_f32 v) { _mm_storeu_ps(p, v); }
EC_INLINE ec_f32 ec_f32_set(float value) { return _mm_set1_ps(value); }
EC_INLINE ec_f32 ec_f32_load_same(const float *p) { return ec_f32_set(*p); }

EC_INLINE ec_f32 ec_f32_load_tail(const float *p, size_t n)
{
    if (n == 1)
        return _mm_load_ss(p);
    if (n >= 4)
        return _mm_loadu_ps(p);
    __m128 low = _mm_loadl_pi(_mm_setzero_ps(), (const __m64 *)p);
    return n == 2 ? low : _mm_movelh_ps(low, _mm_load_ss(p + 2));
}

EC_INLINE void ec_f32_store_tail(float *p, ec_f32 v, size_t n)
{
    if (n == 1) {
        _mm_store_ss(p, v);
    } else if (n >= 4) {
        _mm_storeu_ps(p, v);
    } else {
        _mm_storel_pi((__m64 *)p, v);
        if (n == 3)
            _mm_store_ss(p + 2, _mm_movehl_ps(v, v));
    }
}

EC_INLINE ec_f32 ec_f32_load_strided(const float *p, ptrdiff_t stride)
{
    return _mm_setr_ps(p[0], p[stride], p[2 * stride], p[3 * stride]);
}

EC_INLINE ec_f32 ec_f32_add(ec_f32 a, ec_f32 b) { return _mm_add_ps(a, b); }
EC_INLINE ec_f32 ec_f32_sub(ec_f32 a, ec_f32 b) { return _mm_sub_ps(a, b); }
EC_INLINE ec_f32 ec_f32_mul(ec_f32 a, ec_f32 b) { return _mm_mul_ps(a, b); }
EC_INLINE ec_f32 ec_f32_div(ec_f32 a, ec_f32 b) { return _mm_div_ps(a, b); }
EC_INLINE ec_f32 ec_f32_min(ec_f32 a, ec_f32 b) { return _mm_min_ps(a, b); }
EC_INLINE ec_f32 ec_f32_max(ec_f32 a, ec_f32 b) { return _mm_max_ps(a, b); }
EC_INLINE ec_f32 ec_f32_sqrt(ec_f32 a) { return _mm_sqrt_ps(a); }
EC_INLINE ec_f32 ec_f32_fma(ec_f32 a, ec_f32 b, ec_f32 c) { return _mm_add_ps(_mm_mul_ps(a, b), c); }

EC_INLINE ec_m32 ec_f32_lt(ec_f32 a, ec_f32 b) { return _mm_cmplt_ps(a, b); }
EC_INLINE ec_m32 ec_f32_le(ec_f32 a, ec_f32 b) { return _mm_cmple_ps(a, b); }
EC_INLINE ec_m32 ec_f32_eq(ec_f32 a, ec_f32 b) { return _mm_cmpeq_ps(a, b); }
EC_INLINE ec_m32 ec_m32_and(ec_m32 a, ec_m32 b) { return _mm_and_ps(a, b); }
EC_INLINE ec_m32 ec_m32_or(ec_m32 a, ec_m32 b) { return _mm_or_ps(a, b); }
EC_INLINE ec_m32 ec_m32_xor(ec_m32 a, ec_m32 b) { return _mm_xor_ps(a, b); }
EC_INLINE ec_m32 ec_m32_not(ec_m32 a) { return _mm_xor_ps(a, _mm_castsi128_ps(_mm_set1_epi32(-1))); }
EC_INLINE ec_f32 ec_f32_select(ec_m32 m, ec_f32 a, ec_f32 b)
{
    return _mm_or_ps(_mm_and_ps(m, a), _mm_andnot_ps(m, b));
}

#define EC_REDUCE(name, pair, one)                                                                                     \
    EC_INLINE float ec_f32_reduce_##name(ec_f32 v)                                                                     \
    {                                                                                                                  \
        __m128 half = pair(v, _mm_movehl_ps(v, v));                                                                    \
        return _mm_cvtss_f32(one(half, _mm_shuffle_ps(half, half, 1)));                                                \
    }
EC_REDUCE(add, _mm_add_ps, _mm_add_ss)
EC_REDUCE(max, _mm_max_ps, _mm_max_ss)
EC_REDUCE(min, _mm_min_ps, _mm_min_ss)
#undef EC_REDUCE

EC_INLINE ec_i32 ec_i32_set(int32_t value) { return _mm_set1_epi32(value); }
EC_INLINE ec_i32 ec_i32_add(ec_i32 a, ec_i32 b) { return _mm_add_epi32(a, b); }
EC_INLINE ec_i32 ec_i32_sub(ec_i32 a, ec_i32 b) { return _mm_sub_epi32(a, b); }
EC_INLINE ec_i32 ec_i32_and(ec_i32 a, ec_i32 b) { return _mm_and_si128(a, b); }
EC_INLINE ec_i32 ec_i32_or(ec_i32 a, ec_i32 b) { return _mm_or_si128(a, b); }
EC_INLINE ec_i32 ec_i32_xor(ec_i32 a, ec_i32 b) { return _mm_xor_si128(a, b); }
EC_INLINE ec_i32 ec_i32_shl(ec_i32 a, int bits) { return _mm_slli_epi32(a, bits); }
EC_INLINE ec_i32 ec_i32_shr(ec_i32 a, int bits) { return _mm_srai_epi32(a, bits); }
EC_INLINE ec_f32 ec_i32_to_f32(ec_i32 a) { return _mm_cvtepi32_ps(a); }
EC_INLINE ec_i32 ec_f32_to_i32(ec_f32 a) { return _mm_cvttps_epi32(a); }
EC_INLINE ec_i32 ec_f32_bits(ec_f32 a) { return _mm_castps_si128(a); }
EC_INLINE ec_f32 ec_i32_as_f32(ec_i32 a) { return _mm_castsi128_ps(a); }

/* y[c * y_stride + r] = x[r * x_stride + c] for r, c < EC_TRANSPOSE_EDGE. */
EC_INLINE void ec_f32_transpose(const float *x, ptrdiff_t x_stride, float *y, ptrdiff_t y_stride)
{
    __m128 a = _mm_loadu_ps(x), b = _mm_loadu_ps(x + x_stride);
    __m128 c = _mm_loadu_ps(x + 2 * x_stride), d = _mm_loadu_ps(x + 3 * x_stride);
    _MM_TRANSPOSE4_PS(a, b, c, d);
    _mm_storeu_ps(y, a);
    _mm_storeu_ps(y + y_stride, b);
    _mm_storeu_ps(y + 2 * y_stride, c);
    _mm_storeu_ps(y + 3 * y_stride, d);
}

#endif
