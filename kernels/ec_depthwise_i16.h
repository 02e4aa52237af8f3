/*
 * Depthwise convolution of 16-bit values by 8-bit weights with exact 32-bit sums; vectors run along the channels.
 *
 * The shape is that of ec_conv_i16 with groups = channels and out_c = in_c = 1; blocks are not used. Taps multiply in
 * pairs, in the order of the kernel's rows. Weights: int16 [block of EC_LANES channels][ceil(taps / 2)][EC_LANES][2],
 * bias: int32 [block][EC_LANES], both padded with zeros; 32 bits must hold every sum.
 * A tile is mr neighbouring pixels of one output row; shape, mr, y_kind and epilogue must be compile-time constants.
 */
#ifndef EC_DEPTHWISE_I16_H
#define EC_DEPTHWISE_I16_H

#include "ec_shape.h"
#include "ec_simd_i8.h"

#define EC_DEPTHWISE_I16_PIXELS 8 /* a bound on mr */

/* Where tap number `tap` finds its x, counted from the first one. */
EC_INLINE ptrdiff_t ec_depthwise_i16_offset(const ec_conv_shape *s, size_t tap)
{
    const ptrdiff_t row = (ptrdiff_t)(tap / s->kernel_w * s->dilation_h),
                    column = (ptrdiff_t)(tap % s->kernel_w * s->dilation_w);
    return row * s->x_h + column * s->x_w;
}

/* mr pixels of one block of channels, of which `lanes` exist; n, h, w and c are the output's. */
EC_INLINE void ec_depthwise_i16_tile(const int16_t *x, const int16_t *weights, ec_i32 bias, uint8_t *y,
                                     const ec_conv_shape *s, int mr, size_t lanes, int y_kind, ec_epilogue epilogue,
                                     const void *context, size_t n, size_t h, size_t w, size_t c)
{
    const size_t taps = s->kernel_h * s->kernel_w;
    const ptrdiff_t pixel = (ptrdiff_t)s->stride_w * s->x_w;
    ec_i32 sums[EC_DEPTHWISE_I16_PIXELS];
    EC_UNROLL
    for (int i = 0; i < mr; i++)
        sums[i] = bias;
    EC_ROLLED
    for (size_t tap = 0; tap < taps; tap += 2) {
        const ptrdiff_t first = ec_depthwise_i16_offset(s, tap);
        const ptrdiff_t second = tap + 1 < taps ? ec_depthwise_i16_offset(s, tap + 1) : first;
        const ec_i16_w filter = ec_i16_weights(weights + tap * EC_LANES);
        EC_UNROLL
        for (int i = 0; i < mr; i++)
            sums[i] = ec_i16_column_dot(sums[i], ec_i16_columns(x + i * pixel + first, x + i * pixel + second, lanes),
                                        filter);
    }
    EC_UNROLL
    for (int i = 0; i < mr; i++) {
        ec_f32 value = epilogue(ec_i32_to_f32(sums[i]), context, n, h, w + (size_t)i, c, lanes);
        ec_f32_store_kind(y + i * s->y_w * (ptrdiff_t)ec_kind_size(y_kind), value, y_kind, lanes);
    }
}

/* One row of one block of channels; x and y point to its first pixel. */
EC_INLINE void ec_depthwise_i16_block(const int16_t *x, const int16_t *weights, const int32_t *bias, uint8_t *y,
                                      const ec_conv_shape *s, int mr, size_t lanes, int y_kind, ec_epilogue epilogue,
                                      const void *context, size_t n, size_t h, size_t c)
{
    const int rest = (int)(s->out_w % (size_t)mr);
    const size_t whole = s->out_w - (size_t)rest;
    const ptrdiff_t pixel = (ptrdiff_t)s->stride_w * s->x_w, y_w = s->y_w * (ptrdiff_t)ec_kind_size(y_kind);
    const ec_i32 start = bias ? ec_i32_load(bias) : ec_i32_set(0);
    EC_ROLLED
    for (size_t w = 0; w < whole; w += (size_t)mr)
        ec_depthwise_i16_tile(x + (ptrdiff_t)w * pixel, weights, start, y + (ptrdiff_t)w * y_w, s, mr, lanes, y_kind,
                              epilogue, context, n, h, w, c);
    if (rest)
        ec_depthwise_i16_tile(x + (ptrdiff_t)whole * pixel, weights, start, y + (ptrdiff_t)whole * y_w, s, rest, lanes,
                              y_kind, epilogue, context, n, h, whole, c);
}

EC_INLINE size_t ec_depthwise_i16_tasks(const ec_conv_shape *s) { return s->batch * s->out_h; }

/* Computes the output rows begin .. end - 1, counted over all images. bias may be NULL. */
EC_INLINE void ec_depthwise_i16(const int16_t *x, const int16_t *weights, const int32_t *bias, void *y,
                                const ec_conv_shape *s, int mr, int y_kind, ec_epilogue epilogue, const void *context,
                                size_t begin, size_t end)
{
    const size_t full = s->groups / EC_LANES * EC_LANES, block = ec_ceil_div(s->kernel_h * s->kernel_w, 2) * 2;
    const size_t size = ec_kind_size(y_kind);
    EC_ROLLED
    for (size_t task = begin; task < end; task++) {
        const size_t n = task / s->out_h, h = task % s->out_h;
        const int16_t *x_at = x + (ptrdiff_t)n * s->x_n + (ptrdiff_t)(h * s->stride_h) * s->x_h;
        uint8_t *y_at = (uint8_t *)y + ((ptrdiff_t)n * s->y_n + (ptrdiff_t)h * s->y_h) * (ptrdiff_t)size;
        EC_ROLLED
        for (size_t c = 0; c < full; c += EC_LANES)
            ec_depthwise_i16_block(x_at + c, weights + c * block, bias ? bias + c : NULL, y_at + c * size, s, mr,
                                   EC_LANES, y_kind, epilogue, context, n, h, c);
        if (s->groups > full)
            ec_depthwise_i16_block(x_at + full, weights + full * block, bias ? bias + full : NULL, y_at + full * size,
                                   s, mr, s->groups - full, y_kind, epilogue, context, n, h, full);
    }
}

#endif
