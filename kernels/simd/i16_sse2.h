/* int16 on the x86-64 baseline. */
#ifndef EC_SIMD_I16_SSE2_H
#define EC_SIMD_I16_SSE2_H

typedef __m128i ec_i16_x;
typedef __m128i ec_i16_w;
typedef __m128i ec_i16_column;

EC_INLINE ec_i16_x ec_i16_inputs(uint32_t two) { return _mm_set1_epi32((int)two); }
EC_INLINE ec_i16_w ec_i16_weights(const int16_t *w) { return _mm_loadu_si128((const __m128i *)w); }
EC_INLINE ec_i16_w ec_i16_weights_s8(const int8_t *w)
{
    const __m128i bytes = _mm_loadl_epi64((const __m128i *)w);
    return _mm_srai_epi16(_mm_unpacklo_epi8(bytes, bytes), 8);
}
EC_INLINE ec_i32 ec_i16_dot(ec_i32 sum, ec_i16_x x, ec_i16_w w) { return _mm_add_epi32(sum, _mm_madd_epi16(x, w)); }

EC_INLINE ec_i16_column ec_i16_columns_load(const int16_t *first, const int16_t *second)
{
    return _mm_unpacklo_epi16(_mm_loadl_epi64((const __m128i *)first), _mm_loadl_epi64((const __m128i *)second));
}
EC_INLINE ec_i32 ec_i16_column_dot(ec_i32 sum, ec_i16_column x, ec_i16_w w) { return ec_i16_dot(sum, x, w); }

EC_INLINE ec_f32 ec_f32_load_s16(const void *p)
{
    __m128i words = _mm_loadl_epi64(p);
    return _mm_cvtepi32_ps(_mm_srai_epi32(_mm_unpacklo_epi16(words, words), 16));
}

EC_INLINE void ec_f32_store_s16(void *p, ec_f32 v)
{
    _mm_storel_epi64(p, _mm_packs_epi32(_mm_cvtps_epi32(v), _mm_setzero_si128()));
}

#endif
