/* What generated vector loops need for tensors in half precision: loads, and stores that round floats, halves to even. */
#ifndef EC_LOOPS_F16_H
#define EC_LOOPS_F16_H

#include "ec_loops.h"
#include "ec_store.h"

EC_INLINE ec_f32 ec_f32_load_f16(const void *p)
{
#if defined(EC_F16_LOAD)
    return ec_f16_load(p);
#else
    float floats[EC_LANES];
    for (size_t i = 0; i < EC_LANES; i++)
        floats[i] = ec_f16_value(((const uint16_t *)p)[i]);
    return ec_f32_load(floats);
#endif
}

EC_INLINE ec_f32 ec_f32_load_f16_lanes(const void *p, size_t lanes)
{
    uint16_t halves[EC_LANES] = {0};
    if (lanes == EC_LANES)
        return ec_f32_load_f16(p);
    memcpy(halves, p, 2 * ec_min_size(lanes, EC_LANES));
    return ec_f32_load_f16(halves);
}

/* The nearest numbers of half precision. */
EC_INLINE ec_f32 ec_f32_round_f16(ec_f32 v)
{
    uint16_t halves[EC_LANES];
    ec_f32_put_f16(halves, v);
    return ec_f32_load_f16(halves);
}

/* With a stride in elements between lanes. */
EC_INLINE ec_f32 ec_f32_load_f16_strided(const void *p, ptrdiff_t stride, size_t lanes)
{
    uint16_t halves[EC_LANES] = {0};
    for (size_t i = 0; i < lanes; i++)
        halves[i] = ((const uint16_t *)p)[(ptrdiff_t)i * stride];
    return ec_f32_load_f16(halves);
}

EC_INLINE void ec_f32_put_f16_strided(void *p, ptrdiff_t stride, ec_f32 v, size_t lanes)
{
    uint16_t halves[EC_LANES];
    ec_f32_put_f16(halves, v);
    for (size_t i = 0; i < lanes; i++)
        ((uint16_t *)p)[(ptrdiff_t)i * stride] = halves[i];
}

#endif
