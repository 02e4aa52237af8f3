/* What generated vector loops need beside the SIMD layer. */
#ifndef EC_LOOPS_H
#define EC_LOOPS_H

#include "ec_shape.h"

/* The first n lanes of v, `fill` in the others. */
EC_INLINE ec_f32 ec_f32_keep(ec_f32 v, size_t n, float fill)
{
    float lanes[EC_LANES];
    ec_f32_store(lanes, v);
    for (size_t i = n; i < EC_LANES; i++)
        lanes[i] = fill;
    return ec_f32_load(lanes);
}

#endif
