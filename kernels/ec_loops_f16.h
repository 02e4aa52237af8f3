/* What generated vector loops need for tensors in half precision: stores that round floats, halves to even. */
#ifndef EC_LOOPS_F16_H
#define EC_LOOPS_F16_H

#include "ec_loops.h"
#include "ec_narrow.h"
#include "simd/half.h"

#include <string.h>

EC_INLINE void ec_f32_put_f16(void *p, ec_f32 v)
{
#if defined(EC_F16_STORE)
    ec_f16_store(p, v);
#else
    float floats[EC_LANES];
    ec_f32_store(floats, v);
    for (size_t i = 0; i < EC_LANES; i++)
        ((uint16_t *)p)[i] = ec_f16_bits(floats[i], 0);
#endif
}

EC_INLINE void ec_f32_put_f16_lanes(void *p, ec_f32 v, size_t lanes)
{
    uint16_t halves[EC_LANES];
    ec_f32_put_f16(halves, v);
    memcpy(p, halves, 2 * ec_min_size(lanes, EC_LANES));
}

/* The same with a stride in elements between lanes. */
EC_INLINE void ec_f32_put_f16_strided(void *p, ptrdiff_t stride, ec_f32 v, size_t lanes)
{
    uint16_t halves[EC_LANES];
    ec_f32_put_f16(halves, v);
    for (size_t i = 0; i < lanes; i++)
        ((uint16_t *)p)[(ptrdiff_t)i * stride] = halves[i];
}

#endif
