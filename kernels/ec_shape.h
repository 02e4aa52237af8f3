/* The shape of a windowed kernel (convolution, depthwise, pooling) and the function that a kernel calls on its results. */
#ifndef EC_SHAPE_H
#define EC_SHAPE_H

#include "ec_simd.h"

typedef struct {
    size_t batch, groups, out_h, out_w, out_c, in_c; /* out_c and in_c: channels per group */
    size_t kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w;
    ptrdiff_t x_n, x_h, x_w; /* strides of x in elements; channels contiguous, groups follow each other */
    ptrdiff_t y_n, y_h, y_w; /* the same for y */
    size_t block_h, block_c; /* one task of ec_conv_f32: block_h output rows by block_c panels */
    int open;                /* EC_OPEN_...: the sizes that are no constants, by which no loop can be unrolled */
    int halves;              /* whether y are numbers of half precision: of kernels that take void *y */
    int apart;               /* whether the epilogue is long: a function that is called, for sums that lie in memory */
} ec_conv_shape;

#define EC_OPEN_W 1 /* out_w */
#define EC_OPEN_C 2 /* out_c */
#define EC_OPEN_K 4 /* in_c */

/*
 * Turns the result at (n, h, w, channels c .. c + lanes - 1) into what is stored.
 * c counts from the first channel of the tensor, not of the group; lanes is EC_LANES except in the last vector of a group.
 */
typedef ec_f32 (*ec_epilogue)(ec_f32 value, const void *context, size_t n, size_t h, size_t w, size_t c, size_t lanes);

EC_INLINE ec_f32 ec_epilogue_none(ec_f32 value, const void *context, size_t n, size_t h, size_t w, size_t c,
                                  size_t lanes)
{
    (void)context, (void)n, (void)h, (void)w, (void)c, (void)lanes;
    return value;
}

/* lanes is a constant after inlining, so full vectors cost no test. */
EC_INLINE void ec_f32_store_lanes(float *p, ec_f32 v, size_t lanes)
{
    if (lanes == EC_LANES)
        ec_f32_store(p, v);
    else
        ec_f32_store_tail(p, v, lanes);
}

EC_INLINE ec_f32 ec_f32_load_lanes(const float *p, size_t lanes)
{
    return lanes == EC_LANES ? ec_f32_load(p) : ec_f32_load_tail(p, lanes);
}

#endif
