/* int16 on AVX-512 (F, BW, VL), with VNNI where it is. */
#ifndef EC_SIMD_I16_AVX512_H
#define EC_SIMD_I16_AVX512_H

typedef __m512i ec_i16_x;
typedef __m512i ec_i16_w;
typedef __m512i ec_i16_column;

EC_INLINE ec_i16_x ec_i16_inputs(uint32_t two) { return _mm512_set1_epi32((int)two); }
EC_INLINE ec_i16_w ec_i16_weights(const int16_t *w) { return _mm512_loadu_si512(w); }
EC_INLINE ec_i16_w ec_i16_weights_s8(const int8_t *w)
{
    return _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *)w));
}

#if defined(__AVX512VNNI__) && defined(__clang__)
EC_INLINE ec_i32 ec_i16_dot(ec_i32 sum, ec_i16_x x, ec_i16_w w) { return _mm512_dpwssd_epi32(sum, x, w); }
#elif defined(__AVX512VNNI__)
/* Around the intrinsic GCC 12 copies and spills the sums as soon as there are more than sixteen. */
EC_INLINE ec_i32 ec_i16_dot(ec_i32 sum, ec_i16_x x, ec_i16_w w)
{
    __asm__("vpdpwssd %2, %1, %0" : "+v"(sum) : "v"(x), "v"(w));
    return sum;
}
#else
EC_INLINE ec_i32 ec_i16_dot(ec_i32 sum, ec_i16_x x, ec_i16_w w)
{
    return _mm512_add_epi32(sum, _mm512_madd_epi16(x, w));
}
#endif

EC_INLINE ec_i16_column ec_i16_columns_load(const int16_t *first, const int16_t *second)
{
    __m512i low = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)first));
    __m512i high = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)second));
    return _mm512_or_si512(low, _mm512_slli_epi32(high, 16));
}
EC_INLINE ec_i32 ec_i16_column_dot(ec_i32 sum, ec_i16_column x, ec_i16_w w) { return ec_i16_dot(sum, x, w); }

EC_INLINE ec_f32 ec_f32_load_s16(const void *p)
{
    return _mm512_cvtepi32_ps(_mm512_cvtepi16_epi32(_mm256_loadu_si256(p)));
}

EC_INLINE void ec_f32_store_s16(void *p, ec_f32 v)
{
    _mm256_storeu_si256(p, _mm512_cvtsepi32_epi16(_mm512_cvtps_epi32(v)));
}

#endif
