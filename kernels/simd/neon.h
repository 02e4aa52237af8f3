/* Arm NEON, 4 lanes: AArch64 (32 registers) and ARMv7 with VFPv4 (16 registers, subnormals flushed). */
#ifndef EC_SIMD_NEON_H
#define EC_SIMD_NEON_H

#include <arm_neon.h>
#include <math.h>

#define EC_TRANSPOSE_EDGE 4
#if !defined(__clang__) && defined(__OPTIMIZE__)
#define EC_F32_KEEP(v) __asm__("" : "+w"(v))
#endif
#define EC_LANES 4
#if defined(__aarch64__)
#define EC_REGISTERS 32
#else
#define EC_REGISTERS 16
#define EC_ROUND_BY_SHIFT 1
#endif

#if defined(__aarch64__)
#define EC_IN_ORDER 1 /* some of the cores execute in order: what waits stands far behind what it waits for */
#endif

typedef float32x4_t ec_f32;
typedef int32x4_t ec_i32;
typedef uint32x4_t ec_m32;

EC_INLINE ec_f32 ec_f32_load(const float *p) { return vld1q_f32(p); }
EC_INLINE void ec_f32_store(float *p, ec_f32 v) { vst1q_f32(p, v); }
EC_INLINE ec_f32 ec_f32_set(float value) { return vdupq_n_f32(value); }
EC_INLINE ec_f32 ec_f32_load_same(const float *p) { return vld1q_dup_f32(p); }

EC_INLINE ec_f32 ec_f32_load_tail(const float *p, size_t n)
{
    if (n == 1)
        return vld1q_lane_f32(p, vdupq_n_f32(0.0f), 0);
    if (n >= 4)
        return vld1q_f32(p);
    float32x4_t low = vcombine_f32(vld1_f32(p), vdup_n_f32(0.0f));
    return n == 2 ? low : vld1q_lane_f32(p + 2, low, 2);
}

EC_INLINE void ec_f32_store_tail(float *p, ec_f32 v, size_t n)
{
    if (n == 1) {
        vst1q_lane_f32(p, v, 0);
    } else if (n >= 4) {
        vst1q_f32(p, v);
    } else {
        vst1_f32(p, vget_low_f32(v));
        if (n == 3)
            vst1q_lane_f32(p + 2, v, 2);
    }
}

EC_INLINE ec_f32 ec_f32_load_strided(const float *p, ptrdiff_t stride)
{
    float32x4_t v = vld1q_lane_f32(p, vdupq_n_f32(0.0f), 0);
    v = vld1q_lane_f32(p + stride, v, 1);
    v = vld1q_lane_f32(p + 2 * stride, v, 2);
    return vld1q_lane_f32(p + 3 * stride, v, 3);
}

#if defined(__aarch64__)
EC_INLINE ec_m32 ec_f32_lt(ec_f32 a, ec_f32 b) { return vcltq_f32(a, b); }
EC_INLINE ec_m32 ec_f32_le(ec_f32 a, ec_f32 b) { return vcleq_f32(a, b); }
EC_INLINE ec_m32 ec_f32_eq(ec_f32 a, ec_f32 b) { return vceqq_f32(a, b); }
#else
/* GCC 12 compares lane by lane in the scalar unit (it shuns vectors that flush subnormals) and spills around that. */
#define EC_COMPARE(name, instruction)                                                                                  \
    EC_INLINE ec_m32 ec_f32_##name(ec_f32 a, ec_f32 b)                                                                 \
    {                                                                                                                  \
        ec_m32 mask;                                                                                                   \
        __asm__(instruction " %q0, %q1, %q2" : "=w"(mask) : "w"(b), "w"(a));                                           \
        return mask;                                                                                                   \
    }
EC_COMPARE(lt, "vcgt.f32")
EC_COMPARE(le, "vcge.f32")
EC_COMPARE(eq, "vceq.f32")
#undef EC_COMPARE
#endif
EC_INLINE ec_m32 ec_m32_and(ec_m32 a, ec_m32 b) { return vandq_u32(a, b); }
EC_INLINE ec_m32 ec_m32_or(ec_m32 a, ec_m32 b) { return vorrq_u32(a, b); }
EC_INLINE ec_m32 ec_m32_xor(ec_m32 a, ec_m32 b) { return veorq_u32(a, b); }
EC_INLINE ec_m32 ec_m32_not(ec_m32 a) { return vmvnq_u32(a); }
EC_INLINE ec_f32 ec_f32_select(ec_m32 m, ec_f32 a, ec_f32 b) { return vbslq_f32(m, a, b); }

EC_INLINE ec_f32 ec_f32_add(ec_f32 a, ec_f32 b) { return vaddq_f32(a, b); }
EC_INLINE ec_f32 ec_f32_sub(ec_f32 a, ec_f32 b) { return vsubq_f32(a, b); }
EC_INLINE ec_f32 ec_f32_mul(ec_f32 a, ec_f32 b) { return vmulq_f32(a, b); }
EC_INLINE ec_f32 ec_f32_fma(ec_f32 a, ec_f32 b, ec_f32 c) { return vfmaq_f32(c, a, b); }

/*
 * Neighbouring factors in one register, each of which multiplies a vector: c + b * a[which]. GCC 12 moves sums between
 * registers around the intrinsics, and clang splits a multiply-add of ARMv7 that is not fused; so it stands here.
 */
#if defined(__aarch64__)
#define EC_FACTORS 4
typedef float32x4_t ec_f32_factors;
EC_INLINE ec_f32_factors ec_f32_load_factors(const float *p) { return vld1q_f32(p); }
/* The vector at *p, which moves on by it. */
EC_INLINE ec_f32 ec_f32_take(const float **p)
{
    *p += EC_LANES;
    return vld1q_f32(*p - EC_LANES);
}
#if defined(__clang__)
#define EC_FMA_FACTOR(which) c = vfmaq_laneq_f32(c, b, a, which)
EC_INLINE ec_f32 ec_f32_fma_one(ec_f32 b, float a, ec_f32 c) { return vfmaq_n_f32(c, b, a); }
#else
#define EC_F32_ADD_PRODUCT(c, a, b) __asm__("fmla %0.4s, %1.4s, %2.4s" : "+w"(c) : "w"(a), "w"(b))
#define EC_FMA_FACTOR(which) __asm__("fmla %0.4s, %1.4s, %2.s[" #which "]" : "+w"(c) : "w"(b), "w"(a))
EC_INLINE ec_f32 ec_f32_fma_one(ec_f32 b, float a, ec_f32 c)
{
    __asm__("fmla %0.4s, %1.4s, %2.s[0]" : "+w"(c) : "w"(b), "w"(a));
    return c;
}
#endif
#else
#define EC_FACTORS 2
typedef float32x2_t ec_f32_factors;
EC_INLINE ec_f32_factors ec_f32_load_factors(const float *p)
{
    ec_f32_factors v;
    __asm__("vldr %P0, %1" : "=t"(v) : "Uv"(*(const float(*)[2])(const void *)p));
    return v;
}
EC_INLINE ec_f32 ec_f32_take(const float **p)
{
    ec_f32 v;
    __asm__("vld1.32 {%e0, %f0}, [%1]!" : "=w"(v), "+r"(*p) : "m"(*(const float(*)[4])(const void *)*p));
    return v;
}
#define EC_FMA_FACTOR(which) __asm__("vmla.f32 %q0, %q1, %P2[" #which "]" : "+w"(c) : "w"(b), "t"(a))
EC_INLINE ec_f32 ec_f32_fma_one(ec_f32 b, float a, ec_f32 c)
{
    __asm__("vmla.f32 %q0, %q1, %y2" : "+w"(c) : "w"(b), "t"(a));
    return c;
}
#endif
EC_INLINE ec_f32 ec_f32_fma_factor(ec_f32 b, ec_f32_factors a, int which, ec_f32 c)
{
    if (which == 0)
        EC_FMA_FACTOR(0);
    else if (which == 1)
        EC_FMA_FACTOR(1);
#if EC_FACTORS == 4
    else if (which == 2)
        EC_FMA_FACTOR(2);
    else
        EC_FMA_FACTOR(3);
#endif
    return c;
}
#undef EC_FMA_FACTOR

/* vmaxq treats NaN and signed zeros in its own way; comparing gives what the other ISAs give. */
#if defined(__aarch64__)
/* Known not to be NaN or zero: then vmaxq(a, b) gives the same. */
#define EC_IS_PLAIN(a) (__builtin_constant_p((a)[0]) && ((a)[0] < 0.0f || (a)[0] > 0.0f))
#else
#define EC_IS_PLAIN(a) 0
#endif
EC_INLINE ec_f32 ec_f32_min(ec_f32 a, ec_f32 b)
{
    return EC_IS_PLAIN(a) ? vminq_f32(a, b) : vbslq_f32(ec_f32_lt(a, b), a, b);
}
EC_INLINE ec_f32 ec_f32_max(ec_f32 a, ec_f32 b)
{
    return EC_IS_PLAIN(a) ? vmaxq_f32(a, b) : vbslq_f32(ec_f32_lt(b, a), a, b);
}

#if defined(__aarch64__)
EC_INLINE ec_f32 ec_f32_div(ec_f32 a, ec_f32 b) { return vdivq_f32(a, b); }
EC_INLINE ec_f32 ec_f32_sqrt(ec_f32 a) { return vsqrtq_f32(a); }
EC_INLINE ec_f32 ec_f32_floor(ec_f32 a) { return vrndmq_f32(a); }
EC_INLINE ec_f32 ec_f32_ceil(ec_f32 a) { return vrndpq_f32(a); }
EC_INLINE ec_f32 ec_f32_round(ec_f32 a) { return vrndnq_f32(a); }
EC_INLINE ec_f32 ec_f32_trunc(ec_f32 a) { return vrndq_f32(a); }
#else
EC_INLINE ec_f32 ec_f32_div(ec_f32 a, ec_f32 b)
{
    float32x4_t v = vdupq_n_f32(vgetq_lane_f32(a, 0) / vgetq_lane_f32(b, 0));
    v = vsetq_lane_f32(vgetq_lane_f32(a, 1) / vgetq_lane_f32(b, 1), v, 1);
    v = vsetq_lane_f32(vgetq_lane_f32(a, 2) / vgetq_lane_f32(b, 2), v, 2);
    return vsetq_lane_f32(vgetq_lane_f32(a, 3) / vgetq_lane_f32(b, 3), v, 3);
}

EC_INLINE ec_f32 ec_f32_sqrt(ec_f32 a)
{
    float32x4_t v = vdupq_n_f32(sqrtf(vgetq_lane_f32(a, 0)));
    v = vsetq_lane_f32(sqrtf(vgetq_lane_f32(a, 1)), v, 1);
    v = vsetq_lane_f32(sqrtf(vgetq_lane_f32(a, 2)), v, 2);
    return vsetq_lane_f32(sqrtf(vgetq_lane_f32(a, 3)), v, 3);
}
#endif

#define EC_REDUCE(name, pair)                                                                                          \
    EC_INLINE float ec_f32_reduce_##name(ec_f32 v)                                                                     \
    {                                                                                                                  \
        ec_f32 half = pair(v, vextq_f32(v, v, 2));                                                                     \
        return vgetq_lane_f32(pair(half, vextq_f32(half, half, 1)), 0);                                                \
    }
EC_REDUCE(add, ec_f32_add)
EC_REDUCE(max, ec_f32_max)
EC_REDUCE(min, ec_f32_min)
#undef EC_REDUCE

/* The shift intrinsics want literals even without optimisation; shifts of GNU vectors do not. */
EC_INLINE ec_i32 ec_i32_set(int32_t value) { return vdupq_n_s32(value); }
EC_INLINE ec_i32 ec_i32_add(ec_i32 a, ec_i32 b) { return vaddq_s32(a, b); }
EC_INLINE ec_i32 ec_i32_sub(ec_i32 a, ec_i32 b) { return vsubq_s32(a, b); }
EC_INLINE ec_i32 ec_i32_and(ec_i32 a, ec_i32 b) { return vandq_s32(a, b); }
EC_INLINE ec_i32 ec_i32_or(ec_i32 a, ec_i32 b) { return vorrq_s32(a, b); }
EC_INLINE ec_i32 ec_i32_xor(ec_i32 a, ec_i32 b) { return veorq_s32(a, b); }
EC_INLINE ec_i32 ec_i32_shl(ec_i32 a, int bits) { return a << bits; }
EC_INLINE ec_i32 ec_i32_shr(ec_i32 a, int bits) { return a >> bits; }
EC_INLINE ec_f32 ec_i32_to_f32(ec_i32 a) { return vcvtq_f32_s32(a); }
EC_INLINE ec_i32 ec_f32_to_i32(ec_f32 a) { return vcvtq_s32_f32(a); }
EC_INLINE ec_i32 ec_f32_bits(ec_f32 a) { return vreinterpretq_s32_f32(a); }
EC_INLINE ec_f32 ec_i32_as_f32(ec_i32 a) { return vreinterpretq_f32_s32(a); }

/* y[c * y_stride + r] = x[r * x_stride + c] for r, c < EC_TRANSPOSE_EDGE. */
EC_INLINE void ec_f32_transpose(const float *x, ptrdiff_t x_stride, float *y, ptrdiff_t y_stride)
{
    float32x4x2_t ab = vtrnq_f32(vld1q_f32(x), vld1q_f32(x + x_stride));
    float32x4x2_t cd = vtrnq_f32(vld1q_f32(x + 2 * x_stride), vld1q_f32(x + 3 * x_stride));
    vst1q_f32(y, vcombine_f32(vget_low_f32(ab.val[0]), vget_low_f32(cd.val[0])));
    vst1q_f32(y + y_stride, vcombine_f32(vget_low_f32(ab.val[1]), vget_low_f32(cd.val[1])));
    vst1q_f32(y + 2 * y_stride, vcombine_f32(vget_high_f32(ab.val[0]), vget_high_f32(cd.val[0])));
    vst1q_f32(y + 3 * y_stride, vcombine_f32(vget_high_f32(ab.val[1]), vget_high_f32(cd.val[1])));
}

#define EC_STORES_THREE 1
EC_INLINE void ec_f32_store_three(float *p, ec_f32 a, ec_f32 b, ec_f32 c)
{
    const float32x4x3_t all = {{a, b, c}};
    vst3q_f32(p, all);
}

#endif
