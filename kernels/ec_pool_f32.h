/*
 * Pooling of an already padded NHWC image: the maximum or the sum over each window; vectors run along the channels.
 *
 * The shape is that of ec_conv_f32 with groups = channels and out_c = in_c = 1; blocks are not used.
 * A mean is EC_POOL_SUM with an epilogue that multiplies. The maximum of a window with a NaN is NaN.
 */
#ifndef EC_POOL_F32_H
#define EC_POOL_F32_H

#include <math.h>

#include "ec_shape.h"

#define EC_POOL_MAX 0
#define EC_POOL_SUM 1
#define EC_POOL_VECTORS 4 /* vectors of channels side by side, to hide the latency of the sum or the maximum */

EC_INLINE ec_f32 ec_pool_f32_join(ec_f32 sum, ec_f32 value, int kind)
{
    return kind == EC_POOL_MAX ? ec_f32_max_nan(sum, value) : ec_f32_add(sum, value);
}

/* One window of nv vectors of channels; lanes count in the last one. y, n, h, w and c are the output's. */
EC_INLINE void ec_pool_f32_window(const float *x, float *y, const ec_conv_shape *s, int kind, int nv, size_t lanes,
                                  ec_epilogue epilogue, const void *context, size_t n, size_t h, size_t w, size_t c)
{
    ec_f32 acc[EC_POOL_VECTORS];
    EC_UNROLL
    for (int v = 0; v < nv; v++)
        acc[v] = ec_f32_set(kind == EC_POOL_MAX ? -INFINITY : 0.0f);
    EC_ROLLED
    for (size_t row = 0; row < s->kernel_h; row++) {
        const float *x_row = x + (ptrdiff_t)(row * s->dilation_h) * s->x_h;
        EC_ROLLED
        for (size_t tap = 0; tap < s->kernel_w; tap++) {
            const float *at = x_row + (ptrdiff_t)(tap * s->dilation_w) * s->x_w;
            EC_UNROLL
            for (int v = 0; v < nv; v++) {
                ec_f32 value = ec_f32_load_lanes(at + v * EC_LANES, v == nv - 1 ? lanes : EC_LANES);
                acc[v] = ec_pool_f32_join(acc[v], value, kind);
            }
        }
    }
    EC_UNROLL
    for (int v = 0; v < nv; v++) {
        const size_t valid = v == nv - 1 ? lanes : EC_LANES;
        ec_f32 value = epilogue(acc[v], context, n, h, w, c + (size_t)v * EC_LANES, valid);
        ec_f32_store_lanes(y + v * EC_LANES, value, valid);
    }
}

EC_INLINE size_t ec_pool_f32_tasks(const ec_conv_shape *s) { return s->batch * s->out_h; }

/* Computes the output rows begin .. end - 1, counted over all images. */
EC_INLINE void ec_pool_f32(const float *x, float *y, const ec_conv_shape *s, int kind, ec_epilogue epilogue,
                           const void *context, size_t begin, size_t end)
{
    const size_t wide = (size_t)EC_POOL_VECTORS * EC_LANES, full = s->groups / wide * wide, left = s->groups - full;
    EC_ROLLED
    for (size_t task = begin; task < end; task++) {
        const size_t n = task / s->out_h, h = task % s->out_h;
        const float *x_row = x + (ptrdiff_t)n * s->x_n + (ptrdiff_t)(h * s->stride_h) * s->x_h;
        float *y_row = y + (ptrdiff_t)n * s->y_n + (ptrdiff_t)h * s->y_h;
        EC_ROLLED
        for (size_t w = 0; w < s->out_w; w++, x_row += (ptrdiff_t)s->stride_w * s->x_w, y_row += s->y_w) {
            EC_ROLLED
            for (size_t c = 0; c < full; c += wide)
                ec_pool_f32_window(x_row + c, y_row + c, s, kind, EC_POOL_VECTORS, EC_LANES, epilogue, context, n, h, w,
                                   c);
            if (left) {
                const size_t vectors = ec_ceil_div(left, EC_LANES), lanes = left - (vectors - 1) * EC_LANES;
                ec_pool_f32_window(x_row + full, y_row + full, s, kind, (int)vectors, lanes, epilogue, context, n, h, w,
                                   full);
            }
        }
    }
}

#endif
