/* Scalar meanings for loops that are not vectorised: element types other than float, indices computed at run time. */
#ifndef EC_SCALAR_H
#define EC_SCALAR_H

#include "ec_common.h"

#include <math.h>

EC_INLINE float ec_sigmoid_float(float x)
{
    float e = expf(-fabsf(x));
    return x >= 0.0f ? 1.0f / (1.0f + e) : e / (1.0f + e);
}

EC_INLINE double ec_sigmoid_double(double x)
{
    double e = exp(-fabs(x));
    return x >= 0.0 ? 1.0 / (1.0 + e) : e / (1.0 + e);
}

/* Division and remainder that truncate and cannot trap: by zero they give 0, by -1 they wrap around. */
EC_INLINE int64_t ec_divide_i64(int64_t a, int64_t b)
{
    return b == 0 ? 0 : b == -1 ? (int64_t)(0 - (uint64_t)a) : a / b;
}

EC_INLINE int64_t ec_remainder_i64(int64_t a, int64_t b) { return b == 0 || b == -1 ? 0 : a % b; }

EC_INLINE uint64_t ec_divide_u64(uint64_t a, uint64_t b) { return b == 0 ? 0 : a / b; }

EC_INLINE uint64_t ec_remainder_u64(uint64_t a, uint64_t b) { return b == 0 ? 0 : a % b; }

/* An index that may count from the end, kept inside 0 .. extent - 1 whatever the data say. */
EC_INLINE size_t ec_index(int64_t i, int64_t extent)
{
    i = i < 0 ? i + extent : i;
    return (size_t)(i < 0 ? 0 : i >= extent ? extent - 1 : i);
}

#endif
