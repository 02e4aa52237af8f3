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

#if defined(EC_I8_BY_LANE)
EC_INLINE ec_i8_x16 ec_conv_i8_pixel(const uint8_t *x, size_t n)
{
    ec_i8_x16 found = ec_i8_load16(x, n);
    EC_F32_KEEP(found); /* or gcc puts the load to its only use */
    return found;
}

/* The weights of four k and four channels, of all those that a tile reads in turn. */
EC_INLINE ec_i8_w16 ec_conv_i8_column(const int8_t *w, int at, ec_conv_i8_tile_shape t)
{
    ec_i8_w16 found = vld1q_s8(w + ((size_t)(at / t.nv) * t.panel + (size_t)(at % t.nv) * EC_LANES) * 4);
    EC_F32_KEEP(found);
    return found;
}

/* The sums of a pixel and a vector: fours of k take turns at those that are kept apart. */
EC_INLINE ec_i32 *ec_conv_i8_sums(ec_i32 *acc, int four, int i, int v, ec_conv_i8_tile_shape t)
{
    return acc + ((four % t.split * t.mr + i) * t.nv + v) * EC_I8_SUMS;
}

/*
 * n <= 16 k at once, the first of them the `first`-th four: one load of a pixel replaces four broadcasts. What waits stands
 * far behind what it waits for, for cores in order.
 */
#if EC_I8_SUMS == 1
#define EC_CONV_I8_AHEAD 3 /* products between a load, a change of sign, and what takes it */
/* Whether the sums that are kept apart leave registers for sixteen x of all pixels. */
EC_INLINE int ec_conv_i8_takes_lanes(ec_conv_i8_tile_shape t)
{
    return t.split * t.mr * t.nv + t.mr + 2 <= EC_REGISTERS;
}

EC_INLINE void ec_conv_i8_lanes(ec_i32 *acc, const uint8_t *x, ptrdiff_t pixel, const int8_t *w, size_t n, int first,
                                ec_conv_i8_tile_shape t)
{
    const int total = (int)ec_ceil_div(n, 4) * t.nv, loads = t.mr < 2 * EC_CONV_I8_AHEAD ? t.mr : 2 * EC_CONV_I8_AHEAD;
    const int flips = t.mr < EC_CONV_I8_AHEAD ? t.mr : EC_CONV_I8_AHEAD;
    const int ahead = t.split * t.mr * t.nv + t.mr + 5 <= EC_REGISTERS ? 3 : 1; /* columns that arrive */
    const int early = total < ahead ? total : ahead;
    ec_i8_x16 loaded[EC_CONV_I8_PIXELS], values[EC_CONV_I8_PIXELS];
    ec_i8_w16 columns[4];
    EC_UNROLL
    for (int i = 0; i < loads; i++)
        loaded[i] = ec_conv_i8_pixel(x + i * pixel, n);
    EC_UNROLL
    for (int at = 0; at < early; at++)
        columns[at] = ec_conv_i8_column(w, at, t);
    EC_UNROLL
    for (int i = 0; i < flips; i++)
        values[i] = ec_i8_flipped(loaded[i], t.x_kind);
    EC_UNROLL
    for (int at = 0; at < total; at++) {
        if (at + ahead < total)
            columns[(at + ahead) % 4] = ec_conv_i8_column(w, at + ahead, t);
        EC_UNROLL
        for (int i = 0; i < t.mr; i++) {
            ec_i32 *sum = ec_conv_i8_sums(acc, first + at / t.nv, i, at % t.nv, t);
            const int flip = i + EC_CONV_I8_AHEAD, next = i + 2 * EC_CONV_I8_AHEAD;
            if (at == 0 && next < t.mr)
                loaded[next] = ec_conv_i8_pixel(x + next * pixel, n);
            if (at == 0 && flip < t.mr)
                values[flip] = ec_i8_flipped(loaded[flip], t.x_kind);
            *sum = ec_i8_dot_lane(*sum, values[i], columns[at % 4], at / t.nv, t.x_kind);
        }
    }
}
#else
#define EC_CONV_I8_DELAY 3 /* products between one and what adds it */
EC_INLINE int ec_conv_i8_takes_lanes(ec_conv_i8_tile_shape t)
{
    return t.split * t.mr * t.nv * EC_I8_SUMS + t.mr + t.nv + EC_CONV_I8_DELAY + 3 <= EC_REGISTERS;
}

EC_INLINE void ec_conv_i8_lanes(ec_i32 *acc, const uint8_t *x, ptrdiff_t pixel, const int8_t *w, size_t n, int first,
                                ec_conv_i8_tile_shape t)
{
    const int halves = 2 * t.nv, fours = (int)ec_ceil_div(n, 4), total = fours * t.mr * halves;
    const int ahead = t.nv == 1 ? 2 : 1; /* pixels between a broadcast and its products */
    ec_i8_x16 values[EC_CONV_I8_PIXELS], same[4];
    ec_i8_w16 columns[EC_CONV_I8_VECTORS];
    ec_i8_products products[EC_CONV_I8_DELAY + 1];
    EC_UNROLL
    for (int i = 0; i < t.mr; i++)
        values[i] = ec_conv_i8_pixel(x + i * pixel, n);
    EC_UNROLL
    for (int v = 0; v < t.nv; v++)
        columns[v] = ec_conv_i8_column(w, v, t);
    EC_UNROLL
    for (int i = 0; i < t.mr; i++)
        values[i] = ec_i8_flipped(values[i], t.x_kind);
    same[0] = ec_i8_broadcast(values[0], 0);
    if (ahead == 2)
        same[1] = ec_i8_broadcast(values[1 % t.mr], 1 / t.mr);
    EC_UNROLL
    for (int at = 0; at < total + EC_CONV_I8_DELAY; at++) {
        const int i = at / halves, next = i + ahead, v = at % halves / 2, last = at - EC_CONV_I8_DELAY;
        if (at % halves == 0 && next < fours * t.mr)
            same[next % 4] = ec_i8_broadcast(values[next % t.mr], next / t.mr);
        if (at < total)
            products[at % (EC_CONV_I8_DELAY + 1)] = ec_i8_multiply(same[i % 4], columns[v], at % 2);
        if (at % 2 == 1 && i % t.mr == t.mr - 1 && i / t.mr + 1 < fours)
            columns[v] = ec_conv_i8_column(w, (i / t.mr + 1) * t.nv + v, t);
        if (last >= 0) {
            ec_i32 *sums =
                ec_conv_i8_sums(acc, first + last / halves / t.mr, last / halves % t.mr, last % halves / 2, t);
            sums[last % 2] = ec_i8_add_pairs(sums[last % 2], products[last % (EC_CONV_I8_DELAY + 1)]);
        }
    }
}
#endif
#endif

/* acc += a run of k that is contiguous in x and in w. */
EC_INLINE void ec_conv_i8_run(ec_i32 *acc, const uint8_t *x, ptrdiff_t pixel, const int8_t *w, size_t run,
                              ec_conv_i8_tile_shape t)
{
    const int sums = t.mr * t.nv * EC_I8_SUMS;
    size_t k = 0;
#if defined(EC_I8_BY_LANE)
    if (ec_conv_i8_takes_lanes(t)) {
        const size_t together = t.split > 4 ? 32 : 16, whole = run / together * together;
        EC_ROLLED
        for (; k < whole; k += together) {
            EC_UNROLL
            for (size_t j = 0; j < together; j += 16)
                ec_conv_i8_lanes(acc, x + k + j, pixel, w + (k + j) * t.panel, 16, (int)j / 4, t);
        }
        if (__builtin_constant_p(run)) {
            EC_UNROLL
            for (size_t j = whole; j < run; j += 16)
                ec_conv_i8_lanes(acc, x + j, pixel, w + j * t.panel, ec_min_size(run - j, 16), 0, t);
            return;
        }
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

#if defined(EC_I8_NARROWS_ROWS)
/* Totals, through the epilogue, to memory: all take each step before one takes the next, for cores in order. */
EC_INLINE void ec_conv_i8_results(const ec_i32 *acc, const int32_t *bias, uint8_t *y, const ec_conv_shape *s,
                                  ec_conv_i8_tile_shape t, ec_epilogue epilogue, const void *context, ec_conv_place at)
{
    ec_i32 totals[EC_CONV_I8_ACCUMULATORS];
    ec_f32 values[EC_CONV_I8_ACCUMULATORS], results[EC_CONV_I8_ACCUMULATORS];
    EC_UNROLL
    for (int i = 0; i < t.mr * t.nv; i++) {
        ec_i32 total = ec_i8_total(acc + i * EC_I8_SUMS);
        EC_I8_HERE(total);
        totals[i] = total;
    }
    EC_UNROLL
    for (int i = 0; i < t.mr * t.nv; i++) {
        const int starts = bias && EC_I8_SUMS > 1;
        ec_i32 total = starts ? ec_i32_add(totals[i], ec_i32_load(bias + i % t.nv * EC_LANES)) : totals[i];
        EC_I8_HERE(total);
        totals[i] = total;
    }
    EC_UNROLL
    for (int i = 0; i < t.mr * t.nv; i++) {
        ec_f32 value = ec_i32_to_f32(totals[i]);
        EC_I8_HERE(value);
        values[i] = value;
    }
    EC_UNROLL
    for (int i = 0; i < t.mr * t.nv; i++) {
        const int v = i % t.nv;
        ec_f32 result = epilogue(values[i], context, at.n, at.h, at.w + (size_t)(i / t.nv), at.c + (size_t)v * EC_LANES,
                                 v == t.nv - 1 ? t.tail : EC_LANES);
        EC_I8_HERE(result);
        results[i] = result;
    }
    ec_f32_store_rows(y, s->y_w * (ptrdiff_t)ec_kind_size(t.y_kind), results, t.mr, t.nv, t.y_kind, t.tail);
}
#else
/* Totals, through the epilogue, to memory. */
EC_INLINE void ec_conv_i8_results(const ec_i32 *acc, const int32_t *bias, uint8_t *y, const ec_conv_shape *s,
                                  ec_conv_i8_tile_shape t, ec_epilogue epilogue, const void *context, ec_conv_place at)
{
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
        ec_f32_store_vectors(y + i * s->y_w * (ptrdiff_t)ec_kind_size(t.y_kind), values, t.nv, t.y_kind, t.tail);
    }
}
#endif

/* Joins the sums of one tile and hands them to the epilogue. */
EC_INLINE void ec_conv_i8_finish(ec_i32 *acc, const int32_t *bias, uint8_t *y, const ec_conv_shape *s,
                                 ec_conv_i8_tile_shape t, ec_epilogue epilogue, const void *context, ec_conv_place at)
{
    const int sums = t.mr * t.nv * EC_I8_SUMS;
    EC_UNROLL
    for (int j = 1; j < t.split; j++) {
        EC_UNROLL
        for (int i = 0; i < sums; i++)
            acc[i] = ec_i32_add(acc[i], acc[j * sums + i]);
    }
    ec_conv_i8_results(acc, bias, y, s, t, epilogue, context, at);
}

/* Sums begin with 0, the first ones with the bias unless it takes several to make a total. */
EC_INLINE void ec_conv_i8_begin(ec_i32 *acc, const int32_t *bias, ec_conv_i8_tile_shape t)
{
    EC_UNROLL
    for (int i = 0; i < t.split * t.mr * t.nv * EC_I8_SUMS; i++) {
        const int first = EC_I8_SUMS == 1 && i < t.mr * t.nv;
        ec_i32 sum = bias && first ? ec_i32_load(bias + i % t.nv * EC_LANES) : ec_i32_set(0);
        EC_I8_COPY(sum);
        acc[i] = sum;
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
