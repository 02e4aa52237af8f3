/* Vectors of bytes that hold two numbers of 4 bits each, q + 8. */
#ifndef EC_SIMD_I4_H
#define EC_SIMD_I4_H

/* q of the low or the high halves, as signed bytes. */
#if defined(EC_ISA_AVX512)
EC_INLINE ec_b8 ec_b8_nibbles(ec_b8 v, int high)
{
    const __m512i bits = _mm512_and_si512(high ? _mm512_srli_epi16(v, 4) : v, _mm512_set1_epi8(15));
    return _mm512_sub_epi8(bits, _mm512_set1_epi8(8));
}
#elif defined(EC_ISA_AVX2)
EC_INLINE ec_b8 ec_b8_nibbles(ec_b8 v, int high)
{
    const __m256i bits = _mm256_and_si256(high ? _mm256_srli_epi16(v, 4) : v, _mm256_set1_epi8(15));
    return _mm256_sub_epi8(bits, _mm256_set1_epi8(8));
}
#elif defined(EC_ISA_SSE2)
EC_INLINE ec_b8 ec_b8_nibbles(ec_b8 v, int high)
{
    const __m128i bits = _mm_and_si128(high ? _mm_srli_epi16(v, 4) : v, _mm_set1_epi8(15));
    return _mm_sub_epi8(bits, _mm_set1_epi8(8));
}
#elif defined(EC_ISA_NEON)
EC_INLINE ec_b8 ec_b8_nibbles(ec_b8 v, int high)
{
    return vsubq_u8(high ? vshrq_n_u8(v, 4) : vandq_u8(v, vdupq_n_u8(15)), vdupq_n_u8(8));
}
#else
EC_INLINE ec_b8 ec_b8_nibbles(ec_b8 v, int high) { return (ec_b8)((high ? v >> 4 : v & 15) - 8); }
#endif

#endif
