/* Vectors of eight numbers of half precision, with multiply-adds that are rounded to it. */
#ifndef EC_SIMD_F16_H
#define EC_SIMD_F16_H

#define EC_HALVES 8

#if defined(EC_ISA_NEON) && defined(__ARM_FEATURE_FP16_VECTOR_ARITHMETIC)
typedef float16x8_t ec_half8;
typedef float16_t ec_half;

EC_INLINE ec_half8 ec_half8_zero(void) { return vreinterpretq_f16_u16(vdupq_n_u16(0)); }
EC_INLINE ec_half8 ec_half8_load(const uint16_t *p) { return vreinterpretq_f16_u16(vld1q_u16(p)); }
EC_INLINE ec_half ec_half_load(const uint16_t *p) { return *(const float16_t *)(const void *)p; }

/* sums[0 .. 7] += v */
EC_INLINE void ec_half8_add_to(float *sums, ec_half8 v)
{
    vst1q_f32(sums, vaddq_f32(vld1q_f32(sums), vcvt_f32_f16(vget_low_f16(v))));
    vst1q_f32(sums + 4, vaddq_f32(vld1q_f32(sums + 4), vcvt_high_f32_f16(v)));
}

/* c + b * a[which]; gcc gets assembler for the reason that simd/neon.h tells. Factors stand in the lower registers. */
#if defined(__clang__)
#define EC_HALF_FMA(which) c = vfmaq_laneq_f16(c, b, a, which)
EC_INLINE ec_half8 ec_half8_fma_one(ec_half8 b, ec_half a, ec_half8 c) { return vfmaq_n_f16(c, b, a); }
#else
#define EC_HALF_FMA(which) __asm__("fmla %0.8h, %1.8h, %2.h[" #which "]" : "+w"(c) : "w"(b), "x"(a))
EC_INLINE ec_half8 ec_half8_fma_one(ec_half8 b, ec_half a, ec_half8 c)
{
    __asm__("fmla %0.8h, %1.8h, %2.h[0]" : "+w"(c) : "w"(b), "x"(a));
    return c;
}
#endif
EC_INLINE ec_half8 ec_half8_fma_factor(ec_half8 b, ec_half8 a, int which, ec_half8 c)
{
    if (which == 0)
        EC_HALF_FMA(0);
    else if (which == 1)
        EC_HALF_FMA(1);
    else if (which == 2)
        EC_HALF_FMA(2);
    else if (which == 3)
        EC_HALF_FMA(3);
    else if (which == 4)
        EC_HALF_FMA(4);
    else if (which == 5)
        EC_HALF_FMA(5);
    else if (which == 6)
        EC_HALF_FMA(6);
    else
        EC_HALF_FMA(7);
    return c;
}
#undef EC_HALF_FMA
#define EC_HALF_FACTORS 1 /* ec_half8_fma_factor */
#else
#include "../ec_narrow.h"

#if defined(__GNUC__)
#define EC_CALLED static __attribute__((noinline))
#else
#define EC_CALLED static
#endif

/* Numbers of half precision, as floats. */
typedef struct {
    float at[EC_HALVES];
} ec_half8;
typedef float ec_half;

/* The nearest number of half precision, halves to even; what is too large is infinite. */
EC_INLINE float ec_half_rounded(float v)
{
    const float size = v < 0.0f ? -v : v;
    const uint32_t bits = ec_bits_of_float(v);
    if (size < 0x1p-14f)
        return (v + 0.75f) - 0.75f;
    return size < 65520.0f ? ec_float_of_bits((bits + 0xfff + (bits >> 13 & 1)) & ~0x1fffu) : v * INFINITY;
}

EC_INLINE ec_half8 ec_half8_zero(void) { return (ec_half8){{0.0f}}; }
EC_INLINE ec_half ec_half_load(const uint16_t *p) { return ec_f16_value(*p); }

EC_INLINE ec_half8 ec_half8_load(const uint16_t *p)
{
    ec_half8 v;
    for (int i = 0; i < EC_HALVES; i++)
        v.at[i] = ec_f16_value(p[i]);
    return v;
}

EC_INLINE void ec_half8_add_to(float *sums, ec_half8 v)
{
    for (int i = 0; i < EC_HALVES; i++)
        sums[i] += v.at[i];
}

/* *c += b * a; no machine is fast at it, and a tile has hundreds: so it is called. */
EC_CALLED void ec_half8_accumulate(ec_half8 *c, const ec_half8 *b, ec_half a)
{
    for (int i = 0; i < EC_HALVES; i++)
        c->at[i] = ec_half_rounded(c->at[i] + b->at[i] * a);
}

EC_INLINE ec_half8 ec_half8_fma_one(ec_half8 b, ec_half a, ec_half8 c)
{
    ec_half8_accumulate(&c, &b, a);
    return c;
}
#endif

#endif
