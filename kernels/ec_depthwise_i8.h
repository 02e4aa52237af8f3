/*
 * Depthwise convolution of 8-bit values with exact 32-bit sums; vectors run along the channels.
 *
 * The shape is that of ec_conv_i8 with groups = channels and out_c = in_c = 1; blocks are not used. Kinds, epilogue and
 * zero points are those of ec_conv_i8, but no offset is folded into the bias.
 * Two filter rows multiply at once. Weights: int16 [block of EC_LANES channels][ceil(kernel_h / 2)][kernel_w][EC_LANES][2],
 * bias: int32 [block][EC_LANES], padded with zeros.
 * A tile is mr neighbouring pixels of one output row; shape, mr, kinds and epilogue must be compile-time constants.
 */
#ifndef EC_DEPTHWISE_I8_H
#define EC_DEPTHWISE_I8_H

#include "ec_shape.h"
#include "ec_simd_i8.h"

#define EC_DEPTHWISE_I8_PIXELS 8 /* a bound on mr */
#define EC_DEPTHWISE_I8_PAIRS (EC_REGISTERS >= 32 ? 10 : 6) /* so many pairs of weights are read once per row */
#define EC_DEPTHWISE_I8_WIDTH 7                             /* filter rows up to this width share their inputs */

typedef struct {
    size_t n, h, w, c;
} ec_depthwise_i8_place;

/* What is constant in one tile beside its shape. */
typedef struct {
    int mr;
    size_t lanes;
    int x_kind, y_kind;
} ec_depthwise_i8_tile_shape;

/* The inputs of two filter rows, or of one with nothing below it. */
EC_INLINE ec_i16x2 ec_depthwise_i8_inputs(const uint8_t *x, const ec_conv_shape *s, int two,
                                          ec_depthwise_i8_tile_shape t)
{
    const ec_i16 upper = ec_i16_load_lanes(x, t.x_kind, t.lanes);
    if (!two)
        return ec_i16_single(upper);
    return ec_i16_pair(upper, ec_i16_load_lanes(x + (ptrdiff_t)s->dilation_h * s->x_h, t.x_kind, t.lanes));
}

/* Two filter rows; each input is loaded once and serves every pixel that it lies under. */
EC_INLINE void ec_depthwise_i8_taps(ec_i32 *acc, const uint8_t *x, const ec_i16x2 *w, const ec_conv_shape *s, int two,
                                    ec_depthwise_i8_tile_shape t)
{
    const int stride = (int)s->stride_w, dilation = (int)s->dilation_w, width = (int)s->kernel_w;
    EC_UNROLL
    for (int column = 0; column < (t.mr - 1) * stride + (width - 1) * dilation + 1; column++) {
        const ec_i16x2 value = ec_depthwise_i8_inputs(x + column * s->x_w, s, two, t);
        EC_UNROLL
        for (int i = 0; i < t.mr; i++) {
            const int offset = column - i * stride, tap = offset / dilation;
            if (offset >= 0 && offset % dilation == 0 && tap < width)
                acc[i] = ec_i16x2_dot(acc[i], value, w[tap]);
        }
    }
}

/* The same for wide filter rows, one tap at a time. */
EC_INLINE void ec_depthwise_i8_wide(ec_i32 *acc, const uint8_t *x, const int16_t *w, const ec_conv_shape *s, int two,
                                    ec_depthwise_i8_tile_shape t)
{
    EC_ROLLED
    for (size_t tap = 0; tap < s->kernel_w; tap++) {
        const ec_i16x2 weight = ec_i16x2_load(w + tap * EC_LANES * 2);
        EC_UNROLL
        for (int i = 0; i < t.mr; i++) {
            const uint8_t *at = x + (ptrdiff_t)((size_t)i * s->stride_w + tap * s->dilation_w) * s->x_w;
            acc[i] = ec_i16x2_dot(acc[i], ec_depthwise_i8_inputs(at, s, two, t), weight);
        }
    }
}

/* Two filter rows whose weights are in memory. */
EC_INLINE void ec_depthwise_i8_rows(ec_i32 *acc, const uint8_t *x, const int16_t *w, const ec_conv_shape *s, int two,
                                    ec_depthwise_i8_tile_shape t)
{
    if (s->kernel_w > EC_DEPTHWISE_I8_WIDTH) {
        ec_depthwise_i8_wide(acc, x, w, s, two, t);
        return;
    }
    ec_i16x2 weights[EC_DEPTHWISE_I8_WIDTH];
    EC_UNROLL
    for (int tap = 0; tap < (int)s->kernel_w; tap++)
        weights[tap] = ec_i16x2_load(w + tap * EC_LANES * 2);
    ec_depthwise_i8_taps(acc, x, weights, s, two, t);
}

EC_INLINE size_t ec_depthwise_i8_pairs(const ec_conv_shape *s) { return ec_ceil_div(s->kernel_h, 2) * s->kernel_w; }

/* small: the whole filter if it has at most EC_DEPTHWISE_I8_PAIRS pairs of weights, which then stay in registers. */
EC_INLINE void ec_depthwise_i8_tile(const uint8_t *x, const int16_t *w, const ec_i16x2 *small, ec_i32 bias, uint8_t *y,
                                    const ec_conv_shape *s, ec_depthwise_i8_tile_shape t, ec_epilogue epilogue,
                                    const void *context, ec_depthwise_i8_place at)
{
    const ptrdiff_t x_row = (ptrdiff_t)s->dilation_h * s->x_h, size = (ptrdiff_t)ec_kind_size(t.y_kind);
    const int height = (int)s->kernel_h, width = (int)s->kernel_w;
    ec_i32 acc[EC_DEPTHWISE_I8_PIXELS];
    EC_UNROLL
    for (int i = 0; i < t.mr; i++)
        acc[i] = bias;
    if (ec_depthwise_i8_pairs(s) <= EC_DEPTHWISE_I8_PAIRS) {
        EC_UNROLL
        for (int row = 0; row < height; row += 2)
            ec_depthwise_i8_taps(acc, x + row * x_row, small + row / 2 * width, s, row + 1 < height, t);
    } else {
        EC_ROLLED
        for (int row = 0; row + 1 < height; row += 2)
            ec_depthwise_i8_rows(acc, x + row * x_row, w + row * width * EC_LANES, s, 1, t);
        if (height % 2)
            ec_depthwise_i8_rows(acc, x + (height - 1) * x_row, w + (height - 1) * width * EC_LANES, s, 0, t);
    }
    EC_UNROLL
    for (int i = 0; i < t.mr; i++) {
        ec_f32 value = epilogue(ec_i32_to_f32(acc[i]), context, at.n, at.h, at.w + (size_t)i, at.c, t.lanes);
        ec_f32_store_kind(y + i * s->y_w * size, value, t.y_kind, t.lanes);
    }
}

/* A row of one block of channels; x and y point to the row. */
EC_INLINE void ec_depthwise_i8_block(const uint8_t *x, const int16_t *w, const int32_t *bias, uint8_t *y,
                                     const ec_conv_shape *s, ec_depthwise_i8_tile_shape t, ec_epilogue epilogue,
                                     const void *context, ec_depthwise_i8_place at)
{
    ec_depthwise_i8_tile_shape last = t;
    last.mr = (int)(s->out_w % (size_t)t.mr);
    const size_t whole = s->out_w - (size_t)last.mr;
    const ptrdiff_t pixel = (ptrdiff_t)s->stride_w * s->x_w, y_w = s->y_w * (ptrdiff_t)ec_kind_size(t.y_kind);
    const ec_i32 start = bias ? ec_i32_load(bias) : ec_i32_set(0);
    ec_i16x2 small[EC_DEPTHWISE_I8_PAIRS];
    EC_UNROLL
    for (size_t i = 0; i < EC_DEPTHWISE_I8_PAIRS; i++)
        small[i] = ec_i16x2_load(w + (i < ec_depthwise_i8_pairs(s) ? i * EC_LANES * 2 : 0));

    EC_ROLLED
    for (at.w = 0; at.w < whole; at.w += (size_t)t.mr)
        ec_depthwise_i8_tile(x + (ptrdiff_t)at.w * pixel, w, small, start, y + (ptrdiff_t)at.w * y_w, s, t, epilogue,
                             context, at);
    if (last.mr)
        ec_depthwise_i8_tile(x + (ptrdiff_t)whole * pixel, w, small, start, y + (ptrdiff_t)whole * y_w, s, last,
                             epilogue, context, at);
}

EC_INLINE size_t ec_depthwise_i8_tasks(const ec_conv_shape *s) { return s->batch * s->out_h; }

/* Computes the output rows begin .. end - 1, counted over all images. bias may be NULL. */
EC_INLINE void ec_depthwise_i8(const void *x, const int16_t *w, const int32_t *bias, void *y, const ec_conv_shape *s,
                               int mr, int x_kind, int y_kind, ec_epilogue epilogue, const void *context, size_t begin,
                               size_t end)
{
    const size_t filter = ec_depthwise_i8_pairs(s) * 2, full = s->groups / EC_LANES * EC_LANES;
    const ptrdiff_t size = (ptrdiff_t)ec_kind_size(y_kind);
    const ec_depthwise_i8_tile_shape tile = {mr, EC_LANES, x_kind, y_kind}, last = {mr, s->groups - full, x_kind, y_kind};
    EC_ROLLED
    for (size_t task = begin; task < end; task++) {
        ec_depthwise_i8_place at = {task / s->out_h, task % s->out_h, 0, 0};
        const uint8_t *x_row = (const uint8_t *)x + (ptrdiff_t)at.n * s->x_n + (ptrdiff_t)(at.h * s->stride_h) * s->x_h;
        uint8_t *y_row = (uint8_t *)y + ((ptrdiff_t)at.n * s->y_n + (ptrdiff_t)at.h * s->y_h) * size;
        EC_ROLLED
        for (at.c = 0; at.c < full; at.c += EC_LANES)
            ec_depthwise_i8_block(x_row + at.c, w + at.c * filter, bias ? bias + at.c : NULL,
                                  y_row + (ptrdiff_t)at.c * size, s, tile, epilogue, context, at);
        if (last.lanes)
            ec_depthwise_i8_block(x_row + full, w + full * filter, bias ? bias + full : NULL,
                                  y_row + (ptrdiff_t)full * size, s, last, epilogue, context, at);
    }
}

#endif
