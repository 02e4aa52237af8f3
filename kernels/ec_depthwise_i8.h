/*
 * Depthwise convolution of 8-bit values with exact 32-bit sums; vectors run along the channels.
 *
 * The shape is that of ec_conv_i8 with groups = channels and out_c = in_c = 1; blocks are not used. Kinds, epilogue and
 * zero points are those of ec_conv_i8; the offsets in the bias are EC_I8_ROWS_OFFSET_U8 and _S8.
 * EC_I8_ROWS filter rows multiply at once. Weights: [block of EC_LANES channels][ceil(kernel_h / EC_I8_ROWS)][kernel_w]
 * [EC_LANES][EC_I8_ROWS], int16 for two rows and int8 for four; bias: int32 [block][EC_LANES]; both padded with zeros.
 * A tile is mr neighbouring pixels of one output row; shape, mr, kinds and epilogue must be compile-time constants.
 */
#ifndef EC_DEPTHWISE_I8_H
#define EC_DEPTHWISE_I8_H

#include "ec_shape.h"
#include "ec_simd_i8.h"

#define EC_DEPTHWISE_I8_PIXELS 8 /* a bound on mr */
#define EC_DEPTHWISE_I8_WIDTH 7  /* filter rows up to this width are unrolled, so that each input is loaded once */
#define EC_DEPTHWISE_I8_FILTERS (EC_REGISTERS >= 32 ? 10 : 6) /* so many vectors of weights are read once per row */
#define EC_DEPTHWISE_I8_FILTER (EC_LANES * 4)                 /* bytes of one */
/* Tiles of one row before the next channels, so that vectors that share a cache line meet while it is near. */
#define EC_DEPTHWISE_I8_SEGMENT (EC_LANES >= 16 ? 1024 : 4)

typedef struct {
    size_t n, h, w, c;
} ec_depthwise_i8_place;

/* What is constant in one tile beside its shape. */
typedef struct {
    int mr;
    size_t lanes;
    int x_kind, y_kind;
} ec_depthwise_i8_tile_shape;

EC_INLINE size_t ec_depthwise_i8_filters(const ec_conv_shape *s)
{
    return ec_ceil_div(s->kernel_h, EC_I8_ROWS) * s->kernel_w;
}

/* Up to EC_I8_ROWS filter rows; each input is loaded once and serves every pixel that it lies under. */
EC_INLINE void ec_depthwise_i8_taps(ec_i32 *acc, const uint8_t *x, const ec_i8_filter *w, const ec_conv_shape *s,
                                    int rows, ec_depthwise_i8_tile_shape t)
{
    const int stride = (int)s->stride_w, dilation = (int)s->dilation_w, width = (int)s->kernel_w;
    const ptrdiff_t row = (ptrdiff_t)s->dilation_h * s->x_h;
    EC_UNROLL
    for (int at = 0; at < (t.mr - 1) * stride + (width - 1) * dilation + 1; at++) {
        const ec_i8_column column = ec_i8_column_load(x + at * s->x_w, row, rows, t.x_kind, t.lanes);
        EC_UNROLL
        for (int i = 0; i < t.mr; i++) {
            const int offset = at - i * stride, tap = offset / dilation;
            if (offset >= 0 && offset % dilation == 0 && tap < width)
                acc[i] = ec_i8_column_dot(acc[i], column, w[tap], rows, t.x_kind);
        }
    }
}

/* The same for wide filter rows, one tap at a time. */
EC_INLINE void ec_depthwise_i8_wide(ec_i32 *acc, const uint8_t *x, const uint8_t *w, const ec_conv_shape *s, int rows,
                                    ec_depthwise_i8_tile_shape t)
{
    const ptrdiff_t row = (ptrdiff_t)s->dilation_h * s->x_h;
    EC_ROLLED
    for (size_t tap = 0; tap < s->kernel_w; tap++) {
        const ec_i8_filter filter = ec_i8_filter_load(w + tap * EC_DEPTHWISE_I8_FILTER);
        EC_UNROLL
        for (int i = 0; i < t.mr; i++) {
            const uint8_t *at = x + (ptrdiff_t)((size_t)i * s->stride_w + tap * s->dilation_w) * s->x_w;
            const ec_i8_column column = ec_i8_column_load(at, row, rows, t.x_kind, t.lanes);
            acc[i] = ec_i8_column_dot(acc[i], column, filter, rows, t.x_kind);
        }
    }
}

/* Filter rows whose weights are in memory. */
EC_INLINE void ec_depthwise_i8_rows(ec_i32 *acc, const uint8_t *x, const uint8_t *w, const ec_conv_shape *s, int rows,
                                    ec_depthwise_i8_tile_shape t)
{
    if (s->kernel_w > EC_DEPTHWISE_I8_WIDTH) {
        ec_depthwise_i8_wide(acc, x, w, s, rows, t);
        return;
    }
    ec_i8_filter filters[EC_DEPTHWISE_I8_WIDTH];
    EC_UNROLL
    for (int tap = 0; tap < (int)s->kernel_w; tap++)
        filters[tap] = ec_i8_filter_load(w + tap * EC_DEPTHWISE_I8_FILTER);
    ec_depthwise_i8_taps(acc, x, filters, s, rows, t);
}

/* acc += the whole filter; small: its weights if they are at most EC_DEPTHWISE_I8_FILTERS vectors. */
EC_INLINE void ec_depthwise_i8_sum(ec_i32 *acc, const uint8_t *x, const uint8_t *w, const ec_i8_filter *small,
                                   const ec_conv_shape *s, ec_depthwise_i8_tile_shape t)
{
    const int height = (int)s->kernel_h, width = (int)s->kernel_w, rest = height % EC_I8_ROWS;
    const ptrdiff_t next = (ptrdiff_t)s->dilation_h * s->x_h * EC_I8_ROWS;
    int i = 0;
    if (ec_depthwise_i8_filters(s) <= EC_DEPTHWISE_I8_FILTERS) {
        EC_UNROLL
        for (; i < height / EC_I8_ROWS; i++)
            ec_depthwise_i8_taps(acc, x + i * next, small + i * width, s, EC_I8_ROWS, t);
        if (rest)
            ec_depthwise_i8_taps(acc, x + i * next, small + i * width, s, rest, t);
        return;
    }
    EC_ROLLED
    for (; i < height / EC_I8_ROWS; i++)
        ec_depthwise_i8_rows(acc, x + i * next, w + i * width * EC_DEPTHWISE_I8_FILTER, s, EC_I8_ROWS, t);
    if (rest)
        ec_depthwise_i8_rows(acc, x + i * next, w + i * width * EC_DEPTHWISE_I8_FILTER, s, rest, t);
}

EC_INLINE void ec_depthwise_i8_tile(const uint8_t *x, const uint8_t *w, const ec_i8_filter *small, ec_i32 bias,
                                    uint8_t *y, const ec_conv_shape *s, ec_depthwise_i8_tile_shape t,
                                    ec_epilogue epilogue, const void *context, ec_depthwise_i8_place at)
{
    ec_i32 acc[EC_DEPTHWISE_I8_PIXELS];
    EC_UNROLL
    for (int i = 0; i < t.mr; i++)
        acc[i] = bias;
    ec_depthwise_i8_sum(acc, x, w, small, s, t);
    EC_UNROLL
    for (int i = 0; i < t.mr; i++) {
        ec_f32 value = epilogue(ec_i32_to_f32(acc[i]), context, at.n, at.h, at.w + (size_t)i, at.c, t.lanes);
        ec_f32_store_kind(y + i * s->y_w * (ptrdiff_t)ec_kind_size(t.y_kind), value, t.y_kind, t.lanes);
    }
}

#if defined(EC_I8_TWINS)
#define EC_DEPTHWISE_I8_GROUPS 2 /* a bound on the groups of rows of a filter that is read once per row */

/* Whether twins leave registers for the weights of so many filter rows and for columns that come about. */
EC_INLINE int ec_depthwise_i8_twins_fit(const ec_conv_shape *s, int mr, int rows)
{
    const int weights = (int)s->kernel_w * EC_I8_TWIN_WEIGHTS(rows);
    return 2 * mr + weights + EC_I8_TWIN_REGISTERS(rows) <= EC_REGISTERS + 4; /* a few may wait in memory */
}

/* Whether they do for the whole filter. */
EC_INLINE int ec_depthwise_i8_is_small(const ec_conv_shape *s, int mr)
{
    const int most = EC_DEPTHWISE_I8_GROUPS * EC_I8_ROWS, fits = ec_depthwise_i8_filters(s) <= EC_DEPTHWISE_I8_FILTERS;
    return fits && (int)s->kernel_h <= most && ec_depthwise_i8_twins_fit(s, mr, (int)s->kernel_h);
}

EC_INLINE int ec_depthwise_i8_takes_twins(const ec_conv_shape *s, int mr)
{
    const int group = (int)ec_min_size(s->kernel_h, EC_I8_ROWS);
    return s->kernel_w <= EC_DEPTHWISE_I8_WIDTH &&
           (ec_depthwise_i8_is_small(s, mr) || ec_depthwise_i8_twins_fit(s, mr, group));
}

/*
 * `rows` filter rows for eight channels, column by column. A column is loaded, prepared and joined while those before it
 * are multiplied, for cores in order.
 */
EC_INLINE void ec_depthwise_i8_twin_taps(ec_i32 *acc, const uint8_t *x, const ec_i8_twin_filter *w,
                                         const ec_conv_shape *s, int rows, ec_depthwise_i8_tile_shape t)
{
    const int stride = (int)s->stride_w, dilation = (int)s->dilation_w, width = (int)s->kernel_w;
    const int columns = (t.mr - 1) * stride + (width - 1) * dilation + 1;
    const int groups = (rows + EC_I8_ROWS - 1) / EC_I8_ROWS;
    const ptrdiff_t row = (ptrdiff_t)s->dilation_h * s->x_h;
    ec_i8_twin_rows loaded[2 * EC_DEPTHWISE_I8_GROUPS];
    ec_i8_twin_pairs prepared[2 * EC_DEPTHWISE_I8_GROUPS];
    ec_i8_twins joined[2 * EC_DEPTHWISE_I8_GROUPS];
    EC_UNROLL
    for (int at = -3; at < columns; at++) {
        EC_UNROLL
        for (int group = 0; group < groups; group++) {
            const int even = at % 2 == 0 ? 0 : groups, odd = groups - even, left = rows - group * EC_I8_ROWS;
            const int height = left < EC_I8_ROWS ? left : EC_I8_ROWS;
            if (at + 3 < columns)
                loaded[odd + group] = ec_i8_twin_load(x + (at + 3) * s->x_w + group * EC_I8_ROWS * row, row, height);
            if (at >= -2 && at + 2 < columns)
                prepared[even + group] = ec_i8_twin_prepare(loaded[even + group], height, t.x_kind);
            if (at >= -1 && at + 1 < columns)
                joined[odd + group] = ec_i8_twin_join(prepared[odd + group]);
            EC_UNROLL
            for (int step = 0; step < EC_I8_TWIN_STEPS(height); step++) {
                EC_UNROLL
                for (int i = 0; i < t.mr; i++) {
                    const int offset = at - i * stride, tap = offset / dilation;
                    if (at >= 0 && offset >= 0 && offset % dilation == 0 && tap < width)
                        ec_i8_twin_dot(acc + 2 * i, joined[even + group], w[group * width + tap], step, t.x_kind);
                }
            }
        }
    }
}

/* acc += the whole filter of eight channels, whose weights lie in two blocks of as many bytes. */
EC_INLINE void ec_depthwise_i8_twin_sum(ec_i32 *acc, const uint8_t *x, const uint8_t *w, const ec_i8_twin_filter *small,
                                        const ec_conv_shape *s, ec_depthwise_i8_tile_shape t)
{
    const int height = (int)s->kernel_h, width = (int)s->kernel_w, rest = height % EC_I8_ROWS;
    const size_t block = ec_depthwise_i8_filters(s) * EC_DEPTHWISE_I8_FILTER;
    const ptrdiff_t next = (ptrdiff_t)s->dilation_h * s->x_h * EC_I8_ROWS;
    if (ec_depthwise_i8_is_small(s, t.mr)) {
        ec_depthwise_i8_twin_taps(acc, x, small, s, height, t);
        return;
    }
    ec_i8_twin_filter filters[EC_DEPTHWISE_I8_WIDTH];
    EC_ROLLED
    for (int i = 0; i < height / EC_I8_ROWS; i++) {
        EC_UNROLL
        for (int tap = 0; tap < width; tap++)
            filters[tap] = ec_i8_twin_weights(w + (i * width + tap) * EC_DEPTHWISE_I8_FILTER, block);
        ec_depthwise_i8_twin_taps(acc, x + i * next, filters, s, EC_I8_ROWS, t);
    }
    if (rest) {
        EC_UNROLL
        for (int tap = 0; tap < width; tap++)
            filters[tap] =
                ec_i8_twin_weights(w + ((height / EC_I8_ROWS) * width + tap) * EC_DEPTHWISE_I8_FILTER, block);
        ec_depthwise_i8_twin_taps(acc, x + height / EC_I8_ROWS * next, filters, s, rest, t);
    }
}

EC_INLINE void ec_depthwise_i8_twin_tile(const uint8_t *x, const uint8_t *w, const ec_i8_twin_filter *small,
                                         const ec_i32 *bias, uint8_t *y, const ec_conv_shape *s,
                                         ec_depthwise_i8_tile_shape t, ec_epilogue epilogue, const void *context,
                                         ec_depthwise_i8_place at)
{
    ec_i32 acc[2 * EC_DEPTHWISE_I8_PIXELS];
    EC_UNROLL
    for (int i = 0; i < 2 * t.mr; i++) {
        ec_i32 sum = bias[i % 2];
        EC_I8_COPY(sum); /* now, and not where it would wait for products */
        acc[i] = sum;
    }
    ec_depthwise_i8_twin_sum(acc, x, w, small, s, t);
    ec_f32 values[2 * EC_DEPTHWISE_I8_PIXELS], results[2 * EC_DEPTHWISE_I8_PIXELS];
    EC_UNROLL
    for (int i = 0; i < 2 * t.mr; i++) {
        ec_f32 value = ec_i32_to_f32(acc[i]);
        EC_I8_HERE(value);
        values[i] = value;
    }
    EC_UNROLL
    for (int i = 0; i < 2 * t.mr; i++) {
        const size_t w_at = at.w + (size_t)(i / 2), c_at = at.c + (size_t)(i % 2) * EC_LANES;
        ec_f32 result = epilogue(values[i], context, at.n, at.h, w_at, c_at, EC_LANES);
        EC_I8_HERE(result);
        results[i] = result;
    }
    ec_f32_store_rows(y, s->y_w * (ptrdiff_t)ec_kind_size(t.y_kind), results, t.mr, 2, t.y_kind, EC_LANES);
}

/* As ec_depthwise_i8_block, for eight channels. */
EC_INLINE void ec_depthwise_i8_twin_block(const uint8_t *x, const uint8_t *w, const int32_t *bias, uint8_t *y,
                                          const ec_conv_shape *s, ec_depthwise_i8_tile_shape t, ec_epilogue epilogue,
                                          const void *context, ec_depthwise_i8_place at)
{
    ec_depthwise_i8_tile_shape last = t;
    last.mr = (int)(s->out_w % (size_t)t.mr);
    const size_t whole = s->out_w - (size_t)last.mr, next = at.w + (size_t)(EC_DEPTHWISE_I8_SEGMENT * t.mr);
    const size_t end = ec_min_size(next, whole), filters = ec_depthwise_i8_filters(s);
    const ptrdiff_t pixel = (ptrdiff_t)s->stride_w * s->x_w, y_w = s->y_w * (ptrdiff_t)ec_kind_size(t.y_kind);
    const ec_i32 start[2] = {bias ? ec_i32_load(bias) : ec_i32_set(0),
                             bias ? ec_i32_load(bias + EC_LANES) : ec_i32_set(0)};
    ec_i8_twin_filter small[EC_DEPTHWISE_I8_FILTERS];
    EC_UNROLL
    for (size_t i = 0; i < EC_DEPTHWISE_I8_FILTERS; i++)
        small[i] =
            ec_i8_twin_weights(w + (i < filters ? i * EC_DEPTHWISE_I8_FILTER : 0), filters * EC_DEPTHWISE_I8_FILTER);

    EC_ROLLED
    for (; at.w < end; at.w += (size_t)t.mr)
        ec_depthwise_i8_twin_tile(x + (ptrdiff_t)at.w * pixel, w, small, start, y + (ptrdiff_t)at.w * y_w, s, t,
                                  epilogue, context, at);
    if (last.mr && next > whole)
        ec_depthwise_i8_twin_tile(x + (ptrdiff_t)whole * pixel, w, small, start, y + (ptrdiff_t)whole * y_w, s, last,
                                  epilogue, context, at);
}
#endif

/* A segment of a row of one block of channels; x and y point to the row. */
EC_INLINE void ec_depthwise_i8_block(const uint8_t *x, const uint8_t *w, const int32_t *bias, uint8_t *y,
                                     const ec_conv_shape *s, ec_depthwise_i8_tile_shape t, ec_epilogue epilogue,
                                     const void *context, ec_depthwise_i8_place at)
{
    ec_depthwise_i8_tile_shape last = t;
    last.mr = (int)(s->out_w % (size_t)t.mr);
    const size_t whole = s->out_w - (size_t)last.mr, next = at.w + (size_t)(EC_DEPTHWISE_I8_SEGMENT * t.mr);
    const size_t end = ec_min_size(next, whole);
    const ptrdiff_t pixel = (ptrdiff_t)s->stride_w * s->x_w, y_w = s->y_w * (ptrdiff_t)ec_kind_size(t.y_kind);
    const ec_i32 start = bias ? ec_i32_load(bias) : ec_i32_set(0);
    ec_i8_filter small[EC_DEPTHWISE_I8_FILTERS];
    EC_UNROLL
    for (size_t i = 0; i < EC_DEPTHWISE_I8_FILTERS; i++)
        small[i] = ec_i8_filter_load(w + (i < ec_depthwise_i8_filters(s) ? i * EC_DEPTHWISE_I8_FILTER : 0));

    EC_ROLLED
    for (; at.w < end; at.w += (size_t)t.mr)
        ec_depthwise_i8_tile(x + (ptrdiff_t)at.w * pixel, w, small, start, y + (ptrdiff_t)at.w * y_w, s, t, epilogue,
                             context, at);
    if (last.mr && next > whole)
        ec_depthwise_i8_tile(x + (ptrdiff_t)whole * pixel, w, small, start, y + (ptrdiff_t)whole * y_w, s, last,
                             epilogue, context, at);
}

/* A segment of a row, all channels. */
EC_INLINE void ec_depthwise_i8_segment(const uint8_t *x, const uint8_t *w, const int32_t *bias, uint8_t *y,
                                       const ec_conv_shape *s, ec_depthwise_i8_tile_shape t, ec_epilogue epilogue,
                                       const void *context, ec_depthwise_i8_place at)
{
    const size_t full = s->groups / EC_LANES * EC_LANES, block = ec_depthwise_i8_filters(s) * EC_DEPTHWISE_I8_FILTER;
    const size_t size = ec_kind_size(t.y_kind);
    t.lanes = EC_LANES;
    at.c = 0;
#if defined(EC_I8_TWINS)
    if (ec_depthwise_i8_takes_twins(s, t.mr)) {
        EC_ROLLED
        for (; at.c + 2 * EC_LANES <= full; at.c += 2 * EC_LANES)
            ec_depthwise_i8_twin_block(x + at.c, w + at.c / EC_LANES * block, bias ? bias + at.c : NULL,
                                       y + at.c * size, s, t, epilogue, context, at);
    }
#endif
    EC_ROLLED
    for (; at.c < full; at.c += EC_LANES)
        ec_depthwise_i8_block(x + at.c, w + at.c / EC_LANES * block, bias ? bias + at.c : NULL, y + at.c * size, s, t,
                              epilogue, context, at);
    t.lanes = s->groups - full;
    if (t.lanes)
        ec_depthwise_i8_block(x + full, w + full / EC_LANES * block, bias ? bias + full : NULL, y + full * size, s, t,
                              epilogue, context, at);
}

EC_INLINE size_t ec_depthwise_i8_tasks(const ec_conv_shape *s) { return s->batch * s->out_h; }

/* Computes the output rows begin .. end - 1, counted over all images. bias may be NULL. */
EC_INLINE void ec_depthwise_i8(const void *x, const void *w, const int32_t *bias, void *y, const ec_conv_shape *s,
                               int mr, int x_kind, int y_kind, ec_epilogue epilogue, const void *context, size_t begin,
                               size_t end)
{
    const ec_depthwise_i8_tile_shape tile = {mr, EC_LANES, x_kind, y_kind};
    const ptrdiff_t size = (ptrdiff_t)ec_kind_size(y_kind);
    EC_ROLLED
    for (size_t task = begin; task < end; task++) {
        ec_depthwise_i8_place at = {task / s->out_h, task % s->out_h, 0, 0};
        const uint8_t *x_row = (const uint8_t *)x + (ptrdiff_t)at.n * s->x_n + (ptrdiff_t)(at.h * s->stride_h) * s->x_h;
        uint8_t *y_row = (uint8_t *)y + ((ptrdiff_t)at.n * s->y_n + (ptrdiff_t)at.h * s->y_h) * size;
        EC_ROLLED
        for (; at.w < s->out_w; at.w += (size_t)(EC_DEPTHWISE_I8_SEGMENT * mr))
            ec_depthwise_i8_segment(x_row, w, bias, y_row, s, tile, epilogue, context, at);
    }
}

#endif
