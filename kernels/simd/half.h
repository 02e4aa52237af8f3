/*
 * EC_LANES numbers of 16 bits widened to floats: half precision (finite), or the upper halves of floats (bfloat16).
 * ec_f16_store rounds to half precision, halves to even, where the machine does (EC_F16_STORE).
 */
#ifndef EC_SIMD_HALF_H
#define EC_SIMD_HALF_H

#include <string.h>

#if defined(EC_ISA_AVX512)
EC_INLINE ec_i32 ec_u16_load(const void *p) { return _mm512_cvtepu16_epi32(_mm256_loadu_si256(p)); }
EC_INLINE ec_f32 ec_f16_load(const void *p) { return _mm512_cvtph_ps(_mm256_loadu_si256(p)); }
EC_INLINE void ec_f16_store(void *p, ec_f32 v)
{
    _mm256_storeu_si256(p, _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
}
#define EC_F16_LOAD 1
#define EC_F16_STORE 1
#elif defined(EC_ISA_AVX2)
EC_INLINE ec_i32 ec_u16_load(const void *p) { return _mm256_cvtepu16_epi32(_mm_loadu_si128(p)); }
EC_INLINE ec_f32 ec_f16_load(const void *p) { return _mm256_cvtph_ps(_mm_loadu_si128(p)); }
EC_INLINE void ec_f16_store(void *p, ec_f32 v) { _mm_storeu_si128(p, _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT)); }
#define EC_F16_LOAD 1
#define EC_F16_STORE 1
#elif defined(EC_ISA_SSE2)
EC_INLINE ec_i32 ec_u16_load(const void *p) { return _mm_unpacklo_epi16(_mm_loadl_epi64(p), _mm_setzero_si128()); }
#elif defined(EC_ISA_NEON)
EC_INLINE ec_i32 ec_u16_load(const void *p) { return vreinterpretq_s32_u32(vmovl_u16(vld1_u16(p))); }
#if defined(__aarch64__)
EC_INLINE ec_f32 ec_f16_load(const void *p) { return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p))); }
EC_INLINE void ec_f16_store(void *p, ec_f32 v) { vst1_u16(p, vreinterpret_u16_f16(vcvt_f16_f32(v))); }
#define EC_F16_LOAD 1
#define EC_F16_STORE 1
#endif
#else
EC_INLINE ec_i32 ec_u16_load(const void *p)
{
    uint16_t bits;
    memcpy(&bits, p, sizeof bits);
    return bits;
}
#endif

EC_INLINE ec_f32 ec_bf16_load(const void *p) { return ec_i32_as_f32(ec_i32_shl(ec_u16_load(p), 16)); }

#if !defined(EC_F16_LOAD)
/* The exponent gets its bias by a multiplication; subnormals are counted in 2^-24, for some vectors flush theirs. */
EC_INLINE ec_f32 ec_f16_load(const void *p)
{
    const ec_i32 bits = ec_u16_load(p), size = ec_i32_and(bits, ec_i32_set(0x7fff));
    const ec_i32 sign = ec_i32_shl(ec_i32_and(bits, ec_i32_set(0x8000)), 16);
    const ec_i32 rebiased = ec_i32_add(ec_i32_shl(size, 13), ec_i32_set((127 - 15) << 23));
    const ec_f32 tiny = ec_f32_mul(ec_i32_to_f32(size), ec_f32_set(0x1p-24f));
    const ec_m32 normal = ec_f32_lt(ec_f32_set(1023.5f), ec_i32_to_f32(size));
    const ec_f32 magnitude = ec_f32_select(normal, ec_i32_as_f32(rebiased), tiny);
    return ec_i32_as_f32(ec_i32_or(ec_f32_bits(magnitude), sign));
}
#endif

#endif
