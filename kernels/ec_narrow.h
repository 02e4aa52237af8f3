/* Numbers of fewer bits than C has types for, as bits: floats of 4, 8 and 16 bits, integers of 2 and 4 bits. */
#ifndef EC_NARROW_H
#define EC_NARROW_H

#include "ec_common.h"

#include <math.h>
#include <string.h>

/*
 * What stands above the finite numbers: EC_IEEE infinity and NaN under the largest exponent; EC_FN one NaN, all bits but
 * the sign set; EC_FNUZ nothing, for NaN is the minus zero that there is not; EC_FINITE nothing at all.
 */
enum { EC_IEEE, EC_FN, EC_FNUZ, EC_FINITE };

/* The layout of a float: bits of the whole and of the fraction, bias of the exponent, and what is no number. */
typedef struct {
    int width, fraction, bias, kind;
} ec_narrow;

EC_INLINE float ec_float_of_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

EC_INLINE uint32_t ec_bits_of_float(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

EC_INLINE double ec_double_of_bits(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

EC_INLINE uint64_t ec_bits_of_double(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* 2^n for n from -126 to 127. */
EC_INLINE float ec_float_power(int n) { return ec_float_of_bits((uint32_t)(n + 127) << 23); }

EC_INLINE uint32_t ec_narrow_most(ec_narrow type)
{
    const uint32_t all = (1u << (type.width - 1)) - 1;
    return type.kind == EC_IEEE ? all - (1u << type.fraction) : type.kind == EC_FN ? all - 1 : all;
}

EC_INLINE float ec_narrow_value(uint32_t bits, ec_narrow type)
{
    const uint32_t all = (1u << (type.width - 1)) - 1, size = bits & all, one = 1u << type.fraction;
    const int negative = (int)(bits >> (type.width - 1) & 1), exponent = (int)(size >> type.fraction);
    if (type.kind == EC_FNUZ && negative && size == 0)
        return NAN;
    if (size > ec_narrow_most(type))
        return type.kind == EC_IEEE && size == all - one + 1 ? (negative ? -INFINITY : INFINITY) : NAN;
    const float fraction = (float)((size & (one - 1)) + (exponent > 0 ? one : 0));
    const int power = (exponent > 0 ? exponent : 1) - type.bias - type.fraction;
    const float value = fraction * ec_float_power(power);
    return negative ? -value : value;
}

/* Rounds to the nearest, halves to even; what is too large becomes the largest number, or else infinity or NaN. */
EC_INLINE uint32_t ec_narrow_bits(double value, ec_narrow type, int saturate)
{
    const uint32_t sign = signbit(value) ? 1u << (type.width - 1) : 0, most = ec_narrow_most(type);
    const uint32_t nan = type.kind == EC_FNUZ ? 1u << (type.width - 1) : (1u << (type.width - 1)) - 1;
    if (isnan(value))
        return type.kind == EC_FINITE ? 1u << (type.width - 1) : nan;
    const double size = fabs(value);
    const int least = 2 - type.bias;
    int exponent = least;
    if (size > 0)
        (void)frexp(size, &exponent);
    const int lifted = exponent > least ? exponent : least;
    const uint32_t one = 1u << type.fraction;
    uint32_t bits = most + 1;
    if (size < ldexp(1.0, type.bias + 2)) /* the sum cannot overflow */
        bits = (uint32_t)rint(ldexp(size, type.fraction + 1 - lifted)) + (uint32_t)(lifted - least) * one;
    if (bits > most && (saturate || type.kind == EC_FINITE))
        bits = most;
    if (bits > most)
        return type.kind == EC_IEEE ? sign | (most + 1) : type.kind == EC_FNUZ ? nan : sign | nan;
    return bits == 0 && type.kind == EC_FNUZ ? 0 : sign | bits;
}

#define EC_NARROW_TYPE(name, ctype, width, fraction, bias, kind)                                                       \
    EC_INLINE float ec_##name##_value(ctype bits)                                                                      \
    {                                                                                                                  \
        return ec_narrow_value(bits, (ec_narrow){width, fraction, bias, kind});                                        \
    }                                                                                                                  \
    EC_INLINE ctype ec_##name##_bits(double value, int saturate)                                                       \
    {                                                                                                                  \
        return (ctype)ec_narrow_bits(value, (ec_narrow){width, fraction, bias, kind}, saturate);                       \
    }

EC_NARROW_TYPE(f8e4m3fn, uint8_t, 8, 3, 7, EC_FN)
EC_NARROW_TYPE(f8e4m3fnuz, uint8_t, 8, 3, 8, EC_FNUZ)
EC_NARROW_TYPE(f8e5m2, uint8_t, 8, 2, 15, EC_IEEE)
EC_NARROW_TYPE(f8e5m2fnuz, uint8_t, 8, 2, 16, EC_FNUZ)
EC_NARROW_TYPE(f4e2m1, uint8_t, 4, 1, 1, EC_FINITE)

/* Half precision without branches, so that compilers make vectors of it. Subnormals are counted in 2^-24. */
EC_INLINE float ec_f16_value(uint16_t half)
{
    const uint32_t size = half & 0x7fffu, sign = (half & 0x8000u) << 16;
    const uint32_t tiny = ec_bits_of_float(ec_float_of_bits(size << 13 | 113u << 23) - 0x1p-14f);
    const uint32_t number = (size << 13) + (size < 0x7c00 ? 112u << 23 : 224u << 23);
    return ec_float_of_bits(sign | (size < 0x400 ? tiny : number));
}

EC_INLINE uint16_t ec_f16_bits(double value, int saturate)
{
    const uint64_t bits = ec_bits_of_double(value), sign = bits >> 63, size = bits - (sign << 63);
    const uint64_t tiny = ec_bits_of_double(fabs(value) + 0x1p28) - ec_bits_of_double(0x1p28);
    const uint64_t normal = (size + ((1ull << 41) - 1) + (size >> 42 & 1) - (1008ull << 52)) >> 42;
    const uint64_t finite = size < 1009ull << 52 ? tiny : size < 1039ull << 52 ? normal : 0x7c00;
    const uint64_t half = saturate && finite > 0x7bff ? 0x7bff : finite;
    return (uint16_t)(size > 2047ull << 52 ? 0x7fff : sign << 15 | half);
}

/* bfloat16: the upper half of a float. */
EC_INLINE float ec_bf16_value(uint16_t bits) { return ec_float_of_bits((uint32_t)bits << 16); }

EC_INLINE uint16_t ec_bf16_bits(double value, int saturate)
{
    const float narrow = (float)value;
    const uint32_t bits = ec_bits_of_float(narrow);
    (void)saturate;
    return (uint16_t)(isnan(narrow) ? (bits >> 16 | 0x40) : (bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/* Powers of two, 2^-127 to 2^127, and NaN. `way` is 0 to round up, 1 down, 2 to the nearest. */
EC_INLINE float ec_f8e8m0_value(uint8_t bits)
{
    return bits == 255 ? NAN : bits == 0 ? 0x1p-127f : ec_float_power(bits - 127);
}

EC_INLINE uint8_t ec_f8e8m0_bits(double value, int saturate, int way)
{
    const uint32_t bits = ec_bits_of_float((float)value);
    const uint32_t exponent = bits >> 23 & 0xff, fraction = bits & 0x7fffff, half = 0x400000;
    const int nearest = fraction > half || (fraction == half && exponent > 0);
    const int grows = way == 0 ? fraction > 0 : way == 1 ? 0 : nearest;
    return (uint8_t)(exponent + (uint32_t)(grows && exponent < (saturate ? 254u : 255u)));
}

/* Integers of 2 and 4 bits in the low bits of a byte; what stands above them does not count, and is stored as 0. */
EC_INLINE int8_t ec_i4_value(uint8_t bits) { return (int8_t)(((bits & 15) ^ 8) - 8); }
EC_INLINE int8_t ec_i2_value(uint8_t bits) { return (int8_t)(((bits & 3) ^ 2) - 2); }
EC_INLINE uint8_t ec_u4_value(uint8_t bits) { return bits & 15; }
EC_INLINE uint8_t ec_u2_value(uint8_t bits) { return bits & 3; }
EC_INLINE uint8_t ec_i4_bits(int64_t value) { return (uint8_t)(value & 15); }
EC_INLINE uint8_t ec_u4_bits(int64_t value) { return (uint8_t)(value & 15); }
EC_INLINE uint8_t ec_i2_bits(int64_t value) { return (uint8_t)(value & 3); }
EC_INLINE uint8_t ec_u2_bits(int64_t value) { return (uint8_t)(value & 3); }

#endif
