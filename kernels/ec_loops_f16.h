/* What generated vector loops need for tensors in half precision: stores that round floats, halves to even. */
#ifndef EC_LOOPS_F16_H
#define EC_LOOPS_F16_H

#include "ec_loops.h"
#include "ec_store.h"

/* With a stride in elements between lanes. */
EC_INLINE void ec_f32_put_f16_strided(void *p, ptrdiff_t stride, ec_f32 v, size_t lanes)
{
    uint16_t halves[EC_LANES];
    ec_f32_put_f16(halves, v);
    for (size_t i = 0; i < lanes; i++)
        ((uint16_t *)p)[(ptrdiff_t)i * stride] = halves[i];
}

#endif
