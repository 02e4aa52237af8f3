/*
 * Convolution as a matrix product whose rows are read straight from the image: no im2col, no border (x is padded already).
 * With a 1x1 kernel it is a matrix product; with one pixel it is a fully connected layer.
 *
 * Weights: [group][panel][kernel_h][kernel_w][in_c][nv * EC_LANES], bias: [group][panel][nv * EC_LANES], both padded
 * with zeros in the last panel of a group. Weights in fewer bits: ec_weights.h. A tile is mr pixels of one output row by
 * nv vectors of channels. The shape, mr, nv and the epilogue must be compile-time constants: each call is specialised to
 * them. Sizes that are none are named in `open`.
 */
#ifndef EC_CONV_F32_H
#define EC_CONV_F32_H

#include "ec_conv_blocks.h"
#include "ec_weights.h"
#include "simd/bf16.h"

#define EC_CONV_PIXELS 16       /* a bound on mr */
#define EC_CONV_PAIRS 128       /* pairs of k that are rounded at once */
#define EC_CONV_ACCUMULATORS 64 /* a bound on mr * nv and on split * mr * nv; unused ones cost nothing */

/* What is constant in one tile beside its shape: the numbers that unroll its loops. */
typedef struct {
    int mr, nv;   /* pixels, vectors */
    int split;    /* sums kept apart along k, where mr * nv alone would wait for the latency of fma */
    size_t panel; /* floats from one k to the next in the weights */
    size_t tail;  /* lanes that count in the last vector */
} ec_conv_tile;

/* A power of two that gives at least eight independent sums; one where k is too short or the registers too few for it. */
EC_INLINE int ec_conv_split(const ec_conv_shape *s, int mr, int nv)
{
    const size_t run = ec_conv_run_size(s);
    int split = mr * nv >= 8 ? 1 : mr * nv >= 4 ? 2 : mr * nv >= 2 ? 4 : 8;
    const int pays = (s->open & EC_OPEN_K) || run >= (size_t)(4 * split);
    return pays && split * mr * nv + nv + 2 <= EC_REGISTERS ? split : 1;
}

/* a * b + c in the first `lanes`; the others may hold anything. */
EC_INLINE ec_f32 ec_conv_f32_fma(ec_f32 a, ec_f32 b, ec_f32 c, size_t lanes)
{
#if defined(EC_F32_FMA_HALF)
    if (2 * lanes <= EC_LANES)
        return EC_F32_FMA_HALF(a, b, c);
#endif
    (void)lanes;
    return ec_f32_fma(a, b, c);
}

/* The pixels of a tile between the whole and a single one, for rows whose width is open; 1 where there is none. */
EC_INLINE int ec_conv_half(const ec_conv_shape *s, int mr) { return (s->open & EC_OPEN_W) && mr >= 4 ? mr / 2 : 1; }

/* One k for all pixels and vectors: acc += x[pixel][k] * w[k][vectors]. */
EC_INLINE void ec_conv_f32_step(ec_f32 *acc, const float *x, ptrdiff_t pixel, const float *w, ec_conv_tile t)
{
    const int mr = t.mr, nv = t.nv;
    ec_f32 columns[8];
    EC_UNROLL
    for (int v = 0; v < 8; v++) { /* all eight, or gcc takes some for uninitialized */
        columns[v] = v < nv ? ec_f32_load(w + v * EC_LANES) : ec_f32_set(0.0f);
        if (v < nv && mr > 1)
            EC_F32_KEEP(columns[v]);
    }
    EC_UNROLL
    for (int i = 0; i < mr; i++) {
        ec_f32 value = ec_f32_load_same(x + i * pixel);
        EC_UNROLL
        for (int v = 0; v < nv; v++) {
            const size_t lanes = v == nv - 1 ? t.tail : EC_LANES;
            acc[i * nv + v] = ec_conv_f32_fma(value, columns[v], acc[i * nv + v], lanes);
        }
    }
}

#if defined(EC_FACTORS)
#define EC_CONV_AHEAD 4 /* products between a load and what it brings, about the latency of a load */
/* Whether the sums that are kept apart leave registers for the numbers of all pixels. */
EC_INLINE int ec_conv_has_factors(ec_conv_tile t)
{
    return t.split == 1 || t.split * t.mr * t.nv + t.mr * EC_FACTORS / EC_LANES + 4 <= EC_REGISTERS;
}

/*
 * EC_FACTORS k at once: one load replaces as many broadcasts. Loads stand between the products, for cores in order.
 * The k take turns at the sums that are kept apart; `first` is the number of the first k.
 */
EC_INLINE void ec_conv_f32_steps(ec_f32 *acc, const float *x, ptrdiff_t pixel, const float *w, ec_conv_tile t,
                                 int first)
{
    const int mr = t.mr, nv = t.nv;
    ec_f32_factors values[EC_CONV_PIXELS];
    ec_f32 columns[4]; /* two are used while the next two arrive */
    EC_UNROLL
    for (int i = 0; i < mr && i < EC_CONV_AHEAD; i++)
        values[i] = ec_f32_load_factors(x + i * pixel);
    EC_UNROLL
    for (int at = -2; at < EC_FACTORS * nv; at++) {
        EC_UNROLL
        for (int next = at + 2; next < at + 4; next++) {
            if (at % 2 == 0 && next < EC_FACTORS * nv)
                columns[next % 4] = ec_f32_take(&w);
            if (at % 2 == 0 && (next + 1) % nv == 0)
                w += t.panel - (size_t)nv * EC_LANES;
        }
        EC_UNROLL
        for (int next = at + 2; next < at + 4; next++) { /* or gcc puts the load to its only use */
            if (mr == 1 && at % 2 == 0 && next < EC_FACTORS * nv)
                EC_F32_KEEP(columns[next % 4]);
        }
        EC_UNROLL
        for (int i = 0; i < mr && at >= 0; i++) {
            ec_f32 *sum = acc + (first + at / nv) % t.split * mr * nv + i * nv + at % nv;
            const int next = i + EC_CONV_AHEAD;
            if (at == 0 && next < mr)
                values[next] = ec_f32_load_factors(x + next * pixel);
            *sum = ec_f32_fma_factor(columns[at % 4], values[i], at / nv, *sum);
        }
    }
}

/* One k for all pixels and vectors. */
EC_INLINE void ec_conv_f32_single(ec_f32 *acc, const float *x, ptrdiff_t pixel, const float *w, int mr, int nv)
{
    float values[EC_CONV_PIXELS];
    EC_UNROLL
    for (int i = 0; i < mr; i++)
        values[i] = x[i * pixel];
    EC_UNROLL
    for (int v = 0; v < nv; v++) {
        ec_f32 column = ec_f32_load(w + v * EC_LANES);
        EC_UNROLL
        for (int i = 0; i < mr; i++)
            acc[i * nv + v] = ec_f32_fma_one(column, values[i], acc[i * nv + v]);
    }
}
#endif

/* acc += a run of k that is contiguous in x and in w. */
EC_INLINE void ec_conv_f32_run(ec_f32 *acc, const float *x, ptrdiff_t pixel, const float *w, size_t run, ec_conv_tile t)
{
    size_t k = 0;
#if defined(EC_FACTORS)
    if (ec_conv_has_factors(t)) {
        const int together = t.split > 4 ? t.split : 4;
        EC_ROLLED
        for (; k + (size_t)together <= run; k += (size_t)together) {
            EC_UNROLL
            for (int j = 0; j < together; j += EC_FACTORS)
                ec_conv_f32_steps(acc, x + k + j, pixel, w + (k + (size_t)j) * t.panel, t, j);
        }
        EC_ROLLED
        for (; k < run; k++)
            ec_conv_f32_single(acc, x + k, pixel, w + k * t.panel, t.mr, t.nv);
    }
#endif
    if (t.split > 1) {
        EC_ROLLED
        for (; k + (size_t)t.split <= run; k += (size_t)t.split) {
            EC_UNROLL
            for (int j = 0; j < t.split; j++)
                ec_conv_f32_step(acc + j * t.mr * t.nv, x + k + j, pixel, w + (k + (size_t)j) * t.panel, t);
        }
    }
    EC_ROLLED
    for (; k < run; k++)
        ec_conv_f32_step(acc, x + k, pixel, w + k * t.panel, t);
}

/* One pixel times a part of the weights, which are widened in registers; k take turns at two sums where there are so many. */
EC_INLINE void ec_conv_f32_widened_pixel(ec_f32 *acc, const float *x, ec_weights_part p, ec_conv_tile t)
{
    const int other = t.split > 1 ? t.nv : 0;
    size_t k = 0;
    EC_ROLLED
    for (; k < p.n; k += 2) {
        EC_UNROLL
        for (int v = 0; v < t.nv; v++) {
            ec_f32 two[2];
            ec_weights_load(two, p, k, v, k + 1 < p.n, t.panel);
            acc[v] = ec_f32_fma(ec_f32_load_same(x + k), two[0], acc[v]);
            if (k + 1 < p.n)
                acc[other + v] = ec_f32_fma(ec_f32_load_same(x + k + 1), two[1], acc[other + v]);
        }
    }
}

/* The same for weights that must be widened; `first` counts k from the start of the panel. Moves w behind the run. */
EC_INLINE void ec_conv_f32_widened_run(ec_f32 *acc, const float *x, ptrdiff_t pixel, ec_weights *w, size_t first,
                                       size_t run, ec_conv_tile t)
{
    float chunk[EC_WEIGHTS_CHUNK * EC_WEIGHTS_VECTORS * EC_LANES];
    EC_ROLLED
    for (size_t k = 0; k < run;) {
        const ec_weights_part part = ec_weights_next(w, first, k, run, EC_WEIGHTS_CHUNK, t.panel);
        if (t.mr == 1) {
            ec_conv_f32_widened_pixel(acc, x + k, part, t);
        } else {
            ec_weights_widen(chunk, part, t.nv, t.panel);
            ec_conv_f32_run(acc, x + k, pixel, chunk, part.n, t);
        }
        k += part.n;
    }
}

/* Turns the sums of one pixel into results. */
EC_INLINE void ec_conv_f32_store(const ec_f32 *acc, float *y, ec_conv_tile t, ec_epilogue epilogue, const void *context,
                                 ec_conv_place at)
{
    EC_UNROLL
    for (int v = 0; v < t.nv; v++) {
        const size_t lanes = v == t.nv - 1 ? t.tail : EC_LANES;
        const size_t c = at.c + (size_t)v * EC_LANES;
        ec_f32_store_lanes(y + v * EC_LANES, epilogue(acc[v], context, at.n, at.h, at.w, c, lanes), lanes);
    }
}

/*
 * The same for all pixels of a tile, by calls. Compilers would keep the constants of a long epilogue in registers while
 * they add products, and the sums in memory.
 */
EC_INLINE void ec_conv_f32_store_apart(const ec_f32 *acc, float *y, ptrdiff_t y_w, ec_conv_tile t, ec_epilogue epilogue,
                                       const void *context, ec_conv_place at)
{
    float sums[EC_CONV_ACCUMULATORS * EC_LANES];
    EC_UNROLL
    for (int i = 0; i < t.mr * t.nv; i++)
        ec_f32_store(sums + i * EC_LANES, acc[i]);
    EC_IN_MEMORY(sums);
    EC_ROLLED
    for (int i = 0; i < t.mr; i++, at.w++) {
        ec_f32 pixel[8];
        EC_UNROLL
        for (int v = 0; v < t.nv; v++)
            pixel[v] = ec_f32_load(sums + (i * t.nv + v) * EC_LANES);
        ec_conv_f32_store(pixel, y + i * y_w, t, epilogue, context, at);
    }
}

/* A run whose numbers are rounded to bf16 and multiplied in pairs: EC_W_PAIRS. */
EC_INLINE void ec_conv_bf16_run(ec_f32 *acc, const float *x, ptrdiff_t pixel, const unsigned char *w, size_t run,
                                ec_conv_tile t)
{
    uint32_t pairs[EC_CONV_PIXELS * EC_CONV_PAIRS];
    EC_ROLLED
    for (size_t k = 0; k < run; k += 2 * EC_CONV_PAIRS) {
        const size_t count = ec_min_size(run - k, 2 * EC_CONV_PAIRS);
        EC_UNROLL
        for (int i = 0; i < t.mr; i++)
            ec_bf16_pairs(pairs + i * EC_CONV_PAIRS, x + k + i * pixel, count);
        EC_ROLLED
        for (size_t pair = 0; pair < (count + 1) / 2; pair++) {
            const unsigned char *row = w + (k / 2 + pair) * t.panel * 4;
            ec_i32 columns[8];
            EC_UNROLL
            for (int v = 0; v < t.nv; v++)
                columns[v] = ec_f32_bits(ec_f32_load((const float *)(const void *)row + v * EC_LANES));
            EC_UNROLL
            for (int i = 0; i < t.mr; i++) {
                const ec_i32 value = ec_i32_set((int32_t)pairs[i * EC_CONV_PAIRS + (int)pair]);
                EC_UNROLL
                for (int v = 0; v < t.nv; v++)
                    acc[i * t.nv + v] = ec_bf16_dot(acc[i * t.nv + v], value, columns[v]);
            }
        }
    }
}

/* x: the first pixel read by the tile, w: its panel, y: the first pixel written. */
EC_INLINE void ec_conv_f32_tile(const float *x, ec_weights w, const float *bias, float *y, const ec_conv_shape *s,
                                ec_conv_tile t, ec_epilogue epilogue, const void *context, ec_conv_place at)
{
    ec_f32 acc[EC_CONV_ACCUMULATORS];
    EC_UNROLL
    for (int i = 0; i < t.mr; i++) {
        EC_UNROLL
        for (int v = 0; v < t.nv; v++)
            acc[i * t.nv + v] = bias ? ec_f32_load(bias + v * EC_LANES) : ec_f32_set(0.0f);
    }
    EC_UNROLL
    for (int i = t.mr * t.nv; i < t.split * t.mr * t.nv; i++)
        acc[i] = ec_f32_set(0.0f);

    const size_t taps = ec_conv_taps(s), run = ec_conv_run_size(s);
    const ptrdiff_t pixel = (ptrdiff_t)s->stride_w * s->x_w;
    EC_ROLLED
    for (size_t row = 0; row < s->kernel_h; row++) {
        const float *x_row = x + (ptrdiff_t)(row * s->dilation_h) * s->x_h;
        EC_ROLLED
        for (size_t tap = 0; tap < taps; tap++) {
            const float *x_tap = x_row + (ptrdiff_t)(tap * s->dilation_w) * s->x_w;
            if (w.kind == EC_W_PAIRS) {
                ec_conv_bf16_run(acc, x_tap, pixel, w.data, run, t);
                w.data += ec_weights_bytes(EC_W_PAIRS, run, t.panel);
            } else if (w.kind == EC_W_F32) {
                ec_conv_f32_run(acc, x_tap, pixel, (const float *)(const void *)w.data, run, t);
                w.data += ec_weights_bytes(EC_W_F32, run, t.panel);
            } else {
                ec_conv_f32_widened_run(acc, x_tap, pixel, &w, (row * taps + tap) * run, run, t);
            }
        }
    }

    EC_UNROLL
    for (int j = 1; j < t.split; j++) {
        EC_UNROLL
        for (int i = 0; i < t.mr * t.nv; i++)
            acc[i] = ec_f32_add(acc[i], acc[j * t.mr * t.nv + i]);
    }
    if (s->apart) {
        ec_conv_f32_store_apart(acc, y, s->y_w, t, epilogue, context, at);
        return;
    }
    EC_UNROLL
    for (int i = 0; i < t.mr; i++, at.w++)
        ec_conv_f32_store(acc + i * t.nv, y + i * s->y_w, t, epilogue, context, at);
}

/* Whether a block has several tiles, for which a panel is widened once, and the panel fits; one more k may be written. */
EC_INLINE int ec_conv_widens_panel(const ec_conv_shape *s, int mr, size_t panel)
{
    const size_t k = s->kernel_h * s->kernel_w * s->in_c;
    return s->block_h * s->out_w > (size_t)mr && (k + 1) * panel <= EC_WEIGHTS_PANEL;
}

/* A block of output rows of one panel; x and y point to the first row of the block and the group's channels. */
EC_INLINE void ec_conv_f32_rows(const float *x, ec_weights w, const float *bias, float *y, const ec_conv_shape *s,
                                int mr, int nv, size_t panel, size_t tail, ec_epilogue epilogue, const void *context,
                                ec_conv_place at, size_t rows)
{
    const int rest = (int)(s->out_w % (size_t)mr);
    const size_t whole = s->out_w - (size_t)rest;
    const ec_conv_tile tile = {mr, nv, ec_conv_split(s, mr, nv), panel, tail};
    const int less = s->open & EC_OPEN_W ? 1 : rest, half = ec_conv_half(s, mr);
    const ec_conv_tile middle = {half, nv, ec_conv_split(s, half, nv), panel, tail};
    const ec_conv_tile last = {less, nv, ec_conv_split(s, less, nv), panel, tail};
    const ptrdiff_t pixel = (ptrdiff_t)s->stride_w * s->x_w;
    float widened[EC_WEIGHTS_PANEL];
    if (w.kind != EC_W_F32 && w.kind != EC_W_PAIRS && ec_conv_widens_panel(s, mr, panel)) {
        ec_weights_widen_panel(widened, w, s->kernel_h * ec_conv_taps(s), ec_conv_run_size(s), nv, panel);
        w = ec_weights_f32(widened);
    }
    EC_ROLLED
    for (size_t row = 0; row < rows; row++, at.h++) {
        const float *x_row = x + (ptrdiff_t)(row * s->stride_h) * s->x_h;
        float *y_row = y + (ptrdiff_t)row * s->y_h;
        EC_ROLLED
        for (at.w = 0; at.w < whole; at.w += (size_t)mr)
            ec_conv_f32_tile(x_row + (ptrdiff_t)at.w * pixel, w, bias, y_row + (ptrdiff_t)at.w * s->y_w, s, tile,
                             epilogue, context, at);
        if (!(s->open & EC_OPEN_W)) {
            if (rest)
                ec_conv_f32_tile(x_row + (ptrdiff_t)whole * pixel, w, bias, y_row + (ptrdiff_t)whole * s->y_w, s, last,
                                 epilogue, context, at);
            continue;
        }
        if (half > 1) {
            EC_ROLLED
            for (; at.w + (size_t)half <= s->out_w; at.w += (size_t)half)
                ec_conv_f32_tile(x_row + (ptrdiff_t)at.w * pixel, w, bias, y_row + (ptrdiff_t)at.w * s->y_w, s, middle,
                                 epilogue, context, at);
        }
        if (mr > 1) {
            EC_ROLLED
            for (; at.w < s->out_w; at.w++)
                ec_conv_f32_tile(x_row + (ptrdiff_t)at.w * pixel, w, bias, y_row + (ptrdiff_t)at.w * s->y_w, s, last,
                                 epilogue, context, at);
        }
    }
}

/* One block of rows by panels. */
EC_INLINE void ec_conv_f32_task(const float *x, ec_weights w, const float *bias, float *y, const ec_conv_shape *s,
                                int mr, int nv, ec_epilogue epilogue, const void *context, size_t task)
{
    const size_t panel = (size_t)nv * EC_LANES;
    const ec_conv_block b = ec_conv_block_of(s, panel, task);
    w.panel = w.kind == EC_W_F32 ? ec_weights_bytes(EC_W_F32, s->kernel_h * s->kernel_w * s->in_c, panel) : w.panel;
    x += ec_conv_block_x(s, b);
    y += ec_conv_block_y(s, b);
    w = ec_weights_panel(w, b.group * b.panels, panel);
    ec_conv_place at = {b.n, b.row, 0, b.group * s->out_c};
    EC_ROLLED
    for (size_t p = b.first; p < ec_min_size(b.end, b.full); p++) {
        at.c = b.group * s->out_c + p * panel;
        ec_conv_f32_rows(x, ec_weights_panel(w, p, panel), bias ? bias + (b.group * b.panels + p) * panel : NULL,
                         y + p * panel, s, mr, nv, panel, EC_LANES, epilogue, context, at, b.rows);
    }
    if (b.left && b.end == b.panels) {
        const int vectors = (int)ec_ceil_div(b.left, EC_LANES);
        const size_t tail = b.left - (size_t)(vectors - 1) * EC_LANES;
        const float *last = bias ? bias + (b.group * b.panels + b.full) * panel : NULL;
        at.c = b.group * s->out_c + b.full * panel;
        w = ec_weights_panel(w, b.full, panel);
        y += b.full * panel;
        if (!(s->open & EC_OPEN_C))
            ec_conv_f32_rows(x, w, last, y, s, mr, vectors, panel, tail, epilogue, context, at, b.rows);
        else if (vectors == 1)
            ec_conv_f32_rows(x, w, last, y, s, mr, 1, panel, tail, epilogue, context, at, b.rows);
        else if (vectors == 2)
            ec_conv_f32_rows(x, w, last, y, s, mr, 2, panel, tail, epilogue, context, at, b.rows);
        else if (nv > 2)
            ec_conv_f32_rows(x, w, last, y, s, mr, vectors, panel, tail, epilogue, context, at, b.rows);
    }
}

/* As ec_conv_f32, for weights in fewer bits. */
EC_INLINE void ec_conv_f32_widened(const float *x, ec_weights w, const float *bias, float *y, const ec_conv_shape *s,
                                   int mr, int nv, ec_epilogue epilogue, const void *context, size_t task_begin,
                                   size_t task_end)
{
    EC_ROLLED
    for (size_t task = task_begin; task < task_end; task++)
        ec_conv_f32_task(x, w, bias, y, s, mr, nv, epilogue, context, task);
}

/* Computes the tasks task_begin .. task_end - 1 of ec_conv_tasks; tasks write disjoint parts of y. bias may be NULL. */
EC_INLINE void ec_conv_f32(const float *x, const float *w, const float *bias, float *y, const ec_conv_shape *s, int mr,
                           int nv, ec_epilogue epilogue, const void *context, size_t task_begin, size_t task_end)
{
    EC_ROLLED
    for (size_t task = task_begin; task < task_end; task++)
        ec_conv_f32_task(x, ec_weights_f32(w), bias, y, s, mr, nv, epilogue, context, task);
}

#endif
