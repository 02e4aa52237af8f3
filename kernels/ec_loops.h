/* What generated vector loops need beside the SIMD layer. */
#ifndef EC_LOOPS_H
#define EC_LOOPS_H

#include "ec_shape.h"

/* The first n lanes of v, `fill` in the others. */
EC_INLINE ec_f32 ec_f32_keep(ec_f32 v, size_t n, float fill)
{
    static const float numbers[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    return ec_f32_select(ec_f32_lt(ec_f32_load(numbers), ec_f32_set((float)n)), v, ec_f32_set(fill));
}

#endif
