/* Planes of three channels to pixels. */
#ifndef EC_INTERLEAVE_F32_H
#define EC_INTERLEAVE_F32_H

#include "ec_simd.h"

/* y[3 * i + c] = x[c * plane + i] for i < n. */
EC_INLINE void ec_interleave_f32(const float *x, ptrdiff_t plane, float *y, size_t n)
{
    const float *second = x + plane, *third = second + plane;
    const size_t whole = n / EC_LANES * EC_LANES;
    EC_ROLLED
    for (size_t i = 0; i < whole; i += EC_LANES)
        ec_f32_store_three(y + 3 * i, ec_f32_load(x + i), ec_f32_load(second + i), ec_f32_load(third + i));
    for (size_t i = whole; i < n; i++) {
        y[3 * i] = x[i];
        y[3 * i + 1] = second[i];
        y[3 * i + 2] = third[i];
    }
}

#endif
