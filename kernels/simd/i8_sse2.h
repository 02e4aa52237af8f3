/* int8 on the x86-64 baseline: bytes widen to 16 bits and multiply in pairs. */
#ifndef EC_SIMD_I8_SSE2_H
#define EC_SIMD_I8_SSE2_H

#define EC_I8_PARTS 2 /* bytes 0 and 2 of each four, then bytes 1 and 3 */
#define EC_I8_SUMS 1
#define EC_I8_OFFSET_U8 0
#define EC_I8_OFFSET_S8 0
#define EC_I8_ROWS 2
#define EC_I8_ROWS_OFFSET_U8 0
#define EC_I8_ROWS_OFFSET_S8 0
#define EC_BYTES 16

typedef __m128i ec_b8;
typedef __m128i ec_i16; /* in lanes of 32 bits */
typedef __m128i ec_i8_column;
typedef __m128i ec_i8_filter;
typedef __m128i ec_i8_x;
typedef __m128i ec_i8_w;

/* The even or the odd bytes, each widened to 16 bits with its sign. */
EC_INLINE __m128i ec_i8_half(__m128i bytes, int part)
{
    return _mm_srai_epi16(part ? bytes : _mm_slli_epi16(bytes, 8), 8);
}

EC_INLINE ec_i8_x ec_i8_inputs(uint32_t four, int kind, int part)
{
    __m128i bytes = _mm_set1_epi32((int)four);
    if (kind == EC_S8)
        return ec_i8_half(bytes, part);
    return part ? _mm_srli_epi16(bytes, 8) : _mm_and_si128(bytes, _mm_set1_epi16(0xff));
}

EC_INLINE ec_i8_w ec_i8_weights(const int8_t *w, int part)
{
    return ec_i8_half(_mm_loadu_si128((const __m128i *)w), part);
}

EC_INLINE ec_i32 ec_i8_dot(ec_i32 sum, ec_i8_x x, ec_i8_w w) { return _mm_add_epi32(sum, _mm_madd_epi16(x, w)); }
EC_INLINE ec_i32 ec_i8_total(const ec_i32 *sums) { return *sums; }

EC_INLINE ec_i32 ec_i32_load(const int32_t *p) { return _mm_loadu_si128((const __m128i *)p); }

EC_INLINE __m128i ec_i8_load_bytes(const uint8_t *p)
{
    int bytes;
    memcpy(&bytes, p, 4);
    return _mm_cvtsi32_si128(bytes);
}

EC_INLINE ec_i16 ec_i16_load_u8(const uint8_t *p)
{
    const __m128i zero = _mm_setzero_si128();
    return _mm_unpacklo_epi16(_mm_unpacklo_epi8(ec_i8_load_bytes(p), zero), zero);
}

EC_INLINE ec_i16 ec_i16_load_s8(const uint8_t *p)
{
    __m128i bytes = ec_i8_load_bytes(p), twice = _mm_unpacklo_epi8(bytes, bytes);
    return _mm_srai_epi32(_mm_unpacklo_epi16(twice, twice), 24);
}

EC_INLINE ec_i32 ec_i16_widen(ec_i16 a) { return a; }
EC_INLINE __m128i ec_i16_pair(ec_i16 a, ec_i16 b)
{
    return _mm_or_si128(_mm_and_si128(a, _mm_set1_epi32(0xffff)), _mm_slli_epi32(b, 16));
}
EC_INLINE __m128i ec_i16_pair_dot(ec_i32 sum, __m128i x, __m128i w) { return _mm_add_epi32(sum, _mm_madd_epi16(x, w)); }
EC_INLINE ec_i8_filter ec_i8_filter_load(const void *w) { return _mm_loadu_si128(w); }

EC_INLINE void ec_f32_store_u8(uint8_t *p, ec_f32 v)
{
    __m128i words = _mm_packs_epi32(_mm_cvtps_epi32(v), _mm_setzero_si128());
    int bytes = _mm_cvtsi128_si32(_mm_packus_epi16(words, words));
    memcpy(p, &bytes, 4);
}

EC_INLINE void ec_f32_store_s8(uint8_t *p, ec_f32 v)
{
    __m128i words = _mm_packs_epi32(_mm_cvtps_epi32(v), _mm_setzero_si128());
    int bytes = _mm_cvtsi128_si32(_mm_packs_epi16(words, words));
    memcpy(p, &bytes, 4);
}

EC_INLINE ec_i32 ec_f32_nearest(ec_f32 v) { return _mm_cvtps_epi32(v); }

/* The count <= 4 vectors of q + zero, saturated. */
EC_INLINE void ec_i32_narrow(uint8_t *p, const ec_i32 *q, int count, int zero, int kind)
{
    const __m128i shift = _mm_set1_epi16((short)zero);
    const __m128i low = _mm_adds_epi16(_mm_packs_epi32(q[0], q[count > 1 ? 1 : 0]), shift);
    const __m128i high = count > 2 ? _mm_adds_epi16(_mm_packs_epi32(q[2], q[count > 3 ? 3 : 2]), shift) : low;
    const __m128i packed = kind == EC_U8 ? _mm_packus_epi16(low, high) : _mm_packs_epi16(low, high);
    uint8_t bytes[16];
    _mm_storeu_si128((__m128i *)(count == 4 ? p : bytes), packed);
    if (count < 4)
        memcpy(p, bytes, 4 * (size_t)count);
}

EC_INLINE ec_b8 ec_b8_load(const uint8_t *p) { return _mm_loadu_si128((const __m128i *)p); }
EC_INLINE void ec_b8_store(uint8_t *p, ec_b8 v) { _mm_storeu_si128((__m128i *)p, v); }
EC_INLINE ec_b8 ec_b8_set(uint8_t value) { return _mm_set1_epi8((char)value); }
EC_INLINE ec_b8 ec_b8_max_u8(ec_b8 a, ec_b8 b) { return _mm_max_epu8(a, b); }
EC_INLINE ec_b8 ec_b8_max_s8(ec_b8 a, ec_b8 b)
{
    const __m128i flip = _mm_set1_epi8(-128);
    return _mm_xor_si128(_mm_max_epu8(_mm_xor_si128(a, flip), _mm_xor_si128(b, flip)), flip);
}

#endif
