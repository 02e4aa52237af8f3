/*
 * A matrix product with constant sparse weights: a 1x1 convolution, or rows times a matrix.
 *
 * Vectors run along pixels, so that each weight that is not zero costs one broadcast, whatever its neighbours are. A task is
 * a tile of nv vectors of pixels. Its input is turned to [k][pixel] in blocks of block_k channels that stay in L1; sums are
 * kept as [channel][pixel] for block_c channels and turned back when they are stored through the epilogue.
 *
 * Weights: for each block_c outputs, for each block_k inputs, for each output the number of weights (`counts`), and one
 * behind the other these weights (`values`) and their places in the block of inputs (`places`). bias: [out_c] or NULL.
 * The shape, nv and the epilogue must be compile-time constants.
 */
#ifndef EC_SPARSE_F32_H
#define EC_SPARSE_F32_H

#include "ec_shape.h"
#include "ec_transpose_f32.h"

#define EC_SPARSE_X 8192 /* floats of a block of inputs: block_k * nv * EC_LANES is no more */
#define EC_SPARSE_Y 4096 /* floats of a block of sums: block_c * nv * EC_LANES is no more */

typedef struct {
    size_t batch, out_h, out_w, in_c, out_c;
    ptrdiff_t x_n, x_h, x_w, y_n, y_h, y_w; /* elements from image to image, row to row, pixel to pixel of the output */
    size_t block_k, block_c; /* block_k is at most 256; block_c is a multiple of EC_LANES or all of out_c */
} ec_sparse_shape;

/* The weights that are still to be read. */
typedef struct {
    const float *values;
    const uint8_t *places;
    const uint16_t *counts;
} ec_sparse_weights;

EC_INLINE size_t ec_sparse_f32_tasks(const ec_sparse_shape *s, int nv)
{
    return s->batch * ec_ceil_div(s->out_h * s->out_w, (size_t)nv * EC_LANES);
}

/* Sums kept apart along k: one chain of fma would wait for its own latency. */
EC_INLINE int ec_sparse_split(int nv)
{
    const int split = nv >= 8 ? 1 : nv >= 3 ? 2 : 4;
    return split * nv + 2 <= EC_REGISTERS ? split : 1;
}

/* tile[k][pixel] of edge pixels that need not lie in one row; places beyond the last pixel repeat it. */
EC_INLINE void ec_sparse_gather(const float *x, float *tile, const ec_sparse_shape *s, size_t first, size_t last,
                                size_t width, size_t depth)
{
    const float *pixels[EC_TRANSPOSE_EDGE];
    float square[EC_TRANSPOSE_EDGE * EC_TRANSPOSE_EDGE];
    for (size_t i = 0; i < EC_TRANSPOSE_EDGE; i++) {
        const size_t p = ec_min_size(first + i, last);
        pixels[i] = x + (ptrdiff_t)(p / s->out_w) * s->x_h + (ptrdiff_t)(p % s->out_w) * s->x_w;
    }
    const size_t whole = depth / EC_TRANSPOSE_EDGE * EC_TRANSPOSE_EDGE;
    for (size_t k = 0; k < whole; k += EC_TRANSPOSE_EDGE) {
        for (size_t i = 0; i < EC_TRANSPOSE_EDGE; i++)
            for (size_t j = 0; j < EC_TRANSPOSE_EDGE; j++)
                square[i * EC_TRANSPOSE_EDGE + j] = pixels[i][k + j];
        ec_f32_transpose(square, EC_TRANSPOSE_EDGE, tile + k * width, (ptrdiff_t)width);
    }
    for (size_t k = whole; k < depth; k++)
        for (size_t i = 0; i < EC_TRANSPOSE_EDGE; i++)
            tile[k * width + i] = pixels[i][k];
}

/* tile[k][pixel] for `width` pixels from the pixel `first` on. */
EC_INLINE void ec_sparse_load(const float *x, float *tile, const ec_sparse_shape *s, size_t first, size_t width,
                              size_t depth)
{
    const size_t edge = EC_TRANSPOSE_EDGE, last = s->out_h * s->out_w - 1, whole = depth / edge * edge;
    EC_ROLLED
    for (size_t p = 0; p < width; p += edge) {
        const size_t h = (first + p) / s->out_w, w = (first + p) % s->out_w;
        if (first + p + edge - 1 > last || w + edge > s->out_w) {
            ec_sparse_gather(x, tile + p, s, first + p, last, width, depth);
            continue;
        }
        const float *from = x + (ptrdiff_t)h * s->x_h + (ptrdiff_t)w * s->x_w;
        EC_ROLLED
        for (size_t k = 0; k < whole; k += edge)
            ec_f32_transpose(from + k, s->x_w, tile + k * width + p, (ptrdiff_t)width);
        for (size_t k = whole; k < depth; k++)
            for (size_t i = 0; i < edge; i++)
                tile[k * width + p + i] = from[(ptrdiff_t)i * s->x_w + (ptrdiff_t)k];
    }
}

/* sums += the products of one output, for all pixels of the tile; first: sums starts at `start` instead. */
EC_INLINE void ec_sparse_sum(float *sums, const float *tile, const float *values, const uint8_t *places, size_t count,
                             int nv, int first, float start)
{
    const int split = ec_sparse_split(nv);
    const size_t width = (size_t)nv * EC_LANES;
    ec_f32 acc[16];
    EC_UNROLL
    for (int v = 0; v < nv; v++)
        acc[v] = first ? ec_f32_set(start) : ec_f32_load(sums + v * EC_LANES);
    EC_UNROLL
    for (int v = nv; v < split * nv; v++)
        acc[v] = ec_f32_set(0.0f);
    size_t i = 0;
    EC_ROLLED
    for (; i + (size_t)split <= count; i += (size_t)split) {
        EC_UNROLL
        for (int j = 0; j < split; j++) {
            const float *row = tile + places[i + (size_t)j] * width;
            const ec_f32 value = ec_f32_load_same(values + i + j);
            EC_UNROLL
            for (int v = 0; v < nv; v++)
                acc[j * nv + v] = ec_f32_fma(value, ec_f32_load(row + v * EC_LANES), acc[j * nv + v]);
        }
    }
    EC_ROLLED
    for (; i < count; i++) {
        const ec_f32 value = ec_f32_load_same(values + i);
        EC_UNROLL
        for (int v = 0; v < nv; v++)
            acc[v] = ec_f32_fma(value, ec_f32_load(tile + places[i] * width + v * EC_LANES), acc[v]);
    }
    EC_UNROLL
    for (int v = nv; v < split * nv; v++)
        acc[v % nv] = ec_f32_add(acc[v % nv], acc[v]);
    EC_UNROLL
    for (int v = 0; v < nv; v++)
        ec_f32_store(sums + v * EC_LANES, acc[v]);
}

/* Turns up to EC_LANES channels of sums into pixels and stores them: `count` pixels, channels from c on. */
EC_INLINE void ec_sparse_store(const float *sums, float *y, const ec_sparse_shape *s, size_t n, size_t first,
                               size_t count, size_t width, size_t c, size_t lanes, ec_epilogue epilogue,
                               const void *context)
{
    float turned[EC_TRANSPOSE_EDGE * EC_LANES];
    EC_ROLLED
    for (size_t p = 0; p < count; p += EC_TRANSPOSE_EDGE) {
        EC_UNROLL
        for (size_t i = 0; i < EC_LANES; i += EC_TRANSPOSE_EDGE)
            ec_f32_transpose(sums + i * width + p, (ptrdiff_t)width, turned + i, EC_LANES);
        EC_ROLLED
        for (size_t i = 0; i < ec_min_size(EC_TRANSPOSE_EDGE, count - p); i++) {
            const size_t h = (first + p + i) / s->out_w, w = (first + p + i) % s->out_w;
            const ec_f32 value = epilogue(ec_f32_load(turned + i * EC_LANES), context, n, h, w, c, lanes);
            ec_f32_store_lanes(y + (ptrdiff_t)h * s->y_h + (ptrdiff_t)w * s->y_w + (ptrdiff_t)c, value, lanes);
        }
    }
}

/* The sums of `rows` outputs from the output c on, over all inputs; returns the weights behind them. */
EC_INLINE ec_sparse_weights ec_sparse_block(const float *x, float *tile, float *sums, ec_sparse_weights w,
                                            const float *bias, const ec_sparse_shape *s, int nv, size_t first, size_t c,
                                            size_t rows)
{
    const size_t width = (size_t)nv * EC_LANES;
    EC_ROLLED
    for (size_t k = 0; k < s->in_c; k += s->block_k) {
        if (c == 0 || s->block_k < s->in_c)
            ec_sparse_load(x + k, tile, s, first, width, ec_min_size(s->block_k, s->in_c - k));
        EC_ROLLED
        for (size_t row = 0; row < rows; row++) {
            const size_t count = *w.counts++;
            if (k == 0)
                ec_sparse_sum(sums + row * width, tile, w.values, w.places, count, nv, 1, bias ? bias[c + row] : 0.0f);
            else if (count)
                ec_sparse_sum(sums + row * width, tile, w.values, w.places, count, nv, 0, 0.0f);
            w.values += count;
            w.places += count;
        }
    }
    return w;
}

/* A tile of `count` pixels, which nv vectors hold, from the pixel `first` on. */
EC_INLINE void ec_sparse_tile(const float *x, ec_sparse_weights w, const float *bias, float *y,
                              const ec_sparse_shape *s, int nv, ec_epilogue epilogue, const void *context, size_t n,
                              size_t first, size_t count)
{
    _Alignas(64) float tile[EC_SPARSE_X];
    _Alignas(64) float sums[EC_SPARSE_Y];
    const size_t width = (size_t)nv * EC_LANES;
    EC_ROLLED
    for (size_t c = 0; c < s->out_c; c += s->block_c) {
        const size_t rows = ec_min_size(s->block_c, s->out_c - c), whole = rows / EC_LANES * EC_LANES;
        w = ec_sparse_block(x, tile, sums, w, bias, s, nv, first, c, rows);
        EC_ROLLED
        for (size_t row = 0; row < whole; row += EC_LANES)
            ec_sparse_store(sums + row * width, y, s, n, first, count, width, c + row, EC_LANES, epilogue, context);
        if (rows > whole) {
            for (size_t i = rows * width; i < (whole + EC_LANES) * width; i++)
                sums[i] = 0.0f;
            ec_sparse_store(sums + whole * width, y, s, n, first, count, width, c + whole, rows - whole, epilogue,
                            context);
        }
    }
}

/* Computes the tasks begin .. end - 1 of ec_sparse_f32_tasks; tasks write disjoint parts of y. */
EC_INLINE void ec_sparse_f32(const float *x, const float *values, const uint8_t *places, const uint16_t *counts,
                             const float *bias, float *y, const ec_sparse_shape *s, int nv, ec_epilogue epilogue,
                             const void *context, size_t begin, size_t end)
{
    const size_t width = (size_t)nv * EC_LANES, pixels = s->out_h * s->out_w, tiles = ec_ceil_div(pixels, width);
    const size_t left = pixels % width;
    const ec_sparse_weights w = {values, places, counts};
    EC_ROLLED
    for (size_t task = begin; task < end; task++) {
        const size_t n = task / tiles, first = task % tiles * width;
        const float *from = x + (ptrdiff_t)n * s->x_n;
        float *to = y + (ptrdiff_t)n * s->y_n;
        if (first + width <= pixels)
            ec_sparse_tile(from, w, bias, to, s, nv, epilogue, context, n, first, width);
        else
            ec_sparse_tile(from, w, bias, to, s, (int)ec_ceil_div(left, EC_LANES), epilogue, context, n, first, left);
    }
}

/* The products of one output for a single pixel; four sums, so that none waits for the one before. */
EC_INLINE float ec_sparse_dot(const float *x, const float *values, const uint8_t *places, size_t count)
{
    float sums[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    size_t i = 0;
    EC_ROLLED
    for (; i + 4 <= count; i += 4) {
        EC_UNROLL
        for (size_t j = 0; j < 4; j++)
            sums[j] += x[places[i + j]] * values[i + j];
    }
    for (; i < count; i++)
        sums[0] += x[places[i]] * values[i];
    return sums[0] + sums[1] + (sums[2] + sums[3]);
}

/* Tasks of ec_sparse_vector_f32: blocks of outputs. */
EC_INLINE size_t ec_sparse_vector_f32_tasks(const ec_sparse_shape *s) { return ec_ceil_div(s->out_c, s->block_c); }

/*
 * The same for one pixel: each weight is multiplied for itself, but only those that are not zero are read. A task is a block
 * of block_c outputs, whose weights begin at starts[task]; block_c is at most EC_SPARSE_Y and a multiple of EC_LANES.
 */
EC_INLINE void ec_sparse_vector_f32(const float *x, const float *values, const uint8_t *places, const uint16_t *counts,
                                    const int32_t *starts, const float *bias, float *y, const ec_sparse_shape *s,
                                    ec_epilogue epilogue, const void *context, size_t begin, size_t end)
{
    float sums[EC_SPARSE_Y];
    EC_ROLLED
    for (size_t task = begin; task < end; task++) {
        const size_t c = task * s->block_c, rows = ec_min_size(s->block_c, s->out_c - c);
        const uint16_t *count = counts + c * ec_ceil_div(s->in_c, s->block_k);
        size_t at = (size_t)starts[task];
        for (size_t row = 0; row < rows; row++)
            sums[row] = bias ? bias[c + row] : 0.0f;
        EC_ROLLED
        for (size_t k = 0; k < s->in_c; k += s->block_k) {
            EC_ROLLED
            for (size_t row = 0; row < rows; row++) {
                sums[row] += ec_sparse_dot(x + k, values + at, places + at, *count);
                at += *count++;
            }
        }
        EC_ROLLED
        for (size_t row = 0; row < rows; row += EC_LANES) {
            const size_t lanes = ec_min_size(EC_LANES, rows - row);
            const ec_f32 value = epilogue(ec_f32_load_lanes(sums + row, lanes), context, 0, 0, 0, c + row, lanes);
            ec_f32_store_lanes(y + c + row, value, lanes);
        }
    }
}

#endif
