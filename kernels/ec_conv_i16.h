/*
 * Convolution of 16-bit values by 8-bit weights with exact sums, as ec_conv_i8 in everything else: no im2col, no border
 * (x is padded already, with its zero point), a matrix product where the kernel is 1x1.
 *
 * value = bias[c] + sum x * w as a float, rounded once; what the epilogue makes of it is stored as y_kind says.
 * Sums are of 32 bits. wide: they would not hold every sum, so all EC_CONV_I16_RUN products they move to 48 bits.
 *
 * A run is in_c, or kernel_w * in_c where ec_conv_merges_taps. Weights: int16 [group][panel][kernel_h][kernel_w
 * unless merged][ceil(run / 2)][nv * EC_LANES][2], bias: int32 [group][panel][nv * EC_LANES], both padded with zeros.
 * The shape, mr, nv, wide, y_kind and the epilogue must be compile-time constants: each call is specialised to them.
 */
#ifndef EC_CONV_I16_H
#define EC_CONV_I16_H

#include "ec_conv_blocks.h"
#include "ec_simd_i8.h"

#define EC_CONV_I16_SUMS 64   /* a bound on mr * nv; unused ones cost nothing */
#define EC_CONV_I16_VECTORS 8 /* a bound on nv */
#define EC_CONV_I16_RUN 256   /* so many products of 2^15 * 2^7 stay below 2^31 */

/* What is constant in one tile beside its shape. */
typedef struct {
    int mr, nv;   /* pixels, vectors */
    size_t panel; /* channels of a panel */
    size_t tail;  /* lanes that count in the last vector */
    int wide, y_kind;
} ec_conv_i16_tile_shape;

/* A sum is now + low + high * 2^16; high and low are used in wide tiles alone. */
typedef struct {
    ec_i32 now[EC_CONV_I16_SUMS], low[EC_CONV_I16_SUMS], high[EC_CONV_I16_SUMS];
} ec_conv_i16_sums;

/* Weights of one panel of one group. */
EC_INLINE size_t ec_conv_i16_panel_size(const ec_conv_shape *s, size_t panel)
{
    return s->kernel_h * ec_conv_taps(s) * ec_ceil_div(ec_conv_run_size(s), 2) * panel * 2;
}

/* One or two k for all pixels and vectors: now += x[pixel][k .. k + n - 1] * w[vectors][2]. */
EC_INLINE void ec_conv_i16_step(ec_i32 *now, const int16_t *x, ptrdiff_t pixel, const int16_t *w, size_t n,
                                ec_conv_i16_tile_shape t)
{
    ec_i16_w columns[EC_CONV_I16_VECTORS];
    EC_UNROLL
    for (int v = 0; v < t.nv; v++)
        columns[v] = ec_i16_weights(w + v * EC_LANES * 2);
    EC_UNROLL
    for (int i = 0; i < t.mr; i++) {
        const ec_i16_x two = ec_i16_inputs(ec_i16_two(x + i * pixel, n));
        EC_UNROLL
        for (int v = 0; v < t.nv; v++)
            now[i * t.nv + v] = ec_i16_dot(now[i * t.nv + v], two, columns[v]);
    }
}

/* now += k products that are contiguous in x and in w. */
EC_INLINE void ec_conv_i16_run(ec_i32 *now, const int16_t *x, ptrdiff_t pixel, const int16_t *w, size_t run,
                               ec_conv_i16_tile_shape t)
{
    size_t k = 0;
    EC_ROLLED
    for (; k + 2 <= run; k += 2)
        ec_conv_i16_step(now, x + k, pixel, w + k * t.panel, 2, t);
    if (run % 2)
        ec_conv_i16_step(now, x + k, pixel, w + k * t.panel, 1, t);
}

/* Moves the 32-bit sums to those of 48 bits. */
EC_INLINE void ec_conv_i16_fold(ec_conv_i16_sums *sums, ec_conv_i16_tile_shape t)
{
    EC_UNROLL
    for (int i = 0; i < t.mr * t.nv; i++) {
        sums->high[i] = ec_i32_add(sums->high[i], ec_i32_shr(sums->now[i], 16));
        sums->low[i] = ec_i32_add(sums->low[i], ec_i32_and(sums->now[i], ec_i32_set(0xffff)));
        sums->now[i] = ec_i32_set(0);
    }
}

/* The same run in parts that 32 bits hold. */
EC_INLINE void ec_conv_i16_wide_run(ec_conv_i16_sums *sums, const int16_t *x, ptrdiff_t pixel, const int16_t *w,
                                    size_t run, ec_conv_i16_tile_shape t)
{
    EC_ROLLED
    for (size_t k = 0; k < run; k += EC_CONV_I16_RUN) {
        ec_conv_i16_run(sums->now, x + k, pixel, w + k * t.panel, ec_min_size(run - k, EC_CONV_I16_RUN), t);
        ec_conv_i16_fold(sums, t);
    }
}

/* Sum i as a float: both halves are exact floats, so that their sum alone is rounded. */
EC_INLINE ec_f32 ec_conv_i16_total(const ec_conv_i16_sums *sums, int i, ec_i32 bias, ec_conv_i16_tile_shape t)
{
    if (!t.wide)
        return ec_i32_to_f32(ec_i32_add(sums->now[i], bias));
    const ec_i32 mask = ec_i32_set(0xffff), low = ec_i32_add(sums->low[i], ec_i32_and(bias, mask));
    const ec_i32 carry = ec_i32_add(ec_i32_shr(bias, 16), ec_i32_shr(low, 16));
    const ec_f32 high = ec_i32_to_f32(ec_i32_add(sums->high[i], carry));
    return ec_f32_add(ec_f32_mul(high, ec_f32_set(65536.0f)), ec_i32_to_f32(ec_i32_and(low, mask)));
}

/* x: the first pixel read by the tile, w: its panel, y: the first pixel written. */
EC_INLINE void ec_conv_i16_tile(const int16_t *x, const int16_t *w, const int32_t *bias, uint8_t *y,
                                const ec_conv_shape *s, ec_conv_i16_tile_shape t, ec_epilogue epilogue,
                                const void *context, ec_conv_place at)
{
    ec_conv_i16_sums sums;
    EC_UNROLL
    for (int i = 0; i < t.mr * t.nv; i++)
        sums.now[i] = sums.low[i] = sums.high[i] = ec_i32_set(0);

    const size_t taps = ec_conv_taps(s);
    const size_t run = ec_conv_run_size(s);
    const ptrdiff_t pixel = (ptrdiff_t)s->stride_w * s->x_w, size = (ptrdiff_t)ec_kind_size(t.y_kind);
    EC_ROLLED
    for (size_t row = 0; row < s->kernel_h; row++) {
        const int16_t *x_row = x + (ptrdiff_t)(row * s->dilation_h) * s->x_h;
        EC_ROLLED
        for (size_t tap = 0; tap < taps; tap++) {
            const int16_t *x_tap = x_row + (ptrdiff_t)(tap * s->dilation_w) * s->x_w;
            if (t.wide)
                ec_conv_i16_wide_run(&sums, x_tap, pixel, w, run, t);
            else
                ec_conv_i16_run(sums.now, x_tap, pixel, w, run, t);
            w += ec_ceil_div(run, 2) * t.panel * 2;
        }
    }
    EC_UNROLL
    for (int i = 0; i < t.mr; i++) {
        EC_UNROLL
        for (int v = 0; v < t.nv; v++) {
            const size_t lanes = v == t.nv - 1 ? t.tail : EC_LANES;
            const ec_i32 start = bias ? ec_i32_load(bias + v * EC_LANES) : ec_i32_set(0);
            ec_f32 value = epilogue(ec_conv_i16_total(&sums, i * t.nv + v, start, t), context, at.n, at.h,
                                    at.w + (size_t)i, at.c + (size_t)v * EC_LANES, lanes);
            ec_f32_store_kind(y + (i * s->y_w + v * EC_LANES) * size, value, t.y_kind, lanes);
        }
    }
}

/* A block of output rows of one panel; x and y point to the first row of the block and the group's channels. */
EC_INLINE void ec_conv_i16_rows(const int16_t *x, const int16_t *w, const int32_t *bias, uint8_t *y,
                                const ec_conv_shape *s, ec_conv_i16_tile_shape t, ec_epilogue epilogue,
                                const void *context, ec_conv_place at, size_t rows)
{
    const int rest = (int)(s->out_w % (size_t)t.mr);
    const size_t whole = s->out_w - (size_t)rest;
    const ptrdiff_t pixel = (ptrdiff_t)s->stride_w * s->x_w, size = (ptrdiff_t)ec_kind_size(t.y_kind);
    ec_conv_i16_tile_shape last = t;
    last.mr = rest;
    EC_ROLLED
    for (size_t row = 0; row < rows; row++, at.h++) {
        const int16_t *x_row = x + (ptrdiff_t)(row * s->stride_h) * s->x_h;
        uint8_t *y_row = y + (ptrdiff_t)row * s->y_h * size;
        EC_ROLLED
        for (at.w = 0; at.w < whole; at.w += (size_t)t.mr)
            ec_conv_i16_tile(x_row + (ptrdiff_t)at.w * pixel, w, bias, y_row + (ptrdiff_t)at.w * s->y_w * size, s, t,
                             epilogue, context, at);
        if (rest)
            ec_conv_i16_tile(x_row + (ptrdiff_t)whole * pixel, w, bias, y_row + (ptrdiff_t)whole * s->y_w * size, s,
                             last, epilogue, context, at);
    }
}

/* One block of rows by panels. */
EC_INLINE void ec_conv_i16_task(const int16_t *x, const int16_t *w, const int32_t *bias, uint8_t *y,
                                const ec_conv_shape *s, ec_conv_i16_tile_shape t, ec_epilogue epilogue,
                                const void *context, size_t task)
{
    const ec_conv_block b = ec_conv_block_of(s, (size_t)t.nv * EC_LANES, task);
    const size_t panel_size = ec_conv_i16_panel_size(s, t.panel), size = ec_kind_size(t.y_kind);
    x += ec_conv_block_x(s, b);
    y += ec_conv_block_y(s, b) * (ptrdiff_t)size;
    w += b.group * b.panels * panel_size;
    ec_conv_place at = {b.n, b.row, 0, b.group * s->out_c};
    EC_ROLLED
    for (size_t p = b.first; p < ec_min_size(b.end, b.full); p++) {
        at.c = b.group * s->out_c + p * t.panel;
        ec_conv_i16_rows(x, w + p * panel_size, bias ? bias + (b.group * b.panels + p) * t.panel : NULL,
                         y + p * t.panel * size, s, t, epilogue, context, at, b.rows);
    }
    if (b.left && b.end == b.panels) {
        t.nv = (int)ec_ceil_div(b.left, EC_LANES);
        t.tail = b.left - (size_t)(t.nv - 1) * EC_LANES;
        at.c = b.group * s->out_c + b.full * t.panel;
        ec_conv_i16_rows(x, w + b.full * panel_size, bias ? bias + (b.group * b.panels + b.full) * t.panel : NULL,
                         y + b.full * t.panel * size, s, t, epilogue, context, at, b.rows);
    }
}

/*
 * Computes the tasks begin .. end - 1 of ec_conv_tasks; tasks write disjoint parts of y. bias may be NULL.
 * y_kind: EC_U8, EC_S8, EC_S16 or EC_F32. Strides count elements of x and of y.
 */
EC_INLINE void ec_conv_i16(const int16_t *x, const int16_t *w, const int32_t *bias, void *y, const ec_conv_shape *s,
                           int mr, int nv, int wide, int y_kind, ec_epilogue epilogue, const void *context,
                           size_t begin, size_t end)
{
    const ec_conv_i16_tile_shape tile = {mr, nv, (size_t)nv * EC_LANES, EC_LANES, wide, y_kind};
    EC_ROLLED
    for (size_t task = begin; task < end; task++)
        ec_conv_i16_task(x, w, bias, y, s, tile, epilogue, context, task);
}

#endif
