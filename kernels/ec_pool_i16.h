/*
 * Pooling of an already padded NHWC image of 16-bit values; vectors run along the channels.
 *
 * The shape is that of ec_conv_i16 with groups = channels and out_c = in_c = 1; blocks are not used. Values are floats on
 * the way, which hold a maximum and a sum of up to 512 values exactly.
 */
#ifndef EC_POOL_I16_H
#define EC_POOL_I16_H

#include "ec_loops_i8.h"
#include "ec_shape.h"

EC_INLINE size_t ec_pool_i16_tasks(const ec_conv_shape *s) { return s->batch * s->out_h; }

/* One window of `lanes` channels: its sum, or its largest value. */
EC_INLINE ec_f32 ec_pool_i16_window(const int16_t *x, const ec_conv_shape *s, int sums, size_t lanes)
{
    ec_f32 found = ec_f32_set(sums ? 0.0f : -32768.0f);
    EC_ROLLED
    for (size_t row = 0; row < s->kernel_h; row++) {
        const int16_t *x_row = x + (ptrdiff_t)(row * s->dilation_h) * s->x_h;
        EC_ROLLED
        for (size_t tap = 0; tap < s->kernel_w; tap++) {
            const ec_f32 value = ec_f32_load_s16_lanes(x_row + (ptrdiff_t)(tap * s->dilation_w) * s->x_w, lanes);
            found = sums ? ec_f32_add(found, value) : ec_f32_max(found, value);
        }
    }
    return found;
}

/*
 * Computes the output rows begin .. end - 1, counted over all images. sums: the sum of each window, else its maximum;
 * what the epilogue makes of it is stored as y_kind says.
 */
EC_INLINE void ec_pool_i16(const int16_t *x, void *y, const ec_conv_shape *s, int sums, int y_kind,
                           ec_epilogue epilogue, const void *context, size_t begin, size_t end)
{
    const ptrdiff_t size = (ptrdiff_t)ec_kind_size(y_kind);
    EC_ROLLED
    for (size_t task = begin; task < end; task++) {
        const size_t n = task / s->out_h, h = task % s->out_h;
        const int16_t *x_at = x + (ptrdiff_t)n * s->x_n + (ptrdiff_t)(h * s->stride_h) * s->x_h;
        uint8_t *y_at = (uint8_t *)y + ((ptrdiff_t)n * s->y_n + (ptrdiff_t)h * s->y_h) * size;
        EC_ROLLED
        for (size_t w = 0; w < s->out_w; w++, x_at += (ptrdiff_t)s->stride_w * s->x_w, y_at += s->y_w * size) {
            EC_ROLLED
            for (size_t c = 0; c < s->groups; c += EC_LANES) {
                const size_t lanes = ec_min_size(EC_LANES, s->groups - c);
                const ec_f32 value = ec_pool_i16_window(x_at + c, s, sums, lanes);
                ec_f32_store_kind(y_at + c * (size_t)size, epilogue(value, context, n, h, w, c, lanes), y_kind, lanes);
            }
        }
    }
}

#endif
