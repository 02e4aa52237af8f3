/*
 * ec_conv_i8 with weights of 4 bits, which may have a scale for each `group` of k instead of one for a channel.
 *
 * Without scales value = bias[c] + sum x * w, as there. With them value = (start[c] + s0 * scale[0][c]) + s1 * scale[1][c]
 * + ..., in this order, every operation rounded to float, where s is the sum of a group of k less shift * sum w: whole
 * numbers below 2^24, exact as floats. The shift is the zero point of x plus EC_I8_OFFSET_U8 or _S8.
 *
 * A run of k (see ec_conv_i8.h) is cut where a group ends, each part filled up to a multiple of eight k with weights of
 * 0. Weights: [group of channels][panel][places / 8][panel channels][4] bytes of q + 8: four k in the low halves, the
 * next four in the high ones. scale and sums (of w): [group of channels][panel][groups of k][panel channels]; start
 * and bias: [group of channels][panel][panel channels].
 */
#ifndef EC_CONV_I4_H
#define EC_CONV_I4_H

#include "ec_conv_i8.h"
#include "simd/half.h"
#include "simd/i4.h"

#define EC_I4_CHUNK 32    /* k that are unpacked at once for one tile; a multiple of eight */
#define EC_I4_PANEL 40960 /* bytes of a panel that is unpacked once for several tiles */

/* scaled, shift, group, groups and panel must be compile-time constants. */
typedef struct {
    const uint8_t *data;
    const int32_t *bias;
    const float *scale, *start;
    const int16_t *sums;
    int scaled, shift;    /* whether there are scales; what the sums of w are multiplied by */
    size_t group, groups; /* k that share a scale; how many such groups k has */
    size_t panel;         /* bytes of one panel */
} ec_i4_weights;

/* The weights of one panel of `channels` channels. */
EC_INLINE ec_i4_weights ec_i4_weights_panel(ec_i4_weights w, size_t index, size_t channels)
{
    w.data += index * w.panel;
    if (!w.scaled) {
        w.bias += index * channels;
        return w;
    }
    w.scale += index * w.groups * channels;
    w.sums += index * w.groups * channels;
    w.start += index * channels;
    return w;
}

/* The first nv vectors of n k, from the order above to that of ec_conv_i8. */
EC_INLINE void ec_i4_unpack(int8_t *out, const uint8_t *data, size_t n, int nv, size_t panel)
{
    EC_ROLLED
    for (size_t k = 0; k < n; k += 8, data += panel * 4, out += panel * 8) {
        EC_UNROLL
        for (size_t at = 0; at < (size_t)nv * EC_LANES * 4; at += EC_BYTES) {
            const ec_b8 bytes = ec_b8_load(data + at);
            ec_b8_store((uint8_t *)out + at, ec_b8_nibbles(bytes, 0));
            ec_b8_store((uint8_t *)out + panel * 4 + at, ec_b8_nibbles(bytes, 1));
        }
    }
}

EC_INLINE void ec_conv_i4_clear(ec_i32 *acc, ec_conv_i8_tile_shape t)
{
    EC_UNROLL
    for (int i = 0; i < t.split * t.mr * t.nv * EC_I8_SUMS; i++)
        acc[i] = ec_i32_set(0);
}

/* The sum for one vector of one pixel; acc: what its vectors add to, `apart` from one split to the next. */
EC_INLINE ec_i32 ec_conv_i4_sum(ec_i32 *acc, int apart, int split)
{
    EC_UNROLL
    for (int j = 1; j < split; j++) {
        EC_UNROLL
        for (int i = 0; i < EC_I8_SUMS; i++)
            acc[i] = ec_i32_add(acc[i], acc[j * apart + i]);
    }
    return ec_i8_total(acc);
}

/* shift * sum of w, exact as a float. */
EC_INLINE ec_f32 ec_conv_i4_shifted(const int16_t *sums, int shift)
{
    const ec_i32 wide = ec_i32_shr(ec_i32_shl(ec_u16_load(sums), 16), 16);
    return ec_f32_mul(ec_i32_to_f32(wide), ec_f32_set((float)shift));
}

/* total += the sum of a group * its scale, or total = the sum + bias if there are no scales; the sums begin anew. */
EC_INLINE void ec_conv_i4_close(ec_f32 *total, ec_i32 *acc, const ec_i4_weights *w, size_t group,
                                ec_conv_i8_tile_shape t)
{
    EC_UNROLL
    for (int i = 0; i < t.mr * t.nv; i++) {
        const size_t at = group * t.panel + (size_t)(i % t.nv) * EC_LANES;
        const ec_i32 sum = ec_conv_i4_sum(acc + i * EC_I8_SUMS, t.mr * t.nv * EC_I8_SUMS, t.split);
        if (w->scaled) {
            const ec_f32 exact = ec_f32_sub(ec_i32_to_f32(sum), ec_conv_i4_shifted(w->sums + at, w->shift));
            total[i] = ec_f32_add(total[i], ec_f32_mul(exact, ec_f32_load(w->scale + at)));
        } else {
            total[i] = ec_i32_to_f32(ec_i32_add(sum, ec_i32_load(w->bias + at)));
        }
    }
    ec_conv_i4_clear(acc, t);
}

/* Hands the totals of one tile to the epilogue. */
EC_INLINE void ec_conv_i4_finish(const ec_f32 *total, uint8_t *y, const ec_conv_shape *s, ec_conv_i8_tile_shape t,
                                 ec_epilogue epilogue, const void *context, ec_conv_place at)
{
    EC_UNROLL
    for (int i = 0; i < t.mr; i++) {
        ec_f32 values[EC_CONV_I8_VECTORS];
        EC_UNROLL
        for (int v = 0; v < t.nv; v++)
            values[v] = epilogue(total[i * t.nv + v], context, at.n, at.h, at.w + (size_t)i,
                                 at.c + (size_t)v * EC_LANES, v == t.nv - 1 ? t.tail : EC_LANES);
        ec_f32_store_vectors(y + i * s->y_w * (ptrdiff_t)ec_kind_size(t.y_kind), values, t.nv, t.y_kind, t.tail);
    }
}

/* x: the first pixel read by the tile, w: its panel, unpacked: the same as ec_conv_i8 wants it, or NULL. */
EC_INLINE void ec_conv_i4_tile(const uint8_t *x, ec_i4_weights w, const int8_t *unpacked, uint8_t *y,
                               const ec_conv_shape *s, ec_conv_i8_tile_shape t, ec_epilogue epilogue,
                               const void *context, ec_conv_place at)
{
    ec_i32 acc[EC_CONV_I8_ACCUMULATORS];
    ec_f32 total[EC_CONV_I8_ACCUMULATORS];
    int8_t chunk[EC_I4_CHUNK * EC_CONV_I8_VECTORS * EC_LANES];
    ec_conv_i4_clear(acc, t);
    EC_UNROLL
    for (int i = 0; i < t.mr * t.nv; i++)
        total[i] = w.scaled ? ec_f32_load(w.start + i % t.nv * EC_LANES) : ec_f32_set(0.0f);
    const size_t taps = ec_conv_taps(s), run = ec_conv_run_size(s);
    const size_t all = s->kernel_h * taps * run;
    const ptrdiff_t pixel = (ptrdiff_t)s->stride_w * s->x_w;
    size_t place = 0;
    EC_ROLLED
    for (size_t k = 0; k < all;) {
        const size_t row = k / run / taps, tap = k / run % taps, group = k / w.group;
        const size_t end = ec_min_size((k / run + 1) * run, (group + 1) * w.group),
                     n = ec_min_size(end - k, EC_I4_CHUNK);
        const uint8_t *from = x + (ptrdiff_t)(row * s->dilation_h) * s->x_h + (ptrdiff_t)(tap * s->dilation_w) * s->x_w;
        if (!unpacked)
            ec_i4_unpack(chunk, w.data + place / 2 * t.panel, n, t.nv, t.panel);
        ec_conv_i8_run(acc, from + k % run, pixel, unpacked ? unpacked + place * t.panel : chunk, n, t);
        place += (n + 7) / 8 * 8;
        k += n;
        if (k == all || k % w.group == 0)
            ec_conv_i4_close(total, acc, &w, group, t);
    }
    ec_conv_i4_finish(total, y, s, t, epilogue, context, at);
}

/* A block of output rows of one panel; x and y point to the first row of the block and the group's channels. */
EC_INLINE void ec_conv_i4_rows(const uint8_t *x, ec_i4_weights w, uint8_t *y, const ec_conv_shape *s,
                               ec_conv_i8_tile_shape t, ec_epilogue epilogue, const void *context, ec_conv_place at,
                               size_t rows)
{
    const int rest = (int)(s->out_w % (size_t)t.mr);
    const size_t whole = s->out_w - (size_t)rest;
    const ptrdiff_t pixel = (ptrdiff_t)s->stride_w * s->x_w, size = (ptrdiff_t)ec_kind_size(t.y_kind);
    ec_conv_i8_tile_shape last = t;
    last.mr = rest;
    t.split = w.scaled ? 1 : ec_conv_i8_split(s, t.mr, t.nv);
    last.split = w.scaled ? 1 : ec_conv_i8_split(s, rest, t.nv);
    int8_t panel[EC_I4_PANEL];
    const int once = s->block_h * s->out_w > (size_t)t.mr && 2 * w.panel <= EC_I4_PANEL;
    if (once)
        ec_i4_unpack(panel, w.data, 2 * w.panel / t.panel, t.nv, t.panel);
    EC_ROLLED
    for (size_t row = 0; row < rows; row++, at.h++) {
        const uint8_t *x_row = x + (ptrdiff_t)(row * s->stride_h) * s->x_h;
        uint8_t *y_row = y + (ptrdiff_t)row * s->y_h * size;
        EC_ROLLED
        for (at.w = 0; at.w < whole; at.w += (size_t)t.mr)
            ec_conv_i4_tile(x_row + (ptrdiff_t)at.w * pixel, w, once ? panel : NULL,
                            y_row + (ptrdiff_t)at.w * s->y_w * size, s, t, epilogue, context, at);
        if (rest)
            ec_conv_i4_tile(x_row + (ptrdiff_t)whole * pixel, w, once ? panel : NULL,
                            y_row + (ptrdiff_t)whole * s->y_w * size, s, last, epilogue, context, at);
    }
}

/* One block of rows by panels. */
EC_INLINE void ec_conv_i4_task(const uint8_t *x, ec_i4_weights w, uint8_t *y, const ec_conv_shape *s,
                               ec_conv_i8_tile_shape t, ec_epilogue epilogue, const void *context, size_t task)
{
    const ec_conv_block b = ec_conv_block_of(s, (size_t)t.nv * EC_LANES, task);
    const size_t size = ec_kind_size(t.y_kind);
    x += ec_conv_block_x(s, b);
    y += ec_conv_block_y(s, b) * (ptrdiff_t)size;
    w = ec_i4_weights_panel(w, b.group * b.panels, t.panel);
    ec_conv_place at = {b.n, b.row, 0, b.group * s->out_c};
    EC_ROLLED
    for (size_t p = b.first; p < ec_min_size(b.end, b.full); p++) {
        at.c = b.group * s->out_c + p * t.panel;
        ec_conv_i4_rows(x, ec_i4_weights_panel(w, p, t.panel), y + p * t.panel * size, s, t, epilogue, context, at,
                        b.rows);
    }
    if (b.left && b.end == b.panels) {
        t.nv = (int)ec_ceil_div(b.left, EC_LANES);
        t.tail = b.left - (size_t)(t.nv - 1) * EC_LANES;
        at.c = b.group * s->out_c + b.full * t.panel;
        ec_conv_i4_rows(x, ec_i4_weights_panel(w, b.full, t.panel), y + b.full * t.panel * size, s, t, epilogue,
                        context, at, b.rows);
    }
}

/* Computes the tasks begin .. end - 1 of ec_conv_tasks; kinds, strides and y as there. */
EC_INLINE void ec_conv_i4(const void *x, ec_i4_weights w, const float *start, void *y, const ec_conv_shape *s, int mr,
                          int nv, int x_kind, int y_kind, ec_epilogue epilogue, const void *context, size_t begin,
                          size_t end)
{
    const ec_conv_i8_tile_shape tile = {mr, nv, 1, (size_t)nv * EC_LANES, EC_LANES, x_kind, y_kind};
    w.start = start;
    EC_ROLLED
    for (size_t task = begin; task < end; task++)
        ec_conv_i4_task(x, w, y, s, tile, epilogue, context, task);
}

#endif
