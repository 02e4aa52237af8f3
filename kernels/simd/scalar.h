/* Portable C11: vectors of one lane. The reference for all other ISA headers. */
#ifndef EC_SIMD_SCALAR_H
#define EC_SIMD_SCALAR_H

#include <math.h>
#include <string.h>

#define EC_TRANSPOSE_EDGE 1
#define EC_LANES 1
#define EC_REGISTERS 16

typedef float ec_f32;
typedef int32_t ec_i32;
typedef uint32_t ec_m32; /* all bits set or none */

EC_INLINE ec_f32 ec_f32_load(const float *p) { return *p; }
EC_INLINE void ec_f32_store(float *p, ec_f32 v) { *p = v; }
EC_INLINE ec_f32 ec_f32_load_tail(const float *p, size_t n)
{
    (void)n;
    return *p;
}
EC_INLINE void ec_f32_store_tail(float *p, ec_f32 v, size_t n)
{
    (void)n;
    *p = v;
}
EC_INLINE ec_f32 ec_f32_load_strided(const float *p, ptrdiff_t stride)
{
    (void)stride;
    return *p;
}
EC_INLINE ec_f32 ec_f32_set(float value) { return value; }
EC_INLINE ec_f32 ec_f32_load_same(const float *p) { return ec_f32_set(*p); }

EC_INLINE ec_f32 ec_f32_add(ec_f32 a, ec_f32 b) { return a + b; }
EC_INLINE ec_f32 ec_f32_sub(ec_f32 a, ec_f32 b) { return a - b; }
EC_INLINE ec_f32 ec_f32_mul(ec_f32 a, ec_f32 b) { return a * b; }
EC_INLINE ec_f32 ec_f32_div(ec_f32 a, ec_f32 b) { return a / b; }
EC_INLINE ec_f32 ec_f32_min(ec_f32 a, ec_f32 b) { return a < b ? a : b; }
EC_INLINE ec_f32 ec_f32_max(ec_f32 a, ec_f32 b) { return a > b ? a : b; }
EC_INLINE ec_f32 ec_f32_sqrt(ec_f32 a) { return sqrtf(a); }
EC_INLINE ec_f32 ec_f32_floor(ec_f32 a) { return floorf(a); }
EC_INLINE ec_f32 ec_f32_ceil(ec_f32 a) { return ceilf(a); }
/* Adding 2^23 leaves no bits for a fraction, and halves go to even; cores without a rounding instruction call nothing. */
EC_INLINE ec_f32 ec_f32_round(ec_f32 a)
{
    const float size = fabsf(a), big = 8388608.0f;
    return size < big ? copysignf((size + big) - big, a) : a;
}
EC_INLINE ec_f32 ec_f32_trunc(ec_f32 a) { return truncf(a); }

EC_INLINE ec_f32 ec_f32_fma(ec_f32 a, ec_f32 b, ec_f32 c)
{
#if defined(FP_FAST_FMAF)
    return fmaf(a, b, c);
#else
    return a * b + c;
#endif
}

EC_INLINE ec_m32 ec_f32_lt(ec_f32 a, ec_f32 b) { return a < b ? ~0u : 0u; }
EC_INLINE ec_m32 ec_f32_le(ec_f32 a, ec_f32 b) { return a <= b ? ~0u : 0u; }
EC_INLINE ec_m32 ec_f32_eq(ec_f32 a, ec_f32 b) { return a == b ? ~0u : 0u; }
EC_INLINE ec_m32 ec_m32_and(ec_m32 a, ec_m32 b) { return a & b; }
EC_INLINE ec_m32 ec_m32_or(ec_m32 a, ec_m32 b) { return a | b; }
EC_INLINE ec_m32 ec_m32_xor(ec_m32 a, ec_m32 b) { return a ^ b; }
EC_INLINE ec_m32 ec_m32_not(ec_m32 a) { return ~a; }
EC_INLINE ec_f32 ec_f32_select(ec_m32 m, ec_f32 a, ec_f32 b) { return m ? a : b; }

EC_INLINE float ec_f32_reduce_add(ec_f32 v) { return v; }
EC_INLINE float ec_f32_reduce_max(ec_f32 v) { return v; }
EC_INLINE float ec_f32_reduce_min(ec_f32 v) { return v; }

EC_INLINE ec_i32 ec_i32_set(int32_t value) { return value; }
EC_INLINE ec_i32 ec_i32_add(ec_i32 a, ec_i32 b) { return (int32_t)((uint32_t)a + (uint32_t)b); }
EC_INLINE ec_i32 ec_i32_sub(ec_i32 a, ec_i32 b) { return (int32_t)((uint32_t)a - (uint32_t)b); }
EC_INLINE ec_i32 ec_i32_and(ec_i32 a, ec_i32 b) { return a & b; }
EC_INLINE ec_i32 ec_i32_or(ec_i32 a, ec_i32 b) { return a | b; }
EC_INLINE ec_i32 ec_i32_xor(ec_i32 a, ec_i32 b) { return a ^ b; }
EC_INLINE ec_i32 ec_i32_shl(ec_i32 a, int bits) { return (int32_t)((uint32_t)a << bits); }
EC_INLINE ec_i32 ec_i32_shr(ec_i32 a, int bits) { return a >> bits; }
EC_INLINE ec_f32 ec_i32_to_f32(ec_i32 a) { return (float)a; }

/* The conversion itself is undefined outside of int32, so such values saturate and NaN gives 0. */
EC_INLINE ec_i32 ec_f32_to_i32(ec_f32 a)
{
    if (a >= 2147483648.0f)
        return INT32_MAX;
    if (a < -2147483648.0f)
        return INT32_MIN;
    return a == a ? (int32_t)a : 0;
}

EC_INLINE ec_i32 ec_f32_bits(ec_f32 a)
{
    ec_i32 bits;
    memcpy(&bits, &a, sizeof bits);
    return bits;
}

EC_INLINE ec_f32 ec_i32_as_f32(ec_i32 a)
{
    ec_f32 value;
    memcpy(&value, &a, sizeof value);
    return value;
}

/* y[c * y_stride + r] = x[r * x_stride + c] for r, c < EC_TRANSPOSE_EDGE. */
EC_INLINE void ec_f32_transpose(const float *x, ptrdiff_t x_stride, float *y, ptrdiff_t y_stride)
{
    (void)x_stride, (void)y_stride;
    *y = *x;
}

#endif
