/*
 * Pooling of an already padded NHWC image of 8-bit values; vectors run along the channels.
 *
 * The shape is that of ec_conv_i8 with groups = channels and out_c = in_c = 1; blocks are not used. The maximum keeps
 * scale and zero point, so it has no epilogue. A mean is the exact sum with an epilogue that multiplies.
 */
#ifndef EC_POOL_I8_H
#define EC_POOL_I8_H

#include "ec_shape.h"
#include "ec_simd_i8.h"

#define EC_POOL_I8_VECTORS 4 /* vectors of sums side by side, to hide the latency */

EC_INLINE size_t ec_pool_i8_tasks(const ec_conv_shape *s) { return s->batch * s->out_h; }

/* The maximum over one window of EC_BYTES channels, of which `valid` exist. */
EC_INLINE void ec_pool_i8_max_window(const uint8_t *x, uint8_t *y, const ec_conv_shape *s, int kind, size_t valid)
{
    ec_b8 most = ec_b8_set(kind == EC_U8 ? 0 : 0x80);
    EC_ROLLED
    for (size_t row = 0; row < s->kernel_h; row++) {
        const uint8_t *x_row = x + (ptrdiff_t)(row * s->dilation_h) * s->x_h;
        EC_ROLLED
        for (size_t tap = 0; tap < s->kernel_w; tap++) {
            const uint8_t *at = x_row + (ptrdiff_t)(tap * s->dilation_w) * s->x_w;
            const ec_b8 value = valid == EC_BYTES ? ec_b8_load(at) : ec_b8_load_tail(at, valid);
            most = kind == EC_U8 ? ec_b8_max_u8(most, value) : ec_b8_max_s8(most, value);
        }
    }
    valid == EC_BYTES ? ec_b8_store(y, most) : ec_b8_store_tail(y, most, valid);
}

/* Computes the output rows begin .. end - 1, counted over all images; kind: EC_U8 or EC_S8, of x and of y. */
EC_INLINE void ec_pool_i8_max(const void *x, void *y, const ec_conv_shape *s, int kind, size_t begin, size_t end)
{
    const size_t full = s->groups / EC_BYTES * EC_BYTES;
    EC_ROLLED
    for (size_t task = begin; task < end; task++) {
        const size_t n = task / s->out_h, h = task % s->out_h;
        const uint8_t *x_at = (const uint8_t *)x + (ptrdiff_t)n * s->x_n + (ptrdiff_t)(h * s->stride_h) * s->x_h;
        uint8_t *y_at = (uint8_t *)y + (ptrdiff_t)n * s->y_n + (ptrdiff_t)h * s->y_h;
        EC_ROLLED
        for (size_t w = 0; w < s->out_w; w++, x_at += (ptrdiff_t)s->stride_w * s->x_w, y_at += s->y_w) {
            EC_ROLLED
            for (size_t c = 0; c < full; c += EC_BYTES)
                ec_pool_i8_max_window(x_at + c, y_at + c, s, kind, EC_BYTES);
            if (s->groups > full)
                ec_pool_i8_max_window(x_at + full, y_at + full, s, kind, s->groups - full);
        }
    }
}

/* The sum over one window of nv vectors of channels; lanes count in the last one. n, h, w and c are the output's. */
EC_INLINE void ec_pool_i8_sum_window(const uint8_t *x, uint8_t *y, const ec_conv_shape *s, int nv, size_t lanes,
                                     int x_kind, int y_kind, ec_epilogue epilogue, const void *context, size_t n,
                                     size_t h, size_t w, size_t c)
{
    ec_i32 sums[EC_POOL_I8_VECTORS];
    EC_UNROLL
    for (int v = 0; v < nv; v++)
        sums[v] = ec_i32_set(0);
    EC_ROLLED
    for (size_t row = 0; row < s->kernel_h; row++) {
        const uint8_t *x_row = x + (ptrdiff_t)(row * s->dilation_h) * s->x_h;
        EC_ROLLED
        for (size_t tap = 0; tap < s->kernel_w; tap++) {
            const uint8_t *at = x_row + (ptrdiff_t)(tap * s->dilation_w) * s->x_w;
            EC_UNROLL
            for (int v = 0; v < nv; v++) {
                const size_t valid = v == nv - 1 ? lanes : EC_LANES;
                sums[v] = ec_i32_add(sums[v], ec_i32_load_lanes(at + v * EC_LANES, x_kind, valid));
            }
        }
    }
    EC_UNROLL
    for (int v = 0; v < nv; v++) {
        const size_t valid = v == nv - 1 ? lanes : EC_LANES;
        ec_f32 value = epilogue(ec_i32_to_f32(sums[v]), context, n, h, w, c + (size_t)v * EC_LANES, valid);
        ec_f32_store_kind(y + (size_t)v * EC_LANES * ec_kind_size(y_kind), value, y_kind, valid);
    }
}

/* As ec_pool_i8_max for sums: value = sum x as a float, and what the epilogue makes of it is stored as y_kind says. */
EC_INLINE void ec_pool_i8_sum(const void *x, void *y, const ec_conv_shape *s, int x_kind, int y_kind,
                              ec_epilogue epilogue, const void *context, size_t begin, size_t end)
{
    const size_t wide = (size_t)EC_POOL_I8_VECTORS * EC_LANES, full = s->groups / wide * wide, left = s->groups - full;
    const size_t size = ec_kind_size(y_kind);
    EC_ROLLED
    for (size_t task = begin; task < end; task++) {
        const size_t n = task / s->out_h, h = task % s->out_h;
        const uint8_t *x_at = (const uint8_t *)x + (ptrdiff_t)n * s->x_n + (ptrdiff_t)(h * s->stride_h) * s->x_h;
        uint8_t *y_at = (uint8_t *)y + ((ptrdiff_t)n * s->y_n + (ptrdiff_t)h * s->y_h) * (ptrdiff_t)size;
        EC_ROLLED
        for (size_t w = 0; w < s->out_w;
             w++, x_at += (ptrdiff_t)s->stride_w * s->x_w, y_at += s->y_w * (ptrdiff_t)size) {
            EC_ROLLED
            for (size_t c = 0; c < full; c += wide)
                ec_pool_i8_sum_window(x_at + c, y_at + c * size, s, EC_POOL_I8_VECTORS, EC_LANES, x_kind, y_kind,
                                      epilogue, context, n, h, w, c);
            if (left) {
                const size_t vectors = ec_ceil_div(left, EC_LANES), lanes = left - (vectors - 1) * EC_LANES;
                ec_pool_i8_sum_window(x_at + full, y_at + full * size, s, (int)vectors, lanes, x_kind, y_kind, epilogue,
                                      context, n, h, w, full);
            }
        }
    }
}

#endif
