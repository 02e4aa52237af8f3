/* Where kernels put their results: floats, or numbers of half precision (ec_conv_shape.halves), rounded halves to even. */
#ifndef EC_STORE_H
#define EC_STORE_H

#include "ec_narrow.h"
#include "ec_shape.h"
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
    if (lanes == EC_LANES) {
        ec_f32_put_f16(p, v);
        return;
    }
    ec_f32_put_f16(halves, v);
    memcpy(p, halves, 2 * ec_min_size(lanes, EC_LANES));
}

/* y moved on by so many elements. */
EC_INLINE void *ec_y_at(void *y, ptrdiff_t elements, const ec_conv_shape *s)
{
    return s->halves ? (void *)((uint16_t *)y + elements) : (void *)((float *)y + elements);
}

EC_INLINE void ec_y_store(void *y, ec_f32 v, size_t lanes, const ec_conv_shape *s)
{
    if (s->halves)
        ec_f32_put_f16_lanes(y, v, lanes);
    else
        ec_f32_store_lanes(y, v, lanes);
}

#endif
