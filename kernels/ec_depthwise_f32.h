/*
 * Depthwise convolution (one filter per channel) of an already padded NHWC image: vectors run along the channels.
 *
 * The shape is that of ec_conv_f32 with groups = channels and out_c = in_c = 1; blocks are not used.
 * Weights: [block of EC_LANES channels][kernel_h][kernel_w][EC_LANES], bias: [block][EC_LANES], padded with zeros.
 * Weights in fewer bits: ec_weights.h, a block being a panel; not EC_W_S4.
 * A tile is mr neighbouring pixels of one output row; shape, mr and epilogue must be compile-time constants.
 */
#ifndef EC_DEPTHWISE_F32_H
#define EC_DEPTHWISE_F32_H

#include "ec_store.h"
#include "ec_weights.h"

#define EC_DEPTHWISE_PIXELS 8 /* a bound on mr */
#define EC_DEPTHWISE_TAPS 9   /* filters up to this size are read once per row of the image */
/* Tiles of one row before the next channels, so that vectors that share a cache line meet while it is near. */
#define EC_DEPTHWISE_SEGMENT (EC_LANES >= 16 ? 1024 : 4)
#define EC_DEPTHWISE_ROWS 4  /* output rows before the next channels, so that the rows they share stay in L1 */
#define EC_DEPTHWISE_WIDTH 7 /* filter rows up to this width are unrolled, so that each input is loaded once */

typedef struct {
    size_t n, h, w, c;
} ec_depthwise_place;

/* The input vectors under one filter row of a tile. */
EC_INLINE int ec_depthwise_columns(const ec_conv_shape *s, int mr)
{
    return (mr - 1) * (int)s->stride_w + ((int)s->kernel_w - 1) * (int)s->dilation_w + 1;
}

/* Whether all of these stay in registers beside the sums and the weights, on cores that gain by it. */
EC_INLINE int ec_depthwise_takes_row(const ec_conv_shape *s, int mr)
{
#if defined(EC_IN_ORDER)
    const int taps = (int)(s->kernel_h * s->kernel_w), weights = taps <= EC_DEPTHWISE_TAPS ? taps : (int)s->kernel_w;
    return ec_depthwise_columns(s, mr) + weights + mr + 6 <= EC_REGISTERS;
#else
    (void)s, (void)mr;
    return 0;
#endif
}

/* One filter row; all input vectors are loaded first, and no product waits for the one before. */
EC_INLINE void ec_depthwise_f32_row_of_taps(ec_f32 *acc, const float *x, const ec_f32 *w, const ec_conv_shape *s,
                                            int mr, size_t lanes)
{
    const int stride = (int)s->stride_w, dilation = (int)s->dilation_w;
    ec_f32 values[EC_REGISTERS];
    EC_UNROLL
    for (int column = 0; column < ec_depthwise_columns(s, mr); column++) {
        values[column] = ec_f32_load_lanes(x + column * s->x_w, lanes);
        EC_F32_KEEP(values[column]);
    }
    EC_UNROLL
    for (int tap = 0; tap < (int)s->kernel_w; tap++) {
        EC_UNROLL
        for (int i = 0; i < mr; i++)
            EC_F32_ADD_PRODUCT(acc[i], values[i * stride + tap * dilation], w[tap]);
    }
}

/* One filter row; each input vector is loaded once and serves every pixel that it lies under. */
EC_INLINE void ec_depthwise_f32_taps(ec_f32 *acc, const float *x, const ec_f32 *w, const ec_conv_shape *s, int mr,
                                     size_t lanes)
{
    const int stride = (int)s->stride_w, dilation = (int)s->dilation_w, width = (int)s->kernel_w;
    if (ec_depthwise_takes_row(s, mr)) {
        ec_depthwise_f32_row_of_taps(acc, x, w, s, mr, lanes);
        return;
    }
    EC_UNROLL
    for (int column = 0; column < ec_depthwise_columns(s, mr); column++) {
        ec_f32 value = ec_f32_load_lanes(x + column * s->x_w, lanes);
        EC_F32_KEEP(value);
        EC_UNROLL
        for (int i = 0; i < mr; i++) {
            const int offset = column - i * stride, tap = offset / dilation;
            if (offset >= 0 && offset % dilation == 0 && tap < width)
                acc[i] = ec_f32_fma(value, w[tap], acc[i]);
        }
    }
}

/* The same for wide filter rows, one tap at a time; `first` is the number of the row's first tap. */
EC_INLINE void ec_depthwise_f32_wide(ec_f32 *acc, const float *x, ec_weights w, size_t first, const ec_conv_shape *s,
                                     int mr, size_t lanes)
{
    EC_ROLLED
    for (size_t tap = 0; tap < s->kernel_w; tap++) {
        ec_f32 weight = ec_weights_tap(w, first + tap);
        EC_UNROLL
        for (int i = 0; i < mr; i++) {
            const float *at = x + (ptrdiff_t)((size_t)i * s->stride_w + tap * s->dilation_w) * s->x_w;
            acc[i] = ec_f32_fma(ec_f32_load_lanes(at, lanes), weight, acc[i]);
        }
    }
}

/* One filter row whose weights are in memory. */
EC_INLINE void ec_depthwise_f32_row(ec_f32 *acc, const float *x, ec_weights w, size_t first, const ec_conv_shape *s,
                                    int mr, size_t lanes)
{
    if (s->kernel_w > EC_DEPTHWISE_WIDTH) {
        ec_depthwise_f32_wide(acc, x, w, first, s, mr, lanes);
        return;
    }
    ec_f32 weights[EC_DEPTHWISE_WIDTH];
    EC_UNROLL
    for (int tap = 0; tap < (int)s->kernel_w; tap++)
        weights[tap] = ec_weights_tap(w, first + (size_t)tap);
    ec_depthwise_f32_taps(acc, x, weights, s, mr, lanes);
}

/* small: the whole filter if it has at most EC_DEPTHWISE_TAPS weights, which then stay in registers. */
EC_INLINE void ec_depthwise_f32_tile(const float *x, ec_weights w, const ec_f32 *small, ec_f32 bias, void *y,
                                     const ec_conv_shape *s, int mr, size_t lanes, ec_epilogue epilogue,
                                     const void *context, ec_depthwise_place at)
{
    const ptrdiff_t x_row = (ptrdiff_t)s->dilation_h * s->x_h;
    ec_f32 acc[EC_DEPTHWISE_PIXELS];
    EC_UNROLL
    for (int i = 0; i < mr; i++)
        acc[i] = bias;
    if (s->kernel_h * s->kernel_w <= EC_DEPTHWISE_TAPS) {
        EC_UNROLL
        for (int row = 0; row < (int)s->kernel_h; row++)
            ec_depthwise_f32_taps(acc, x + row * x_row, small + row * (int)s->kernel_w, s, mr, lanes);
    } else {
        EC_ROLLED
        for (int row = 0; row < (int)s->kernel_h; row++)
            ec_depthwise_f32_row(acc, x + row * x_row, w, (size_t)row * s->kernel_w, s, mr, lanes);
    }
    EC_UNROLL
    for (int i = 0; i < mr; i++) {
        ec_f32 value = epilogue(acc[i], context, at.n, at.h, at.w + (size_t)i, at.c, lanes);
        ec_y_store(ec_y_at(y, i * s->y_w, s), value, lanes, s);
    }
}

/* A segment of some rows of one block of channels; x and y point to the first row. */
EC_INLINE void ec_depthwise_f32_block(const float *x, ec_weights w, const float *bias, void *y, const ec_conv_shape *s,
                                      int mr, size_t lanes, ec_epilogue epilogue, const void *context,
                                      ec_depthwise_place at, size_t rows)
{
    const int rest = (int)(s->out_w % (size_t)mr);
    const size_t whole = s->out_w - (size_t)rest, first = at.w, next = first + (size_t)(EC_DEPTHWISE_SEGMENT * mr);
    const size_t end = ec_min_size(next, whole);
    const ptrdiff_t pixel = (ptrdiff_t)s->stride_w * s->x_w;
    const ec_f32 start = bias ? ec_f32_load(bias) : ec_f32_set(0.0f);
    ec_f32 small[EC_DEPTHWISE_TAPS];
    EC_UNROLL
    for (size_t i = 0; i < EC_DEPTHWISE_TAPS; i++)
        small[i] = i < s->kernel_h * s->kernel_w ? ec_weights_tap(w, i) : start;

    EC_ROLLED
    for (size_t row = 0; row < rows; row++, at.h++) {
        const float *x_row = x + (ptrdiff_t)(row * s->stride_h) * s->x_h;
        void *y_row = ec_y_at(y, (ptrdiff_t)row * s->y_h, s);
        EC_ROLLED
        for (at.w = first; at.w < end; at.w += (size_t)mr)
            ec_depthwise_f32_tile(x_row + (ptrdiff_t)at.w * pixel, w, small, start,
                                  ec_y_at(y_row, (ptrdiff_t)at.w * s->y_w, s), s, mr, lanes, epilogue, context, at);
        if ((s->open & EC_OPEN_W) && next > whole) {
            EC_ROLLED
            for (; at.w < s->out_w; at.w++)
                ec_depthwise_f32_tile(x_row + (ptrdiff_t)at.w * pixel, w, small, start,
                                      ec_y_at(y_row, (ptrdiff_t)at.w * s->y_w, s), s, 1, lanes, epilogue, context, at);
        } else if (rest && next > whole)
            ec_depthwise_f32_tile(x_row + (ptrdiff_t)whole * pixel, w, small, start,
                                  ec_y_at(y_row, (ptrdiff_t)whole * s->y_w, s), s, rest, lanes, epilogue, context, at);
    }
}

/* A segment of some rows, all channels. */
EC_INLINE void ec_depthwise_f32_segment(const float *x, ec_weights w, const float *bias, void *y,
                                        const ec_conv_shape *s, int mr, ec_epilogue epilogue, const void *context,
                                        ec_depthwise_place at, size_t rows)
{
    const size_t full = s->groups / EC_LANES * EC_LANES, left = s->groups - full;
    EC_ROLLED
    for (at.c = 0; at.c < full; at.c += EC_LANES)
        ec_depthwise_f32_block(x + at.c, ec_weights_panel(w, at.c / EC_LANES, EC_LANES), bias ? bias + at.c : NULL,
                               ec_y_at(y, (ptrdiff_t)at.c, s), s, mr, EC_LANES, epilogue, context, at, rows);
    if (left)
        ec_depthwise_f32_block(x + full, ec_weights_panel(w, full / EC_LANES, EC_LANES), bias ? bias + full : NULL,
                               ec_y_at(y, (ptrdiff_t)full, s), s, mr, left, epilogue, context, at, rows);
}

EC_INLINE size_t ec_depthwise_f32_tasks(const ec_conv_shape *s) { return s->batch * s->out_h; }

/* As ec_depthwise_f32, for weights in fewer bits. */
EC_INLINE void ec_depthwise_f32_widened(const float *x, ec_weights w, const float *bias, void *y,
                                        const ec_conv_shape *s, int mr, ec_epilogue epilogue, const void *context,
                                        size_t begin, size_t end)
{
    EC_ROLLED
    for (size_t task = begin, rows; task < end; task += rows) {
        ec_depthwise_place at = {task / s->out_h, task % s->out_h, 0, 0};
        const float *x_row = x + (ptrdiff_t)at.n * s->x_n + (ptrdiff_t)(at.h * s->stride_h) * s->x_h;
        void *y_row = ec_y_at(y, (ptrdiff_t)at.n * s->y_n + (ptrdiff_t)at.h * s->y_h, s);
        rows = ec_min_size(ec_min_size(EC_DEPTHWISE_ROWS, end - task), s->out_h - at.h);
        EC_ROLLED
        for (; at.w < s->out_w; at.w += (size_t)(EC_DEPTHWISE_SEGMENT * mr))
            ec_depthwise_f32_segment(x_row, w, bias, y_row, s, mr, epilogue, context, at, rows);
    }
}

/* Computes the output rows begin .. end - 1, counted over all images. bias may be NULL. */
EC_INLINE void ec_depthwise_f32(const float *x, const float *w, const float *bias, void *y, const ec_conv_shape *s,
                                int mr, ec_epilogue epilogue, const void *context, size_t begin, size_t end)
{
    ec_weights weights = ec_weights_f32(w);
    weights.panel = ec_weights_bytes(EC_W_F32, s->kernel_h * s->kernel_w, EC_LANES);
    ec_depthwise_f32_widened(x, weights, bias, y, s, mr, epilogue, context, begin, end);
}

#endif
