/* int16 on AVX2, with VNNI where it is. */
#ifndef EC_SIMD_I16_AVX2_H
#define EC_SIMD_I16_AVX2_H

typedef __m256i ec_i16_x;
typedef __m256i ec_i16_w;
typedef __m256i ec_i16_column;

EC_INLINE ec_i16_x ec_i16_inputs(uint32_t two) { return _mm256_set1_epi32((int)two); }
EC_INLINE ec_i16_w ec_i16_weights(const int16_t *w) { return _mm256_loadu_si256((const __m256i *)w); }
EC_INLINE ec_i16_w ec_i16_weights_s8(const int8_t *w)
{
    return _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)w));
}

#if defined(__AVXVNNI__) && defined(__clang__)
EC_INLINE ec_i32 ec_i16_dot(ec_i32 sum, ec_i16_x x, ec_i16_w w) { return _mm256_dpwssd_avx_epi32(sum, x, w); }
#elif defined(__AVX512VNNI__) && defined(__AVX512VL__) && defined(__clang__)
EC_INLINE ec_i32 ec_i16_dot(ec_i32 sum, ec_i16_x x, ec_i16_w w) { return _mm256_dpwssd_epi32(sum, x, w); }
#elif defined(__AVXVNNI__) || (defined(__AVX512VNNI__) && defined(__AVX512VL__))
#if defined(__AVXVNNI__)
#define EC_I16_VEX "%{vex%} "
#else
#define EC_I16_VEX
#endif
/* Around the intrinsic GCC 12 copies and spills the sums. */
EC_INLINE ec_i32 ec_i16_dot(ec_i32 sum, ec_i16_x x, ec_i16_w w)
{
    __asm__(EC_I16_VEX "vpdpwssd %2, %1, %0" : "+x"(sum) : "x"(x), "x"(w));
    return sum;
}
#else
EC_INLINE ec_i32 ec_i16_dot(ec_i32 sum, ec_i16_x x, ec_i16_w w)
{
    return _mm256_add_epi32(sum, _mm256_madd_epi16(x, w));
}
#endif

EC_INLINE ec_i16_column ec_i16_columns_load(const int16_t *first, const int16_t *second)
{
    __m256i low = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)first));
    __m256i high = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)second));
    return _mm256_or_si256(low, _mm256_slli_epi32(high, 16));
}
EC_INLINE ec_i32 ec_i16_column_dot(ec_i32 sum, ec_i16_column x, ec_i16_w w) { return ec_i16_dot(sum, x, w); }

EC_INLINE ec_f32 ec_f32_load_s16(const void *p)
{
    return _mm256_cvtepi32_ps(_mm256_cvtepi16_epi32(_mm_loadu_si128(p)));
}

EC_INLINE void ec_f32_store_s16(void *p, ec_f32 v)
{
    __m256i values = _mm256_cvtps_epi32(v);
    _mm_storeu_si128(p, _mm_packs_epi32(_mm256_castsi256_si128(values), _mm256_extracti128_si256(values, 1)));
}

#endif
