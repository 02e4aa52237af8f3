/*
 * 3x3 convolution of stride 1 by Winograd's minimal filtering F(edge x edge, 3x3): each tile of edge + 2 pixels squared is
 * transformed, every one of its (edge + 2)^2 places is a matrix product over the channels, and the products are transformed
 * back. It takes (edge + 2)^2 / edge^2 multiplications for each output and pair of channels where 9 are direct.
 *
 * Work goes block by block: the transformed tiles of a block, and the products of one panel with them, stay in the cache.
 * x is padded already, as for ec_conv_f32; places beyond it count as zeros. Sums may overflow to infinity or become NaN
 * where infinities would not meet in a direct convolution, within the tile that holds them.
 *
 * Weights: transformed by edgec.kernels.winograd, then packed as those of ec_conv_f32 with a kernel of (edge + 2)^2 taps.
 * The shape, edge, mr, nv and the epilogue must be compile-time constants.
 */
#ifndef EC_WINOGRAD_F32_H
#define EC_WINOGRAD_F32_H

#include "ec_conv_f32.h"

#define EC_WINOGRAD_PLACES 8 /* edge + 2 of the largest edge */
#define EC_WINOGRAD_GAP 16   /* floats between rows whose distance would else be a power of two */

/* In ec_conv_shape block_h counts the tiles of a block and block_c the panels that one unit of work computes from it. */
typedef struct {
    size_t down, across, count; /* tiles of an image by rows and columns, tiles of the whole batch */
    size_t row, place;          /* floats from tile to tile and from place to place in a transformed block */
    size_t product;             /* floats from tile to tile in the products of a panel */
    size_t parts, units;        /* units of a block, units in all */
} ec_winograd_plan;

EC_INLINE ec_winograd_plan ec_winograd_planned(const ec_conv_shape *s, int edge, int nv)
{
    ec_winograd_plan p;
    const size_t side = (size_t)edge, places = (side + 2) * (side + 2);
    p.down = ec_ceil_div(s->out_h, side);
    p.across = ec_ceil_div(s->out_w, side);
    p.count = s->batch * p.down * p.across;
    p.row = ec_ceil_div(s->in_c, EC_LANES) * EC_LANES + EC_WINOGRAD_GAP;
    p.place = s->block_h * p.row;
    p.product = places * (size_t)nv * EC_LANES + EC_WINOGRAD_GAP;
    p.parts = ec_ceil_div(ec_conv_panels(s, (size_t)nv * EC_LANES), s->block_c);
    p.units = ec_ceil_div(p.count, s->block_h) * p.parts;
    return p;
}

/* Floats of scratch that one call needs. */
EC_INLINE size_t ec_winograd_f32_scratch(const ec_conv_shape *s, int edge, int nv)
{
    const ec_winograd_plan p = ec_winograd_planned(s, edge, nv);
    return (size_t)((edge + 2) * (edge + 2)) * p.place + s->block_h * p.product;
}

/*
 * The points of interpolation are 0, plus and minus each of these, and infinity; few bits, so that what follows from them
 * is exact. Among such points these lose the least.
 */
static const float ec_winograd_points[3][3] = {{1.0f}, {0.625f, 1.5f}, {0.5f, 1.0f, 2.0f}};

/* Coefficients of the product of x - p^2 over all pairs of points but one (or over all), from the constant up; leading 1. */
static const float ec_winograd_whole[3][3] = {{-1.0f}, {0.87890625f, -2.640625f}, {-1.0f, 5.25f, -5.25f}};
static const float ec_winograd_without[3][3][2] = {
    {{0.0f}},
    {{-2.25f}, {-0.390625f}},
    {{4.0f, -5.0f}, {1.0f, -4.25f}, {0.25f, -1.25f}},
};

/* d[0] * c[0] + d[2] * c[1] + ... + d[2 * count]. */
EC_INLINE ec_f32 ec_winograd_polynomial(const ec_f32 *d, const float *c, int count)
{
    ec_f32 sum = d[2 * count];
    EC_UNROLL
    for (int i = 0; i < count; i++)
        sum = ec_f32_fma(ec_f32_set(c[i]), d[2 * i], sum);
    return sum;
}

/* One dimension of the transform of a tile: edge + 2 vectors to as many, points in the order 0, p, -p, ..., infinity. */
EC_INLINE void ec_winograd_forward(ec_f32 *v, const ec_f32 *d, int edge)
{
    const int pairs = edge / 2;
    v[0] = ec_winograd_polynomial(d, ec_winograd_whole[pairs - 1], pairs);
    v[edge + 1] = ec_winograd_polynomial(d + 1, ec_winograd_whole[pairs - 1], pairs);
    EC_UNROLL
    for (int i = 0; i < pairs; i++) {
        const float *c = ec_winograd_without[pairs - 1][i], point = ec_winograd_points[pairs - 1][i];
        const ec_f32 even = ec_winograd_polynomial(d + 2, c, pairs - 1);
        const ec_f32 odd = ec_winograd_polynomial(d + 1, c, pairs - 1);
        v[2 * i + 1] = ec_f32_fma(ec_f32_set(point), odd, even);
        v[2 * i + 2] = ec_f32_fma(ec_f32_set(-point), odd, even);
    }
}

/* One dimension of the transform back: edge + 2 vectors to edge. */
EC_INLINE void ec_winograd_back(ec_f32 *y, const ec_f32 *m, int edge)
{
    const int pairs = edge / 2;
    ec_f32 sums[3], differences[3];
    EC_UNROLL
    for (int i = 0; i < pairs; i++) {
        sums[i] = ec_f32_add(m[2 * i + 1], m[2 * i + 2]);
        differences[i] = ec_f32_sub(m[2 * i + 1], m[2 * i + 2]);
    }
    float powers[3] = {1.0f, 1.0f, 1.0f};
    EC_UNROLL
    for (int row = 0; row < edge; row++) {
        const ec_f32 *terms = row % 2 ? differences : sums;
        ec_f32 sum = row == 0 ? m[0] : row == edge - 1 ? m[edge + 1] : ec_f32_mul(ec_f32_set(powers[0]), terms[0]);
        EC_UNROLL
        for (int i = row == 0 || row == edge - 1 ? 0 : 1; i < pairs; i++)
            sum = ec_f32_fma(ec_f32_set(powers[i]), terms[i], sum);
        y[row] = sum;
        EC_UNROLL
        for (int i = 0; i < pairs; i++)
            powers[i] *= ec_winograd_points[pairs - 1][i];
    }
}

/* One vector of channels of one tile, of which `rows` by `columns` pixels lie inside the image. */
EC_INLINE void ec_winograd_load(const float *x, float *v, const ec_conv_shape *s, int edge, size_t place, size_t rows,
                                size_t columns, size_t lanes)
{
    const size_t places = (size_t)edge + 2;
    ec_f32 half[EC_WINOGRAD_PLACES * EC_WINOGRAD_PLACES];
    EC_ROLLED
    for (size_t j = 0; j < places; j++) {
        ec_f32 d[EC_WINOGRAD_PLACES], turned[EC_WINOGRAD_PLACES];
        EC_UNROLL
        for (size_t i = 0; i < places; i++)
            d[i] = i < rows && j < columns ? ec_f32_load_lanes(x + (ptrdiff_t)i * s->x_h + (ptrdiff_t)j * s->x_w, lanes)
                                           : ec_f32_set(0.0f);
        ec_winograd_forward(turned, d, edge);
        EC_UNROLL
        for (size_t i = 0; i < places; i++)
            half[i * places + j] = turned[i];
    }
    EC_ROLLED
    for (size_t i = 0; i < places; i++) {
        ec_f32 turned[EC_WINOGRAD_PLACES];
        ec_winograd_forward(turned, half + i * places, edge);
        EC_UNROLL
        for (size_t j = 0; j < places; j++)
            ec_f32_store(v + (i * places + j) * place, turned[j]);
    }
}

/* The transformed tiles first .. first + count - 1. */
EC_INLINE void ec_winograd_block(const float *x, float *v, const ec_conv_shape *s, int edge, const ec_winograd_plan *p,
                                 size_t first, size_t count)
{
    const size_t side = (size_t)edge, places = side + 2, tail = s->in_c % EC_LANES;
    EC_ROLLED
    for (size_t t = 0; t < count; t++) {
        const size_t n = (first + t) / (p->down * p->across), at = (first + t) % (p->down * p->across);
        const size_t h = at / p->across * side, w = at % p->across * side;
        const size_t rows = ec_min_size(places, s->out_h + 2 - h), columns = ec_min_size(places, s->out_w + 2 - w);
        const float *from = x + (ptrdiff_t)n * s->x_n + (ptrdiff_t)h * s->x_h + (ptrdiff_t)w * s->x_w;
        size_t c = 0;
        if (rows == places && columns == places) {
            EC_ROLLED
            for (; c + EC_LANES <= s->in_c; c += EC_LANES)
                ec_winograd_load(from + c, v + t * p->row + c, s, edge, p->place, places, places, EC_LANES);
        }
        EC_ROLLED
        for (; c + EC_LANES <= s->in_c; c += EC_LANES)
            ec_winograd_load(from + c, v + t * p->row + c, s, edge, p->place, rows, columns, EC_LANES);
        if (tail)
            ec_winograd_load(from + c, v + t * p->row + c, s, edge, p->place, rows, columns, tail);
    }
}

/* The products of mr tiles at one place with a panel of nv vectors. */
EC_INLINE void ec_winograd_product(const float *v, const float *w, float *m, const ec_conv_shape *s,
                                   const ec_winograd_plan *p, ec_conv_tile t)
{
    ec_f32 acc[EC_CONV_ACCUMULATORS];
    EC_UNROLL
    for (int i = 0; i < t.split * t.mr * t.nv; i++)
        acc[i] = ec_f32_set(0.0f);
    ec_conv_f32_run(acc, v, (ptrdiff_t)p->row, w, s->in_c, t);
    EC_UNROLL
    for (int i = 0; i < t.mr; i++) {
        EC_UNROLL
        for (int n = 0; n < t.nv; n++) {
            ec_f32 sum = acc[i * t.nv + n];
            EC_UNROLL
            for (int j = 1; j < t.split; j++)
                sum = ec_f32_add(sum, acc[(j * t.mr + i) * t.nv + n]);
            ec_f32_store(m + (size_t)i * p->product + n * EC_LANES, sum);
        }
    }
}

EC_INLINE ec_conv_tile ec_winograd_tile(const ec_conv_shape *s, int mr, int nv, size_t panel)
{
    const int split = mr == 0 ? 1 : ec_conv_split(s, mr, nv);
    const ec_conv_tile tile = {mr, nv, split, panel, EC_LANES};
    return tile;
}

/* All places of `count` tiles; w is the panel, of which nv vectors count. */
EC_INLINE void ec_winograd_products(const float *v, const float *w, float *m, const ec_conv_shape *s, int edge,
                                    const ec_winograd_plan *p, int mr, int nv, size_t panel, size_t count)
{
    const size_t places = (size_t)((edge + 2) * (edge + 2)), whole = count - count % (size_t)mr;
    const int rest = (int)(s->block_h % (size_t)mr), last = (int)(p->count % s->block_h % (size_t)mr);
    EC_ROLLED
    for (size_t place = 0; place < places; place++, v += p->place, w += s->in_c * panel, m += panel) {
        EC_ROLLED
        for (size_t t = 0; t < whole; t += (size_t)mr)
            ec_winograd_product(v + t * p->row, w, m + t * p->product, s, p, ec_winograd_tile(s, mr, nv, panel));
        if (rest && count == s->block_h)
            ec_winograd_product(v + whole * p->row, w, m + whole * p->product, s, p,
                                ec_winograd_tile(s, rest, nv, panel));
        if (last && count != s->block_h)
            ec_winograd_product(v + whole * p->row, w, m + whole * p->product, s, p,
                                ec_winograd_tile(s, last, nv, panel));
    }
}

/* One vector of channels of one tile, of which `rows` by `columns` outputs lie inside the image. */
EC_INLINE void ec_winograd_store(const float *m, ec_f32 bias, float *y, const ec_conv_shape *s, int edge, size_t panel,
                                 ec_epilogue epilogue, const void *context, ec_conv_place at, size_t rows,
                                 size_t columns, size_t lanes)
{
    const size_t side = (size_t)edge, places = side + 2;
    ec_f32 half[EC_WINOGRAD_PLACES * EC_WINOGRAD_PLACES];
    EC_ROLLED
    for (size_t j = 0; j < places; j++) {
        ec_f32 d[EC_WINOGRAD_PLACES], turned[EC_WINOGRAD_PLACES];
        EC_UNROLL
        for (size_t i = 0; i < places; i++)
            d[i] = ec_f32_load(m + (i * places + j) * panel);
        ec_winograd_back(turned, d, edge);
        EC_UNROLL
        for (size_t i = 0; i < side; i++)
            half[i * places + j] = turned[i];
    }
    EC_ROLLED
    for (size_t i = 0; i < rows; i++) {
        ec_f32 turned[EC_WINOGRAD_PLACES];
        ec_winograd_back(turned, half + i * places, edge);
        EC_UNROLL
        for (size_t j = 0; j < side; j++) {
            if (j < columns) {
                const ec_f32 value = ec_f32_add(turned[j], bias);
                ec_f32_store_lanes(y + (ptrdiff_t)i * s->y_h + (ptrdiff_t)j * s->y_w,
                                   epilogue(value, context, at.n, at.h + i, at.w + j, at.c, lanes), lanes);
            }
        }
    }
}

/* One panel of nv vectors, the last of `tail` channels, of the tiles first .. first + count - 1; at.c is its first channel. */
EC_INLINE void ec_winograd_panel(const float *v, const float *w, const float *bias, float *y, float *m,
                                 const ec_conv_shape *s, int edge, const ec_winograd_plan *p, int mr, int nv,
                                 size_t panel, size_t tail, ec_epilogue epilogue, const void *context, size_t c,
                                 size_t first, size_t count)
{
    const size_t side = (size_t)edge;
    ec_winograd_products(v, w, m, s, edge, p, mr, nv, panel, count);
    EC_ROLLED
    for (size_t t = 0; t < count; t++) {
        const size_t n = (first + t) / (p->down * p->across), in = (first + t) % (p->down * p->across);
        ec_conv_place at = {n, in / p->across * side, in % p->across * side, c};
        const size_t rows = ec_min_size(side, s->out_h - at.h), columns = ec_min_size(side, s->out_w - at.w);
        float *to = y + (ptrdiff_t)n * s->y_n + (ptrdiff_t)at.h * s->y_h + (ptrdiff_t)at.w * s->y_w + (ptrdiff_t)c;
        for (int i = 0; i < nv; i++, at.c += EC_LANES, to += EC_LANES) {
            const ec_f32 b = bias ? ec_f32_load(bias + c + (size_t)i * EC_LANES) : ec_f32_set(0.0f);
            const float *from = m + t * p->product + (size_t)i * EC_LANES;
            if (i == nv - 1 && tail != EC_LANES)
                ec_winograd_store(from, b, to, s, edge, panel, epilogue, context, at, rows, columns, tail);
            else
                ec_winograd_store(from, b, to, s, edge, panel, epilogue, context, at, rows, columns, EC_LANES);
        }
    }
}

/*
 * Computes the parts begin .. end - 1 of `tasks` equal ones, which write disjoint parts of y. The bits do not depend on how
 * they are divided. scratch: ec_winograd_f32_scratch floats for each task, of which a call uses those of its first.
 */
EC_INLINE void ec_winograd_f32(const float *x, const float *w, const float *bias, float *y, float *scratch,
                               const ec_conv_shape *s, int edge, int mr, int nv, ec_epilogue epilogue,
                               const void *context, size_t tasks, size_t begin, size_t end)
{
    const ec_winograd_plan p = ec_winograd_planned(s, edge, nv);
    const size_t panel = (size_t)nv * EC_LANES, panels = ec_conv_panels(s, panel), full = s->out_c / panel;
    const size_t places = (size_t)((edge + 2) * (edge + 2)), left = s->out_c % panel;
    float *v = scratch + begin * ec_winograd_f32_scratch(s, edge, nv), *m = v + places * p.place;
    size_t first = p.count, count = 0;
    EC_ROLLED
    for (size_t unit = begin * p.units / tasks; unit < end * p.units / tasks; unit++) {
        if (first != unit / p.parts * s->block_h) {
            first = unit / p.parts * s->block_h;
            count = ec_min_size(s->block_h, p.count - first);
            ec_winograd_block(x, v, s, edge, &p, first, count);
        }
        const size_t start = unit % p.parts * s->block_c, stop = ec_min_size(start + s->block_c, panels);
        EC_ROLLED
        for (size_t i = start; i < ec_min_size(stop, full); i++)
            ec_winograd_panel(v, w + i * places * s->in_c * panel, bias, y, m, s, edge, &p, mr, nv, panel, EC_LANES,
                              epilogue, context, i * panel, first, count);
        if (left && stop == panels) {
            const int vectors = (int)ec_ceil_div(left, EC_LANES);
            ec_winograd_panel(v, w + full * places * s->in_c * panel, bias, y, m, s, edge, &p, mr, vectors, panel,
                              left - (size_t)(vectors - 1) * EC_LANES, epilogue, context, full * panel, first, count);
        }
    }
}

#endif
