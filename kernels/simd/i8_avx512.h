/* int8 on AVX-512 (F, BW, VL): VNNI where it is, else bytes widen to 16 bits and multiply in pairs. */
#ifndef EC_SIMD_I8_AVX512_H
#define EC_SIMD_I8_AVX512_H

#define EC_I8_SUMS 1
#define EC_I8_OFFSET_U8 0
#define EC_I8_ROWS_OFFSET_U8 0
#define EC_BYTES 64
#define EC_I8_MASKED_TAILS 1

typedef __m512i ec_b8;
typedef __m512i ec_i16; /* in lanes of 32 bits */
typedef __m512i ec_i8_column;
typedef __m512i ec_i8_filter;
typedef __m512i ec_i8_x;
typedef __m512i ec_i8_w;

#if defined(__AVX512VNNI__)
#define EC_I8_PARTS 1
#define EC_I8_ROWS 4
#define EC_I8_ROWS_OFFSET_S8 128
#define EC_I8_OFFSET_S8 128

EC_INLINE ec_i8_x ec_i8_inputs(uint32_t four, int kind, int part)
{
    __m512i bytes = _mm512_set1_epi32((int)four);
    (void)part;
    return kind == EC_U8 ? bytes : _mm512_xor_si512(bytes, _mm512_set1_epi8(-128));
}

EC_INLINE ec_i8_w ec_i8_weights(const int8_t *w, int part)
{
    (void)part;
    return _mm512_loadu_si512(w);
}

#if defined(__clang__)
EC_INLINE ec_i32 ec_i8_dot(ec_i32 sum, ec_i8_x x, ec_i8_w w) { return _mm512_dpbusd_epi32(sum, x, w); }
#else
/* Around the intrinsic GCC 12 copies and spills the sums as soon as there are more than sixteen. */
EC_INLINE ec_i32 ec_i8_dot(ec_i32 sum, ec_i8_x x, ec_i8_w w)
{
    __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(x), "v"(w));
    return sum;
}
#endif
#else
#define EC_I8_ROWS 2
#define EC_I8_ROWS_OFFSET_S8 0
#define EC_I8_PARTS 2 /* bytes 0 and 2 of each four, then bytes 1 and 3 */
#define EC_I8_OFFSET_S8 0

/* The even or the odd bytes, each widened to 16 bits with its sign. */
EC_INLINE __m512i ec_i8_half(__m512i bytes, int part)
{
    return _mm512_srai_epi16(part ? bytes : _mm512_slli_epi16(bytes, 8), 8);
}

EC_INLINE ec_i8_x ec_i8_inputs(uint32_t four, int kind, int part)
{
    __m512i bytes = _mm512_set1_epi32((int)four);
    if (kind == EC_S8)
        return ec_i8_half(bytes, part);
    return part ? _mm512_srli_epi16(bytes, 8) : _mm512_and_si512(bytes, _mm512_set1_epi16(0xff));
}

EC_INLINE ec_i8_w ec_i8_weights(const int8_t *w, int part) { return ec_i8_half(_mm512_loadu_si512(w), part); }

EC_INLINE ec_i32 ec_i8_dot(ec_i32 sum, ec_i8_x x, ec_i8_w w) { return _mm512_add_epi32(sum, _mm512_madd_epi16(x, w)); }
#endif

EC_INLINE ec_i32 ec_i8_total(const ec_i32 *sums) { return *sums; }

EC_INLINE ec_i32 ec_i32_load(const int32_t *p) { return _mm512_loadu_si512(p); }
EC_INLINE ec_i16 ec_i16_load_u8(const uint8_t *p) { return _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)p)); }
EC_INLINE ec_i16 ec_i16_load_s8(const uint8_t *p) { return _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)p)); }
EC_INLINE ec_i16 ec_i16_load_u8_tail(const uint8_t *p, size_t n)
{
    return _mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(ec_avx512_first(n), p));
}
EC_INLINE ec_i16 ec_i16_load_s8_tail(const uint8_t *p, size_t n)
{
    return _mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(ec_avx512_first(n), p));
}

EC_INLINE ec_i32 ec_i16_widen(ec_i16 a) { return a; }
EC_INLINE ec_i8_filter ec_i8_filter_load(const void *w) { return _mm512_loadu_si512(w); }

#if EC_I8_ROWS == 4
/* Lane i of 128 bits becomes `lanes` bytes at x, the other lanes are those of `rest`; no other byte is read. */
EC_INLINE __m512i ec_i8_join(__m512i rest, const uint8_t *x, int i, size_t lanes)
{
    const __mmask64 mask = (((__mmask64)1 << lanes) - 1) << 16 * i;
    return _mm512_mask_loadu_epi8(rest, mask, (const void *)((uintptr_t)x - (uintptr_t)(16 * i)));
}

/* The rows come one to a lane of 128 bits and are transposed: by fours of bytes, then bytes. Loads that spread bytes
   would compete with the products for the units that shuffle. */
EC_INLINE ec_i8_column ec_i8_column_load(const uint8_t *x, ptrdiff_t row, int rows, int kind, size_t lanes)
{
    const __m512i fours = _mm512_set_epi32(15, 11, 7, 3, 14, 10, 6, 2, 13, 9, 5, 1, 12, 8, 4, 0);
    const __m512i bytes = _mm512_broadcast_i32x4(_mm_set_epi8(15, 11, 7, 3, 14, 10, 6, 2, 13, 9, 5, 1, 12, 8, 4, 0));
    __m512i column = lanes == EC_LANES ? _mm512_zextsi128_si512(_mm_loadu_si128((const __m128i *)x))
                                       : ec_i8_join(_mm512_setzero_si512(), x, 0, lanes);
    EC_UNROLL
    for (int i = 1; i < rows; i++)
        column = ec_i8_join(column, x + i * row, i, lanes);
    column = _mm512_shuffle_epi8(_mm512_permutexvar_epi32(fours, column), bytes);
    return kind == EC_U8 ? column : _mm512_xor_si512(column, _mm512_set1_epi8(-128));
}

EC_INLINE ec_i32 ec_i8_column_dot(ec_i32 sum, ec_i8_column x, ec_i8_filter w, int rows, int kind)
{
    (void)rows, (void)kind;
    return ec_i8_dot(sum, x, w);
}
#else
EC_INLINE __m512i ec_i16_pair(ec_i16 a, ec_i16 b)
{
    return _mm512_ternarylogic_epi32(_mm512_set1_epi32(0xffff), a, _mm512_slli_epi32(b, 16), 0xca);
}
EC_INLINE ec_i32 ec_i16_pair_dot(ec_i32 sum, __m512i x, __m512i w)
{
    return _mm512_add_epi32(sum, _mm512_madd_epi16(x, w));
}
#endif

/* Values in range lose no bits when they are cut, so one function serves both signs. */
EC_INLINE void ec_f32_store_u8(uint8_t *p, ec_f32 v)
{
    _mm_storeu_si128((__m128i *)p, _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(v)));
}
EC_INLINE void ec_f32_store_u8_tail(uint8_t *p, ec_f32 v, size_t n)
{
    _mm_mask_storeu_epi8(p, ec_avx512_first(n), _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(v)));
}
EC_INLINE void ec_f32_store_s8(uint8_t *p, ec_f32 v) { ec_f32_store_u8(p, v); }
EC_INLINE void ec_f32_store_s8_tail(uint8_t *p, ec_f32 v, size_t n) { ec_f32_store_u8_tail(p, v, n); }

EC_INLINE ec_i32 ec_f32_nearest(ec_f32 v) { return _mm512_cvtps_epi32(v); }

/* `bytes` of the count <= 4 vectors of q + zero, saturated. Packing works on lanes of 128 bits, so that the bytes come
   out vector by vector in each of them. */
EC_INLINE void ec_i32_store_bytes(uint8_t *p, const ec_i32 *q, int count, int zero, int kind, size_t bytes)
{
    const __m512i order = _mm512_set_epi32(15, 11, 7, 3, 14, 10, 6, 2, 13, 9, 5, 1, 12, 8, 4, 0);
    const __m512i shift = _mm512_set1_epi16((short)zero);
    __m512i low = _mm512_packs_epi32(q[0], q[count > 1 ? 1 : 0]);
    __m512i high = count > 2 ? _mm512_packs_epi32(q[2], q[count > 3 ? 3 : 2]) : low;
    if (zero) {
        low = _mm512_adds_epi16(low, shift);
        high = count > 2 ? _mm512_adds_epi16(high, shift) : low;
    }
    __m512i packed = kind == EC_U8 ? _mm512_packus_epi16(low, high) : _mm512_packs_epi16(low, high);
    packed = _mm512_permutexvar_epi32(order, packed);
    if (bytes == 64)
        _mm512_storeu_si512(p, packed);
    else if (bytes == 32)
        _mm256_storeu_si256((__m256i *)p, _mm512_castsi512_si256(packed));
    else if (bytes == 16)
        _mm_storeu_si128((__m128i *)p, _mm512_castsi512_si128(packed));
    else
        _mm512_mask_storeu_epi8(p, ((__mmask64)1 << bytes) - 1, packed);
}

EC_INLINE ec_b8 ec_b8_load(const uint8_t *p) { return _mm512_loadu_si512(p); }
EC_INLINE void ec_b8_store(uint8_t *p, ec_b8 v) { _mm512_storeu_si512(p, v); }
EC_INLINE ec_b8 ec_b8_set(uint8_t value) { return _mm512_set1_epi8((char)value); }
EC_INLINE ec_b8 ec_b8_load_tail(const uint8_t *p, size_t n)
{
    return _mm512_maskz_loadu_epi8(((__mmask64)1 << n) - 1, p);
}
EC_INLINE void ec_b8_store_tail(uint8_t *p, ec_b8 v, size_t n)
{
    _mm512_mask_storeu_epi8(p, ((__mmask64)1 << n) - 1, v);
}
EC_INLINE ec_b8 ec_b8_max_u8(ec_b8 a, ec_b8 b) { return _mm512_max_epu8(a, b); }
EC_INLINE ec_b8 ec_b8_max_s8(ec_b8 a, ec_b8 b) { return _mm512_max_epi8(a, b); }

#if defined(__AVX512VBMI__)
#define EC_I8_TABLE 1
typedef struct {
    __m512i at[4];
} ec_i8_table;

EC_INLINE ec_i8_table ec_i8_table_load(const uint8_t *p)
{
    return (ec_i8_table){{ec_b8_load(p), ec_b8_load(p + 64), ec_b8_load(p + 128), ec_b8_load(p + 192)}};
}

EC_INLINE ec_b8 ec_i8_look_up(const ec_i8_table *t, ec_b8 x)
{
    const __m512i low = _mm512_permutex2var_epi8(t->at[0], x, t->at[1]);
    const __m512i high = _mm512_permutex2var_epi8(t->at[2], x, t->at[3]);
    return _mm512_mask_blend_epi8(_mm512_movepi8_mask(x), low, high);
}
#endif

#endif
