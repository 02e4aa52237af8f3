/*
 * Convolution of numbers of half precision, as ec_conv_f32 in everything else: no im2col, no border (x is padded already),
 * a matrix product where the kernel is 1x1.
 *
 * Sums of EC_CONV_F16_BLOCK products are rounded to half precision product by product, in the order kernel_h, kernel_w,
 * in_c; these are added up in floats, from the bias on. The epilogue gets floats, and y are what s->halves says.
 *
 * Weights: [group][panel][kernel_h][kernel_w][in_c][nv * EC_HALVES], two bytes each, bias: floats
 * [group][panel][nv * EC_HALVES], both padded with zeros. The shape, mr, nv and the epilogue must be compile-time
 * constants: each call is specialised to them.
 */
#ifndef EC_CONV_F16_H
#define EC_CONV_F16_H

#include "ec_conv_blocks.h"
#include "ec_store.h"
#include "simd/f16.h"

#define EC_CONV_F16_BLOCK 64  /* products of a sum in half precision; as BLOCK in ir/ops/half.py */
#define EC_CONV_F16_PIXELS 16 /* a bound on mr */
#define EC_CONV_F16_SUMS 64   /* a bound on mr * nv; unused ones cost nothing */
#define EC_CONV_F16_NARROW 7  /* a bound on mr where nv is 1: gcc moves the factors of more pixels to and fro */
#define EC_CONV_F16_AHEAD 4   /* products between a load and what it brings, about the latency of a load */

/* What is constant in one tile beside its shape. */
typedef struct {
    int mr, nv;      /* pixels, vectors of EC_HALVES */
    size_t panel;    /* numbers from one k to the next in the weights */
    size_t channels; /* those that are stored */
} ec_conv_f16_tile_shape;

#if defined(EC_HALF_FACTORS)
/* EC_HALVES k for all pixels and vectors. Loads stand between the products, for cores in order. */
EC_INLINE void ec_conv_f16_steps(ec_half8 *acc, const uint16_t *x, ptrdiff_t pixel, const uint16_t *w, size_t panel,
                                 int mr, int nv)
{
    ec_half8 values[EC_CONV_F16_PIXELS];
    ec_half8 columns[4]; /* two are used while the next two arrive */
    EC_UNROLL
    for (int i = 0; i < mr && i < EC_CONV_F16_AHEAD; i++)
        values[i] = ec_half8_load(x + i * pixel);
    EC_UNROLL
    for (int at = -2; at < EC_HALVES * nv; at++) {
        EC_UNROLL
        for (int next = at + 2; next < at + 4; next++) {
            if (at % 2 == 0 && next < EC_HALVES * nv)
                columns[next % 4] = ec_half8_load(w + (size_t)(next / nv) * panel + next % nv * EC_HALVES);
        }
        EC_UNROLL
        for (int i = 0; i < mr && at >= 0; i++) {
            ec_half8 *sum = acc + i * nv + at % nv;
            const int next = i + EC_CONV_F16_AHEAD;
            if (at == 0 && next < mr)
                values[next] = ec_half8_load(x + next * pixel);
            *sum = ec_half8_fma_factor(columns[at % 4], values[i], at / nv, *sum);
        }
    }
}
#endif

/* One k for all pixels and vectors. */
EC_INLINE void ec_conv_f16_single(ec_half8 *acc, const uint16_t *x, ptrdiff_t pixel, const uint16_t *w,
                                  ec_conv_f16_tile_shape t)
{
    ec_half values[EC_CONV_F16_PIXELS];
    EC_UNROLL
    for (int i = 0; i < t.mr; i++)
        values[i] = ec_half_load(x + i * pixel);
    EC_UNROLL
    for (int v = 0; v < t.nv; v++) {
        const ec_half8 column = ec_half8_load(w + v * EC_HALVES);
        EC_UNROLL
        for (int i = 0; i < t.mr; i++)
            acc[i * t.nv + v] = ec_half8_fma_one(column, values[i], acc[i * t.nv + v]);
    }
}

/* acc += n products that are contiguous in x and in w; n % EC_HALVES is 0 where `even`. */
EC_INLINE void ec_conv_f16_part(ec_half8 *acc, const uint16_t *x, ptrdiff_t pixel, const uint16_t *w, size_t n,
                                int even, ec_conv_f16_tile_shape t)
{
    size_t k = 0;
    EC_HIDE(n); /* sums that are known to be 0 would take registers more than once */
#if defined(EC_HALF_FACTORS)
    EC_ROLLED
    for (; k + EC_HALVES <= n; k += EC_HALVES)
        ec_conv_f16_steps(acc, x + k, pixel, w + k * t.panel, t.panel, t.mr, t.nv);
    if (even)
        return;
#endif
    (void)even;
    EC_ROLLED
    for (; k < n; k++)
        ec_conv_f16_single(acc, x + k, pixel, w + k * t.panel, t);
}

/* Moves the sums in half precision to those in floats. */
EC_INLINE void ec_conv_f16_fold(float *sums, ec_half8 *acc, ec_conv_f16_tile_shape t)
{
    EC_UNROLL
    for (int i = 0; i < t.mr * t.nv; i++) {
        ec_half8_add_to(sums + i * EC_HALVES, acc[i]);
        acc[i] = ec_half8_zero();
    }
}

/* Turns the sums of one pixel into results. */
EC_INLINE void ec_conv_f16_store(const float *sums, void *y, const ec_conv_shape *s, ec_conv_f16_tile_shape t,
                                 ec_epilogue epilogue, const void *context, ec_conv_place at)
{
    EC_UNROLL
    for (size_t c = 0; c < t.channels; c += EC_LANES) {
        const size_t lanes = ec_min_size(t.channels - c, EC_LANES);
        const ec_f32 value = ec_f32_load_lanes(sums + c, lanes);
        const ec_f32 result = epilogue(value, context, at.n, at.h, at.w, at.c + c, lanes);
        ec_y_store(ec_y_at(y, (ptrdiff_t)c, s), result, lanes, s);
    }
}

/* x: the first pixel read by the tile, w: its panel, y: the first pixel written. */
EC_INLINE void ec_conv_f16_tile(const uint16_t *x, const uint16_t *w, const float *bias, void *y,
                                const ec_conv_shape *s, ec_conv_f16_tile_shape t, ec_epilogue epilogue,
                                const void *context, ec_conv_place at)
{
    const size_t taps = ec_conv_taps(s), run = ec_conv_run_size(s), width = (size_t)t.nv * EC_HALVES;
    const ptrdiff_t pixel = (ptrdiff_t)s->stride_w * s->x_w;
    size_t room = EC_CONV_F16_BLOCK;
    ec_half8 acc[EC_CONV_F16_SUMS];
    float sums[EC_CONV_F16_SUMS * EC_HALVES];
    EC_UNROLL
    for (int i = 0; i < t.mr * t.nv; i++) {
        acc[i] = ec_half8_zero();
        EC_UNROLL
        for (size_t c = 0; c < EC_HALVES; c++)
            sums[(size_t)i * EC_HALVES + c] = bias ? bias[((size_t)i * EC_HALVES + c) % width] : 0.0f;
    }
    EC_ROLLED
    for (size_t row = 0; row < s->kernel_h; row++) {
        const uint16_t *x_row = x + (ptrdiff_t)(row * s->dilation_h) * s->x_h;
        EC_ROLLED
        for (size_t tap = 0; tap < taps; tap++) {
            const uint16_t *x_tap = x_row + (ptrdiff_t)(tap * s->dilation_w) * s->x_w;
            EC_ROLLED
            for (size_t left = run; left > 0;) {
                if (room == 0) {
                    ec_conv_f16_fold(sums, acc, t);
                    room = EC_CONV_F16_BLOCK;
                }
                const size_t n = ec_min_size(left, room);
                ec_conv_f16_part(acc, x_tap, pixel, w, n, run % EC_HALVES == 0, t);
                x_tap += n, w += n * t.panel, left -= n, room -= n;
            }
        }
    }
    ec_conv_f16_fold(sums, acc, t);
    if (s->apart) {
        EC_IN_MEMORY(sums);
        EC_ROLLED
        for (int i = 0; i < t.mr; i++, at.w++)
            ec_conv_f16_store(sums + (size_t)i * width, ec_y_at(y, i * s->y_w, s), s, t, epilogue, context, at);
        return;
    }
    EC_UNROLL
    for (int i = 0; i < t.mr; i++, at.w++)
        ec_conv_f16_store(sums + (size_t)i * width, ec_y_at(y, i * s->y_w, s), s, t, epilogue, context, at);
}

/* A block of output rows of one panel; x and y point to the first row of the block and the group's channels. */
EC_INLINE void ec_conv_f16_rows(const uint16_t *x, const uint16_t *w, const float *bias, void *y,
                                const ec_conv_shape *s, ec_conv_f16_tile_shape t, ec_epilogue epilogue,
                                const void *context, ec_conv_place at, size_t rows)
{
    const int rest = (int)(s->out_w % (size_t)t.mr);
    const size_t whole = s->out_w - (size_t)rest;
    const ptrdiff_t pixel = (ptrdiff_t)s->stride_w * s->x_w;
    ec_conv_f16_tile_shape last = t;
    last.mr = rest;
    EC_ROLLED
    for (size_t row = 0; row < rows; row++, at.h++) {
        const uint16_t *x_row = x + (ptrdiff_t)(row * s->stride_h) * s->x_h;
        void *y_row = ec_y_at(y, (ptrdiff_t)row * s->y_h, s);
        EC_ROLLED
        for (at.w = 0; at.w < whole; at.w += (size_t)t.mr)
            ec_conv_f16_tile(x_row + (ptrdiff_t)at.w * pixel, w, bias, ec_y_at(y_row, (ptrdiff_t)at.w * s->y_w, s), s,
                             t, epilogue, context, at);
        if (rest)
            ec_conv_f16_tile(x_row + (ptrdiff_t)whole * pixel, w, bias, ec_y_at(y_row, (ptrdiff_t)whole * s->y_w, s), s,
                             last, epilogue, context, at);
    }
}

/* One block of rows by panels. */
EC_INLINE void ec_conv_f16_task(const uint16_t *x, const uint16_t *w, const float *bias, void *y,
                                const ec_conv_shape *s, ec_conv_f16_tile_shape t, ec_epilogue epilogue,
                                const void *context, size_t task)
{
    const ec_conv_block b = ec_conv_block_of(s, t.panel, task);
    const size_t size = s->kernel_h * s->kernel_w * s->in_c * t.panel; /* of a panel of weights, in numbers */
    x += ec_conv_block_x(s, b);
    y = ec_y_at(y, ec_conv_block_y(s, b), s);
    w += b.group * b.panels * size;
    bias = bias ? bias + b.group * b.panels * t.panel : NULL;
    ec_conv_place at = {b.n, b.row, 0, b.group * s->out_c};
    EC_ROLLED
    for (size_t p = b.first; p < ec_min_size(b.end, b.full); p++) {
        at.c = b.group * s->out_c + p * t.panel;
        ec_conv_f16_rows(x, w + p * size, bias ? bias + p * t.panel : NULL, ec_y_at(y, (ptrdiff_t)(p * t.panel), s), s,
                         t, epilogue, context, at, b.rows);
    }
    if (b.left && b.end == b.panels) {
        t.nv = (int)ec_ceil_div(b.left, EC_HALVES);
        t.mr = t.nv == 1 && t.mr > EC_CONV_F16_NARROW ? EC_CONV_F16_NARROW : t.mr;
        t.channels = b.left;
        at.c = b.group * s->out_c + b.full * t.panel;
        ec_conv_f16_rows(x, w + b.full * size, bias ? bias + b.full * t.panel : NULL,
                         ec_y_at(y, (ptrdiff_t)(b.full * t.panel), s), s, t, epilogue, context, at, b.rows);
    }
}

/* Computes the tasks task_begin .. task_end - 1 of ec_conv_tasks; tasks write disjoint parts of y. bias may be NULL. */
EC_INLINE void ec_conv_f16(const uint16_t *x, const uint16_t *w, const float *bias, void *y, const ec_conv_shape *s,
                           int mr, int nv, ec_epilogue epilogue, const void *context, size_t task_begin,
                           size_t task_end)
{
    const size_t panel = (size_t)nv * EC_HALVES;
    const ec_conv_f16_tile_shape t = {mr, nv, panel, panel};
    EC_ROLLED
    for (size_t task = task_begin; task < task_end; task++)
        ec_conv_f16_task(x, w, bias, y, s, t, epilogue, context, task);
}

#endif
