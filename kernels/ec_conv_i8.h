/*
 * Convolution of 8-bit values with exact 32-bit sums, as ec_conv_f32 in everything else: no im2col, no border (x is padded
 * already, with its zero point), a matrix product where the kernel is 1x1.
 *
 * value = bias[c] + sum x * w as a float; what the epilogue makes of it is stored as y_kind says (see i8_derived.h):
 * EC_U8, EC_S8, EC_F32 or EC_REQUANTIZED. The zero point of x and EC_I8_OFFSET_U8 or _S8 (see ec_simd_i8.h) are folded into the bias.
 *
 * A run is in_c, or kernel_w * in_c where ec_conv_merges_taps. Weights: [group][panel][kernel_h][kernel_w unless
 * merged][ceil(run / 4)][nv * EC_LANES][4], bias: [group][panel][nv * EC_LANES], both padded with zeros.
 * The shape, mr, nv, the kinds and the epilogue must be compile-time constants: each call is specialised to them.
 */
#ifndef EC_CONV_I8_H
#define EC_CONV_I8_H

#include "ec_conv_blocks.h"
#include "ec_simd_i8.h"

#define EC_CONV_I8_ACCUMULATORS 64 /* a bound on split * mr * nv * EC_I8_SUMS; unused ones cost nothing */
#define EC_CONV_I8_VECTORS 8       /* a bound on nv */
#define EC_CONV_I8_PIXELS 16       /* a bound on mr */

/* What is constant in one tile beside its shape. */
typedef struct {
    int mr, nv;   /* pixels, vectors */
    int split;    /* sums kept apart along k, where mr * nv alone would wait for the latency of the product */
    size_t panel; /* channels of a panel */
    size_t tail;  /* lanes that count in the last vector */
    int x_kind, y_kind;
} ec_conv_i8_tile_shape;

/* Weights of one panel of one group. */
EC_INLINE size_t ec_conv_i8_panel_size(const ec_conv_shape *s, size_t panel)
{
    return s->kernel_h * ec_conv_taps(s) * ec_ceil_div(ec_conv_run_size(s), 4) * panel * 4;
}

/* A power of two that gives at least eight independent sums; one where k is too short or the registers too few for it. */
EC_INLINE int ec_conv_i8_split(const ec_conv_shape *s, int mr, int nv)
{
    const int sums = mr * nv * EC_I8_SUMS;
    const int split = sums >= 8 ? 1 : sums >= 4 ? 2 : sums >= 2 ? 4 : 8;
    return ec_conv_run_size(s) >= (size_t)(16 * split) && split * sums + nv + 2 <= EC_REGISTERS ? split : 1;
}

/* Up to four k for all pixels and vectors: acc += x[pixel][k .. k + n - 1] * w[vectors][4]. */
EC_INLINE void ec_conv_i8_step(ec_i32 *acc, const uint8_t *x, ptrdiff_t pixel, const int8_t *w, size_t n,
                               ec_conv_i8_tile_shape t)
{
    EC_UNROLL
    for (int part = 0; part < EC_I8_PARTS; part++) {
        ec_i8_w columns[EC_CONV_I8_VECTORS];
        EC_UNROLL
        for (int v = 0; v < t.nv; v++)
            columns[v] = ec_i8_weights(w + v * EC_LANES * 4, part);
        EC_UNROLL
        for (int i = 0; i < t.mr; i++) {
            const ec_i8_x four = ec_i8_inputs(ec_i8_four(x + i * pixel, n), t.x_kind, part);
            EC_UNROLL
            for (int v = 0; v < t.nv; v++) {
                ec_i32 *sum = acc + (i * t.nv + v) * EC_I8_SUMS + part % EC_I8_SUMS;
                *sum = EC_I8_DOT_OF(*sum, four, columns[v], t.x_kind);
            }
        }
    }
}

#if defined(EC_I8_DOT_LANE)
#define EC_CONV_LANE(lane)                                                                                             \
    EC_UNROLL                                                                                                          \
    for (int v = 0; v < t.nv; v++) {                                                                                   \
        ec_i8_w column = ec_i8_weights(w + ((size_t)lane * t.panel + (size_t)v * EC_LANES) * 4, 0);                    \
        EC_UNROLL                                                                                                      \
        for (int i = 0; i < t.mr; i++)                                                                                 \
            acc[i * t.nv + v] = EC_I8_DOT_LANE(acc[i * t.nv + v], values[i], column, lane, t.x_kind);                  \
    }

/* Sixteen k at once: one vector load replaces four broadcasts. */
EC_INLINE void ec_conv_i8_step16(ec_i32 *acc, const uint8_t *x, ptrdiff_t pixel, const int8_t *w,
                                 ec_conv_i8_tile_shape t)
{
    ec_i8_x16 values[EC_CONV_I8_PIXELS];
    EC_UNROLL
    for (int i = 0; i < t.mr; i++)
        values[i] = ec_i8_inputs16(x + i * pixel, t.x_kind);
    EC_CONV_LANE(0)
    EC_CONV_LANE(1)
    EC_CONV_LANE(2)
    EC_CONV_LANE(3)
}
#undef EC_CONV_LANE
#endif

/* acc += a run of k that is contiguous in x and in w. */
EC_INLINE void ec_conv_i8_run(ec_i32 *acc, const uint8_t *x, ptrdiff_t pixel, const int8_t *w, size_t run,
                              ec_conv_i8_tile_shape t)
{
    const int sums = t.mr * t.nv * EC_I8_SUMS;
    size_t k = 0;
#if defined(EC_I8_DOT_LANE)
    if (t.split == 1) {
        EC_ROLLED
        for (; k + 16 <= run; k += 16)
            ec_conv_i8_step16(acc, x + k, pixel, w + k * t.panel, t);
    }
#endif
    if (t.split > 1) {
        EC_ROLLED
        for (; k + (size_t)(4 * t.split) <= run; k += (size_t)(4 * t.split)) {
            EC_UNROLL
            for (int j = 0; j < t.split; j++)
                ec_conv_i8_step(acc + j * sums, x + k + 4 * j, pixel, w + (k + (size_t)(4 * j)) * t.panel, 4, t);
        }
    }
    EC_ROLLED
    for (; k + 4 <= run; k += 4)
        ec_conv_i8_step(acc, x + k, pixel, w + k * t.panel, 4, t);
    if (run % 4)
        ec_conv_i8_step(acc, x + run / 4 * 4, pixel, w + run / 4 * 4 * t.panel, run % 4, t);
}

/* Joins the sums of one tile and hands them to the epilogue. */
EC_INLINE void ec_conv_i8_finish(ec_i32 *acc, const int32_t *bias, uint8_t *y, const ec_conv_shape *s,
                                 ec_conv_i8_tile_shape t, ec_epilogue epilogue, const void *context, ec_conv_place at)
{
    const int sums = t.mr * t.nv * EC_I8_SUMS;
    const ptrdiff_t size = (ptrdiff_t)ec_kind_size(t.y_kind);
    EC_UNROLL
    for (int j = 1; j < t.split; j++) {
        EC_UNROLL
        for (int i = 0; i < sums; i++)
            acc[i] = ec_i32_add(acc[i], acc[j * sums + i]);
    }
    EC_UNROLL
    for (int i = 0; i < t.mr; i++) {
        ec_f32 values[EC_CONV_I8_VECTORS];
        EC_UNROLL
        for (int v = 0; v < t.nv; v++) {
            ec_i32 total = ec_i8_total(acc + (i * t.nv + v) * EC_I8_SUMS);
            if (bias && EC_I8_SUMS > 1)
                total = ec_i32_add(total, ec_i32_load(bias + v * EC_LANES));
            values[v] = epilogue(ec_i32_to_f32(total), context, at.n, at.h, at.w + (size_t)i,
                                 at.c + (size_t)v * EC_LANES, v == t.nv - 1 ? t.tail : EC_LANES);
        }
        ec_f32_store_vectors(y + i * s->y_w * size, values, t.nv, t.y_kind, t.tail);
    }
}

/* Sums begin with 0, the first ones with the bias unless it takes several to make a total. */
EC_INLINE void ec_conv_i8_begin(ec_i32 *acc, const int32_t *bias, ec_conv_i8_tile_shape t)
{
    EC_UNROLL
    for (int i = 0; i < t.split * t.mr * t.nv * EC_I8_SUMS; i++) {
        const int first = EC_I8_SUMS == 1 && i < t.mr * t.nv;
        acc[i] = bias && first ? ec_i32_load(bias + i % t.nv * EC_LANES) : ec_i32_set(0);
    }
}

/* x: the first pixel read by the tile, w: its panel, y: the first pixel written. */
EC_INLINE void ec_conv_i8_tile(const uint8_t *x, const int8_t *w, const int32_t *bias, uint8_t *y,
                               const ec_conv_shape *s, ec_conv_i8_tile_shape t, ec_epilogue epilogue,
                               const void *context, ec_conv_place at)
{
    ec_i32 acc[EC_CONV_I8_ACCUMULATORS];
    ec_conv_i8_begin(acc, bias, t);
    const size_t taps = ec_conv_taps(s);
    const size_t run = ec_conv_run_size(s);
    const ptrdiff_t pixel = (ptrdiff_t)s->stride_w * s->x_w;
    EC_ROLLED
    for (size_t row = 0; row < s->kernel_h; row++) {
        const uint8_t *x_row = x + (ptrdiff_t)(row * s->dilation_h) * s->x_h;
        EC_ROLLED
        for (size_t tap = 0; tap < taps; tap++) {
            ec_conv_i8_run(acc, x_row + (ptrdiff_t)(tap * s->dilation_w) * s->x_w, pixel, w, run, t);
            w += ec_ceil_div(run, 4) * t.panel * 4;
        }
    }
    ec_conv_i8_finish(acc, bias, y, s, t, epilogue, context, at);
}

/* A block of output rows of one panel; x and y point to the first row of the block and the group's channels. */
EC_INLINE void ec_conv_i8_rows(const uint8_t *x, const int8_t *w, const int32_t *bias, uint8_t *y,
                               const ec_conv_shape *s, ec_conv_i8_tile_shape t, ec_epilogue epilogue,
                               const void *context, ec_conv_place at, size_t rows)
{
    const int rest = (int)(s->out_w % (size_t)t.mr);
    const size_t whole = s->out_w - (size_t)rest;
    const ptrdiff_t pixel = (ptrdiff_t)s->stride_w * s->x_w, size = (ptrdiff_t)ec_kind_size(t.y_kind);
    ec_conv_i8_tile_shape last = t;
    last.mr = rest;
    t.split = ec_conv_i8_split(s, t.mr, t.nv);
    last.split = ec_conv_i8_split(s, rest, t.nv);
    EC_ROLLED
    for (size_t row = 0; row < rows; row++, at.h++) {
        const uint8_t *x_row = x + (ptrdiff_t)(row * s->stride_h) * s->x_h;
        uint8_t *y_row = y + (ptrdiff_t)row * s->y_h * size;
        EC_ROLLED
        for (at.w = 0; at.w < whole; at.w += (size_t)t.mr)
            ec_conv_i8_tile(x_row + (ptrdiff_t)at.w * pixel, w, bias, y_row + (ptrdiff_t)at.w * s->y_w * size, s, t,
                            epilogue, context, at);
        if (rest)
            ec_conv_i8_tile(x_row + (ptrdiff_t)whole * pixel, w, bias, y_row + (ptrdiff_t)whole * s->y_w * size, s,
                            last, epilogue, context, at);
    }
}

/* One block of rows by panels. */
EC_INLINE void ec_conv_i8_task(const uint8_t *x, const int8_t *w, const int32_t *bias, uint8_t *y,
                               const ec_conv_shape *s, ec_conv_i8_tile_shape t, ec_epilogue epilogue,
                               const void *context, size_t task)
{
    const ec_conv_block b = ec_conv_block_of(s, (size_t)t.nv * EC_LANES, task);
    const size_t panel_size = ec_conv_i8_panel_size(s, t.panel), size = ec_kind_size(t.y_kind);
    x += ec_conv_block_x(s, b);
    y += ec_conv_block_y(s, b) * (ptrdiff_t)size;
    w += b.group * b.panels * panel_size;
    ec_conv_place at = {b.n, b.row, 0, b.group * s->out_c};
    EC_ROLLED
    for (size_t p = b.first; p < ec_min_size(b.end, b.full); p++) {
        at.c = b.group * s->out_c + p * t.panel;
        ec_conv_i8_rows(x, w + p * panel_size, bias ? bias + (b.group * b.panels + p) * t.panel : NULL,
                        y + p * t.panel * size, s, t, epilogue, context, at, b.rows);
    }
    if (b.left && b.end == b.panels) {
        t.nv = (int)ec_ceil_div(b.left, EC_LANES);
        t.tail = b.left - (size_t)(t.nv - 1) * EC_LANES;
        at.c = b.group * s->out_c + b.full * t.panel;
        ec_conv_i8_rows(x, w + b.full * panel_size, bias ? bias + (b.group * b.panels + b.full) * t.panel : NULL,
                        y + b.full * t.panel * size, s, t, epilogue, context, at, b.rows);
    }
}

/*
 * Computes the tasks begin .. end - 1 of ec_conv_tasks; tasks write disjoint parts of y. bias may be NULL.
 * x_kind: EC_U8 or EC_S8. Strides count elements of x and of y.
 */
EC_INLINE void ec_conv_i8(const void *x, const int8_t *w, const int32_t *bias, void *y, const ec_conv_shape *s, int mr,
                          int nv, int x_kind, int y_kind, ec_epilogue epilogue, const void *context, size_t begin,
                          size_t end)
{
    const ec_conv_i8_tile_shape tile = {mr, nv, 1, (size_t)nv * EC_LANES, EC_LANES, x_kind, y_kind};
    EC_ROLLED
    for (size_t task = begin; task < end; task++)
        ec_conv_i8_task(x, w, bias, y, s, tile, epilogue, context, task);
}

#endif
