/*
 * Single elements of any type behind a pointer: to read, write, compare, join and move them.
 *
 * The type is a compile-time constant, so that each call becomes one instruction or a few. Floats are computed in double
 * and rounded once when they are stored; integers wrap around.
 */
#ifndef EC_ELEMENT_H
#define EC_ELEMENT_H

#include "ec_common.h"

#include <string.h>

enum {
    EC_TYPE_BOOL,
    EC_TYPE_U8,
    EC_TYPE_U16,
    EC_TYPE_U32,
    EC_TYPE_U64,
    EC_TYPE_I8,
    EC_TYPE_I16,
    EC_TYPE_I32,
    EC_TYPE_I64,
    EC_TYPE_F32,
    EC_TYPE_F64
};

enum {
    EC_REDUCTION_NONE,
    EC_REDUCTION_ADD,
    EC_REDUCTION_MUL,
    EC_REDUCTION_MAX,
    EC_REDUCTION_MIN
}; /* what becomes of an element and the one that is there */

#define EC_MAX_RANK 8

EC_INLINE int ec_is_real(int type) { return type == EC_TYPE_F32 || type == EC_TYPE_F64; }

EC_INLINE size_t ec_bytes(int type)
{
    switch (type) {
    case EC_TYPE_U16:
    case EC_TYPE_I16:
        return 2;
    case EC_TYPE_U32:
    case EC_TYPE_I32:
    case EC_TYPE_F32:
        return 4;
    case EC_TYPE_U64:
    case EC_TYPE_I64:
    case EC_TYPE_F64:
        return 8;
    default:
        return 1;
    }
}

/* An integer, its sign extended to 64 bits. */
EC_INLINE uint64_t ec_word(const void *p, size_t i, int type)
{
    switch (type) {
    case EC_TYPE_U16:
        return ((const uint16_t *)p)[i];
    case EC_TYPE_U32:
        return ((const uint32_t *)p)[i];
    case EC_TYPE_U64:
    case EC_TYPE_I64:
        return ((const uint64_t *)p)[i];
    case EC_TYPE_I8:
        return (uint64_t)((const int8_t *)p)[i];
    case EC_TYPE_I16:
        return (uint64_t)((const int16_t *)p)[i];
    case EC_TYPE_I32:
        return (uint64_t)((const int32_t *)p)[i];
    default:
        return ((const uint8_t *)p)[i];
    }
}

EC_INLINE void ec_put_word(void *p, size_t i, uint64_t v, int type)
{
    switch (ec_bytes(type)) {
    case 1:
        ((uint8_t *)p)[i] = (uint8_t)v;
        break;
    case 2:
        ((uint16_t *)p)[i] = (uint16_t)v;
        break;
    case 4:
        ((uint32_t *)p)[i] = (uint32_t)v;
        break;
    default:
        ((uint64_t *)p)[i] = v;
    }
}

/* Any number as a double. */
EC_INLINE double ec_real(const void *p, size_t i, int type)
{
    if (type == EC_TYPE_F32)
        return ((const float *)p)[i];
    if (type == EC_TYPE_F64)
        return ((const double *)p)[i];
    return type < EC_TYPE_I8 ? (double)ec_word(p, i, type) : (double)(int64_t)ec_word(p, i, type);
}

EC_INLINE void ec_put_real(void *p, size_t i, double v, int type)
{
    if (type == EC_TYPE_F32)
        ((float *)p)[i] = (float)v;
    else if (type == EC_TYPE_F64)
        ((double *)p)[i] = v;
    else
        ec_put_word(p, i, (uint64_t)(int64_t)v, type);
}

EC_INLINE void ec_move(void *y, size_t i, const void *x, size_t j, int type)
{
    memcpy((char *)y + i * ec_bytes(type), (const char *)x + j * ec_bytes(type), ec_bytes(type));
}

/* A total order: NaN is above all numbers. */
EC_INLINE int ec_less(const void *x, size_t i, const void *y, size_t j, int type)
{
    if (ec_is_real(type)) {
        double a = ec_real(x, i, type), b = ec_real(y, j, type);
        return a < b || (a == a && b != b);
    }
    uint64_t a = ec_word(x, i, type), b = ec_word(y, j, type);
    return type < EC_TYPE_I8 ? a < b : (int64_t)a < (int64_t)b;
}

/* y[i] becomes y[i] joined with x[j]. */
EC_INLINE void ec_join(void *y, size_t i, const void *x, size_t j, int type, int how)
{
    if (how == EC_REDUCTION_NONE || (how == EC_REDUCTION_MAX && ec_less(y, i, x, j, type)) ||
        (how == EC_REDUCTION_MIN && ec_less(x, j, y, i, type)))
        ec_move(y, i, x, j, type);
    else if (ec_is_real(type) && how == EC_REDUCTION_ADD)
        ec_put_real(y, i, ec_real(y, i, type) + ec_real(x, j, type), type);
    else if (ec_is_real(type) && how == EC_REDUCTION_MUL)
        ec_put_real(y, i, ec_real(y, i, type) * ec_real(x, j, type), type);
    else if (how == EC_REDUCTION_ADD)
        ec_put_word(y, i, ec_word(y, i, type) + ec_word(x, j, type), type);
    else if (how == EC_REDUCTION_MUL)
        ec_put_word(y, i, ec_word(y, i, type) * ec_word(x, j, type), type);
}

/* An index that may count from the end; -1 where it lies outside 0 .. extent - 1. */
EC_INLINE int64_t ec_place(int64_t i, size_t extent)
{
    int64_t at = i < 0 ? i + (int64_t)extent : i;
    return at < 0 || at >= (int64_t)extent ? -1 : at;
}

#endif
