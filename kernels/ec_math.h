/*
 * Elementary functions on vectors. Largest errors, tested against double precision:
 *   exp, log, tanh, sigmoid, sin, cos   4 ULP (sin and cos for |x| <= 10000, growing beyond)
 *   erf                                 8 ULP
 *   pow                                 relative error 2e-5 (its logarithm is single precision)
 * NaN gives NaN and infinities give the limit. Results below 2^-126 may be flushed to zero.
 * The polynomials are minimax fits made for these intervals.
 */
#ifndef EC_MATH_H
#define EC_MATH_H

#include <math.h>

#include "ec_simd.h"

#define EC_POLYNOMIAL(x, ...)                                                                                          \
    ec_f32_polynomial(x, (const float[]){__VA_ARGS__}, (int)(sizeof((const float[]){__VA_ARGS__}) / sizeof(float)))

/* Coefficients from the highest power down. */
EC_INLINE ec_f32 ec_f32_polynomial(ec_f32 x, const float *coefficients, int count)
{
    ec_f32 sum = ec_f32_set(coefficients[0]);
    EC_UNROLL
    for (int i = 1; i < count; i++)
        sum = ec_f32_fma(sum, x, ec_f32_set(coefficients[i]));
    return sum;
}

/* 2^n for -126 <= n <= 127. */
EC_INLINE ec_f32 ec_f32_from_exponent(ec_i32 n)
{
    return ec_i32_as_f32(ec_i32_shl(ec_i32_add(n, ec_i32_set(127)), 23));
}

EC_INLINE ec_f32 ec_f32_power_of_two(ec_f32 n) { return ec_f32_from_exponent(ec_f32_to_i32(n)); }

/* p * 2^n for whole n from -127 to 128. */
EC_INLINE ec_f32 ec_f32_scale(ec_f32 p, ec_f32 n)
{
#if defined(EC_F32_SCALE)
    return EC_F32_SCALE(p, n);
#else
    /* In two steps, because 2^128 is not a float. */
    ec_i32 whole = ec_f32_to_i32(n), half = ec_i32_shr(whole, 1);
    return ec_f32_mul(ec_f32_mul(p, ec_f32_from_exponent(half)), ec_f32_from_exponent(ec_i32_sub(whole, half)));
#endif
}

/* exp, but not less than exp(-88). */
EC_INLINE ec_f32 ec_f32_exp_above_zero(ec_f32 x)
{
    ec_f32 inside = ec_f32_max(ec_f32_set(-88.0f), ec_f32_min(ec_f32_set(89.0f), x));
    ec_f32 n = ec_f32_round(ec_f32_mul(inside, ec_f32_set(1.44269504f)));
    ec_f32 r = ec_f32_fma(n, ec_f32_set(-0.693359375f), inside);
    r = ec_f32_fma(n, ec_f32_set(2.12194440e-4f), r);
    ec_f32 p = EC_POLYNOMIAL(r, 0.00139447034f, 0.00833349768f, 0.0416662954f, 0.166666657f, 0.5f);
    p = ec_f32_add(ec_f32_fma(ec_f32_mul(r, r), p, r), ec_f32_set(1.0f));
    return ec_f32_scale(p, n);
}

EC_INLINE ec_f32 ec_f32_exp(ec_f32 x)
{
    return ec_f32_select(ec_f32_lt(x, ec_f32_set(-87.3365479f)), ec_f32_set(0.0f), ec_f32_exp_above_zero(x));
}

EC_INLINE ec_f32 ec_f32_log(ec_f32 x)
{
    const ec_f32 one = ec_f32_set(1.0f);
    ec_m32 tiny = ec_f32_lt(x, ec_f32_set(1.17549435e-38f));
    ec_f32 normal = ec_f32_select(tiny, ec_f32_mul(x, ec_f32_set(8388608.0f)), x);
    /* Splits into 2^n * m with m between sqrt(1/2) and sqrt(2). */
    ec_i32 shifted = ec_i32_sub(ec_f32_bits(normal), ec_i32_set(0x3f3504f3));
    ec_f32 n = ec_i32_to_f32(ec_i32_shr(shifted, 23));
    n = ec_f32_sub(n, ec_f32_select(tiny, ec_f32_set(23.0f), ec_f32_set(0.0f)));
    ec_i32 fraction = ec_i32_and(shifted, ec_i32_set(0x007fffff));
    ec_f32 f = ec_f32_sub(ec_i32_as_f32(ec_i32_add(fraction, ec_i32_set(0x3f3504f3))), one);
    ec_f32 p = EC_POLYNOMIAL(f, 0.0674662739f, -0.116756484f, 0.118881665f, -0.1240559f, 0.142195523f, -0.166679963f,
                             0.200021192f, -0.25000009f, 0.333333135f);
    ec_f32 square = ec_f32_mul(f, f);
    ec_f32 small = ec_f32_fma(n, ec_f32_set(-2.12194440e-4f), ec_f32_mul(ec_f32_mul(square, f), p));
    small = ec_f32_fma(square, ec_f32_set(-0.5f), small);
    ec_f32 y = ec_f32_fma(n, ec_f32_set(0.693359375f), ec_f32_add(f, small));
    y = ec_f32_select(ec_f32_lt(x, ec_f32_set(INFINITY)), y, x); /* infinity and NaN */
    y = ec_f32_select(ec_f32_lt(x, ec_f32_set(0.0f)), ec_f32_set(NAN), y);
    return ec_f32_select(ec_f32_eq(x, ec_f32_set(0.0f)), ec_f32_set(-INFINITY), y);
}

EC_INLINE ec_f32 ec_f32_sigmoid(ec_f32 x)
{
    const ec_f32 one = ec_f32_set(1.0f);
    return ec_f32_div(one, ec_f32_add(one, ec_f32_exp_above_zero(ec_f32_neg(x))));
}

EC_INLINE ec_f32 ec_f32_tanh(ec_f32 x)
{
    const ec_f32 one = ec_f32_set(1.0f);
    ec_f32 size = ec_f32_abs(x), square = ec_f32_mul(x, x);
    ec_f32 near = EC_POLYNOMIAL(square, -0.00570498407f, 0.0206390843f, -0.0537397154f, 0.133314416f, -0.333332807f);
    near = ec_f32_fma(ec_f32_mul(size, square), near, size);
    ec_f32 far = ec_f32_add(ec_f32_exp_above_zero(ec_f32_add(size, size)), one);
    far = ec_f32_sub(one, ec_f32_div(ec_f32_set(2.0f), far));
    return ec_f32_with_sign(ec_f32_select(ec_f32_lt(size, ec_f32_set(0.625f)), near, far), x);
}

#if defined(EC_F32_LOOKUP)
/* Polynomials around the quarters 0 .. 3.75, chosen in registers; further out the result is one. */
EC_INLINE ec_f32 ec_f32_erf(ec_f32 x)
{
    static const float powers[6][16] = {
        {0.11223613f, 0.07961256f, 0.007469801f, -0.052740816f, -0.06877123f, -0.04708141f, -0.014995042f,
         0.0064591835f, 0.012996673f, 0.010639144f, 0.0061320425f, 0.0027734344f, 0.0010272345f, 0.00031845964f,
         8.371593e-05f, 1.8819363e-05f},
        {0.0f, 0.126035f, 0.18191113f, 0.15005814f, 0.06929065f, -0.005662584f, -0.04414691f, -0.04789183f,
         -0.034433533f, -0.019151028f, -0.008687853f, -0.0032969948f, -0.0010617533f, -0.0002927807f, -6.955461e-05f,
         -1.4297718e-05f},
        {-0.3761232f, -0.30916736f, -0.1464649f, 0.026784878f, 0.13836594f, 0.16753502f, 0.13875301f, 0.090158574f,
         0.04822369f, 0.021724699f, 0.008349976f, 0.002760251f, 0.0007890171f, 0.00019577325f, 4.228299e-05f,
         7.966104e-06f},
        {0.0f, -0.264998f, -0.43938446f, -0.48219463f, -0.4151081f, -0.2956543f, -0.17839807f, -0.09235748f,
         -0.04133404f, -0.016069822f, -0.005445327f, -0.0016120345f, -0.00041765734f, -9.482787e-05f, -1.8887202e-05f,
         -3.3026868e-06f},
        {1.1283791f, 1.0600141f, 0.8787826f, 0.6429311f, 0.41510752f, 0.23652112f, 0.11893029f, 0.05277499f,
         0.020666985f, 0.007142319f, 0.0021782843f, 0.0005862775f, 0.00013925321f, 2.9189097e-05f, 5.3994513e-06f,
         8.8143906e-07f},
        {0.0f, 0.2763264f, 0.5204999f, 0.71115565f, 0.8427008f, 0.92290014f, 0.96610516f, 0.9866717f, 0.9953223f,
         0.9985373f, 0.999593f, 0.9998994f, 0.9999779f, 0.9999957f, 0.9999993f, 0.99999994f},
    };
    const ec_f32 units_of_a_quarter = ec_f32_set(2097152.0f);
    ec_f32 size = ec_f32_min(ec_f32_set(3.874f), ec_f32_abs(x));
    ec_f32 quarter = ec_f32_add(size, units_of_a_quarter);
    ec_f32 rest = ec_f32_sub(size, ec_f32_sub(quarter, units_of_a_quarter));
    ec_f32 sum = EC_F32_LOOKUP(powers[0], ec_f32_bits(quarter));
    EC_UNROLL
    for (int i = 1; i < 6; i++)
        sum = ec_f32_fma(sum, rest, EC_F32_LOOKUP(powers[i], ec_f32_bits(quarter)));
    return ec_f32_with_sign(sum, x);
}
#else
EC_INLINE ec_f32 ec_f32_erf(ec_f32 x)
{
    const ec_f32 one = ec_f32_set(1.0f);
    ec_f32 size = ec_f32_min(ec_f32_set(4.0f), ec_f32_abs(x)), square = ec_f32_mul(size, size);
    ec_f32 near = EC_POLYNOMIAL(square, 7.853860006e-05f, -0.000801019312f, 0.00518832775f, -0.026853811f, 0.112835854f,
                                -0.376126260f, 1.12837911f);
    /* Further out the logarithm of 1 - erf is smooth. */
    ec_f32 far = EC_POLYNOMIAL(size, -2.16975914e-05f, 0.000441472337f, -0.00420528278f, 0.025210334f, -0.108422086f,
                               -0.633216381f, -1.12958026f, 0.000188466307f);
    far = ec_f32_sub(one, ec_f32_exp(far));
    return ec_f32_with_sign(ec_f32_select(ec_f32_lt(size, one), ec_f32_mul(size, near), far), x);
}
#endif

/* sin(x + quarters * pi / 2). Pi / 2 is taken off in four parts, short enough for exact products up to 10000. */
EC_INLINE ec_f32 ec_f32_sine_from(ec_f32 x, int quarters)
{
    ec_f32 n = ec_f32_round(ec_f32_mul(x, ec_f32_set(0.636619772f)));
    ec_f32 r = ec_f32_fma(n, ec_f32_set(-1.5703125f), x);
    r = ec_f32_fma(n, ec_f32_set(-0.00048351287841796875f), r);
    r = ec_f32_fma(n, ec_f32_set(-3.1385570764541626e-07f), r);
    r = ec_f32_fma(n, ec_f32_set(-6.07710062827671e-11f), r);
    ec_f32 square = ec_f32_mul(r, r);
    ec_f32 sine = EC_POLYNOMIAL(square, 2.71823728e-06f, -0.000198393274f, 0.00833332911f, -0.166666672f);
    sine = ec_f32_fma(ec_f32_mul(square, r), sine, r);
    ec_f32 cosine = EC_POLYNOMIAL(square, 2.44377297e-05f, -0.00138873619f, 0.0416666456f);
    cosine = ec_f32_fma(ec_f32_mul(square, square), cosine, ec_f32_fma(square, ec_f32_set(-0.5f), ec_f32_set(1.0f)));
    ec_i32 quadrant = ec_i32_add(ec_f32_to_i32(n), ec_i32_set(quarters));
    ec_f32 odd = ec_i32_to_f32(ec_i32_and(quadrant, ec_i32_set(1)));
    ec_f32 y = ec_f32_select(ec_f32_eq(odd, ec_f32_set(0.0f)), sine, cosine);
    ec_i32 sign = ec_i32_shl(ec_i32_and(quadrant, ec_i32_set(2)), 30);
    return ec_i32_as_f32(ec_i32_xor(ec_f32_bits(y), sign));
}

EC_INLINE ec_f32 ec_f32_sin(ec_f32 x) { return ec_f32_sine_from(x, 0); }

EC_INLINE ec_f32 ec_f32_cos(ec_f32 x) { return ec_f32_sine_from(x, 1); }

/* A function of the C library on every lane. */
EC_INLINE ec_f32 ec_f32_each(float (*function)(float), ec_f32 x)
{
    float lanes[EC_LANES];
    ec_f32_store(lanes, x);
    for (size_t i = 0; i < EC_LANES; i++)
        lanes[i] = function(lanes[i]);
    return ec_f32_load(lanes);
}

EC_INLINE ec_f32 ec_f32_asin(ec_f32 x) { return ec_f32_each(asinf, x); }

EC_INLINE ec_f32 ec_f32_acos(ec_f32 x) { return ec_f32_each(acosf, x); }

EC_INLINE ec_f32 ec_f32_atan(ec_f32 x) { return ec_f32_each(atanf, x); }

/* As C's powf in every special case: negative x with whole y, zeros, infinities, 1^NaN. */
EC_INLINE ec_f32 ec_f32_pow(ec_f32 x, ec_f32 y)
{
    const ec_f32 zero = ec_f32_set(0.0f), one = ec_f32_set(1.0f);
    ec_f32 size = ec_f32_abs(x), half = ec_f32_mul(y, ec_f32_set(0.5f));
    ec_m32 whole = ec_f32_eq(ec_f32_trunc(y), y);
    ec_m32 odd = ec_m32_and(whole, ec_f32_ne(ec_f32_trunc(half), half));
    ec_f32 power = ec_f32_exp(ec_f32_mul(y, ec_f32_log(size)));
    power = ec_f32_select(odd, ec_f32_with_sign(power, x), power);
    ec_m32 undefined =
        ec_m32_and(ec_m32_not(whole), ec_m32_and(ec_f32_lt(x, zero), ec_f32_lt(size, ec_f32_set(INFINITY))));
    power = ec_f32_select(undefined, ec_f32_set(NAN), power);
    ec_m32 endless = ec_f32_eq(ec_f32_abs(y), ec_f32_set(INFINITY));
    ec_m32 unit = ec_m32_or(ec_f32_eq(x, one), ec_m32_and(ec_f32_eq(size, one), endless));
    return ec_f32_select(ec_m32_or(unit, ec_f32_eq(y, zero)), one, power);
}

#endif
