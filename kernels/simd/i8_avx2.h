/* int8 on AVX2: bytes widen to 16 bits and multiply in pairs (a product of bytes would saturate), or VNNI where it is. */
#ifndef EC_SIMD_I8_AVX2_H
#define EC_SIMD_I8_AVX2_H

#define EC_I8_SUMS 1
#define EC_I8_OFFSET_U8 0
#define EC_I8_ROWS_OFFSET_U8 0
#define EC_BYTES 32

typedef __m256i ec_b8;
typedef __m256i ec_i16; /* in lanes of 32 bits */
typedef __m256i ec_i8_column;
typedef __m256i ec_i8_filter;
typedef __m256i ec_i8_x;
typedef __m256i ec_i8_w;

#if defined(__AVXVNNI__) || (defined(__AVX512VNNI__) && defined(__AVX512VL__))
#define EC_I8_PARTS 1
#define EC_I8_ROWS 4
#define EC_I8_ROWS_OFFSET_S8 128
#define EC_I8_OFFSET_S8 128

#if defined(__AVXVNNI__)
#define EC_I8_VEX "%{vex%} "
#define EC_I8_DPBUSD _mm256_dpbusd_avx_epi32
#else
#define EC_I8_VEX
#define EC_I8_DPBUSD _mm256_dpbusd_epi32
#endif

EC_INLINE ec_i8_x ec_i8_inputs(uint32_t four, int kind, int part)
{
    __m256i bytes = _mm256_set1_epi32((int)four);
    (void)part;
    return kind == EC_U8 ? bytes : _mm256_xor_si256(bytes, _mm256_set1_epi8(-128));
}

EC_INLINE ec_i8_w ec_i8_weights(const int8_t *w, int part)
{
    (void)part;
    return _mm256_loadu_si256((const __m256i *)w);
}

#if defined(__clang__)
EC_INLINE ec_i32 ec_i8_dot(ec_i32 sum, ec_i8_x x, ec_i8_w w) { return EC_I8_DPBUSD(sum, x, w); }
#else
/* Around the intrinsic GCC 12 copies and spills the sums. */
EC_INLINE ec_i32 ec_i8_dot(ec_i32 sum, ec_i8_x x, ec_i8_w w)
{
    __asm__(EC_I8_VEX "vpdpbusd %2, %1, %0" : "+x"(sum) : "x"(x), "x"(w));
    return sum;
}
#endif
#else
#define EC_I8_ROWS 2
#define EC_I8_ROWS_OFFSET_S8 0
#define EC_I8_PARTS 2 /* bytes 0 and 2 of each four, then bytes 1 and 3 */
#define EC_I8_OFFSET_S8 0

/* The even or the odd bytes, each widened to 16 bits with its sign. */
EC_INLINE __m256i ec_i8_half(__m256i bytes, int part)
{
    return _mm256_srai_epi16(part ? bytes : _mm256_slli_epi16(bytes, 8), 8);
}

EC_INLINE ec_i8_x ec_i8_inputs(uint32_t four, int kind, int part)
{
    __m256i bytes = _mm256_set1_epi32((int)four);
    if (kind == EC_S8)
        return ec_i8_half(bytes, part);
    return part ? _mm256_srli_epi16(bytes, 8) : _mm256_and_si256(bytes, _mm256_set1_epi16(0xff));
}

EC_INLINE ec_i8_w ec_i8_weights(const int8_t *w, int part)
{
    return ec_i8_half(_mm256_loadu_si256((const __m256i *)w), part);
}

EC_INLINE ec_i32 ec_i8_dot(ec_i32 sum, ec_i8_x x, ec_i8_w w) { return _mm256_add_epi32(sum, _mm256_madd_epi16(x, w)); }
#endif

EC_INLINE ec_i32 ec_i8_total(const ec_i32 *sums) { return *sums; }

EC_INLINE ec_i32 ec_i32_load(const int32_t *p) { return _mm256_loadu_si256((const __m256i *)p); }
EC_INLINE ec_i16 ec_i16_load_u8(const uint8_t *p) { return _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)p)); }
EC_INLINE ec_i16 ec_i16_load_s8(const uint8_t *p) { return _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)p)); }
EC_INLINE ec_i32 ec_i16_widen(ec_i16 a) { return a; }
EC_INLINE ec_i8_filter ec_i8_filter_load(const void *w) { return _mm256_loadu_si256(w); }

#if EC_I8_ROWS == 4
/* Eight bytes to the byte `row` of eight lanes of 32 bits. */
EC_INLINE __m256i ec_i8_spread(const uint8_t *x, int row, size_t lanes)
{
    uint64_t bytes = 0;
    memcpy(&bytes, x, lanes);
    const __m256i to_lanes = _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0);
    const int others = (int)(0x80808080u & ~(0xffu << 8 * row));
    return _mm256_shuffle_epi8(_mm256_set1_epi64x((long long)bytes),
                               _mm256_or_si256(_mm256_slli_epi32(to_lanes, 8 * row), _mm256_set1_epi32(others)));
}

EC_INLINE ec_i8_column ec_i8_column_load(const uint8_t *x, ptrdiff_t row, int rows, int kind, size_t lanes)
{
    __m256i column = ec_i8_spread(x, 0, lanes);
    EC_UNROLL
    for (int i = 1; i < rows; i++)
        column = _mm256_or_si256(column, ec_i8_spread(x + i * row, i, lanes));
    return kind == EC_U8 ? column : _mm256_xor_si256(column, _mm256_set1_epi8(-128));
}

EC_INLINE ec_i32 ec_i8_column_dot(ec_i32 sum, ec_i8_column x, ec_i8_filter w, int rows, int kind)
{
    (void)rows, (void)kind;
    return ec_i8_dot(sum, x, w);
}
#else
EC_INLINE __m256i ec_i16_pair(ec_i16 a, ec_i16 b) { return _mm256_blend_epi16(a, _mm256_slli_epi32(b, 16), 0xaa); }
EC_INLINE ec_i32 ec_i16_pair_dot(ec_i32 sum, __m256i x, __m256i w)
{
    return _mm256_add_epi32(sum, _mm256_madd_epi16(x, w));
}
#endif

EC_INLINE __m128i ec_i8_words(ec_f32 v)
{
    __m256i values = _mm256_cvtps_epi32(v);
    return _mm_packs_epi32(_mm256_castsi256_si128(values), _mm256_extracti128_si256(values, 1));
}

EC_INLINE void ec_f32_store_u8(uint8_t *p, ec_f32 v)
{
    __m128i words = ec_i8_words(v);
    _mm_storel_epi64((__m128i *)p, _mm_packus_epi16(words, words));
}

EC_INLINE void ec_f32_store_s8(uint8_t *p, ec_f32 v)
{
    __m128i words = ec_i8_words(v);
    _mm_storel_epi64((__m128i *)p, _mm_packs_epi16(words, words));
}

EC_INLINE ec_i32 ec_f32_nearest(ec_f32 v) { return _mm256_cvtps_epi32(v); }

/* The count <= 4 vectors of q + zero, saturated. Packing works on lanes of 128 bits, so that the bytes come out vector by
   vector in each of them. */
EC_INLINE void ec_i32_narrow(uint8_t *p, const ec_i32 *q, int count, int zero, int kind)
{
    const __m256i order = _mm256_set_epi32(7, 3, 6, 2, 5, 1, 4, 0), shift = _mm256_set1_epi16((short)zero);
    __m256i low = _mm256_packs_epi32(q[0], q[count > 1 ? 1 : 0]);
    __m256i high = count > 2 ? _mm256_packs_epi32(q[2], q[count > 3 ? 3 : 2]) : low;
    if (zero) {
        low = _mm256_adds_epi16(low, shift);
        high = count > 2 ? _mm256_adds_epi16(high, shift) : low;
    }
    __m256i packed = kind == EC_U8 ? _mm256_packus_epi16(low, high) : _mm256_packs_epi16(low, high);
    packed = _mm256_permutevar8x32_epi32(packed, order);
    if (count == 4) {
        _mm256_storeu_si256((__m256i *)p, packed);
        return;
    }
    if (count > 1)
        _mm_storeu_si128((__m128i *)p, _mm256_castsi256_si128(packed));
    if (count == 1)
        _mm_storel_epi64((__m128i *)p, _mm256_castsi256_si128(packed));
    if (count == 3)
        _mm_storel_epi64((__m128i *)(p + 16), _mm256_extracti128_si256(packed, 1));
}

EC_INLINE ec_b8 ec_b8_load(const uint8_t *p) { return _mm256_loadu_si256((const __m256i *)p); }
EC_INLINE void ec_b8_store(uint8_t *p, ec_b8 v) { _mm256_storeu_si256((__m256i *)p, v); }
EC_INLINE ec_b8 ec_b8_set(uint8_t value) { return _mm256_set1_epi8((char)value); }
EC_INLINE ec_b8 ec_b8_max_u8(ec_b8 a, ec_b8 b) { return _mm256_max_epu8(a, b); }
EC_INLINE ec_b8 ec_b8_max_s8(ec_b8 a, ec_b8 b) { return _mm256_max_epi8(a, b); }

#endif
