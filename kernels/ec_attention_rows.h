/*
 * What attention does to the rows of a task for each block of keys, whichever elements its lanes hold: bounds, bias and
 * exponentials of scores, and their product with the values on top of the results so far.
 */
#ifndef EC_ATTENTION_ROWS_H
#define EC_ATTENTION_ROWS_H

#include "ec_conv_f32.h"
#include "ec_math.h"

#define EC_ATTENTION_QUERIES 128 /* at most, of a task */

typedef struct {
    size_t batch, heads, sharing; /* heads of queries, and how many of them read one head of keys and values */
    size_t queries, keys, depth, width;
    ptrdiff_t q_b, q_h, q_m, k_b, k_h, k_n, v_b, v_h, v_n, y_b, y_h, y_m; /* strides, in elements */
    ptrdiff_t bias_b, bias_h, bias_m, bias_n;
    float scale, cap;   /* cap: the bound of a hyperbolic tangent around the scores, or 0 */
    int causal;         /* query i sees the keys before i + 1 + keys - queries */
    int replaces;       /* a bias other than 0 is taken instead of the score */
    int blank;          /* rows without a number become 0 */
    int unseen;         /* rows whose bias is minus infinity throughout become 0 */
    size_t rows, block; /* queries of a task, keys of a block */
    int open;           /* EC_OPEN_ATTENTION_...: sizes that are no constants */
} ec_attention_shape;

#define EC_OPEN_ATTENTION_QUERIES 1
#define EC_OPEN_ATTENTION_KEYS 2

/* Tiles: of scores mr times nv, of results value_mr times value_nv. */
typedef struct {
    int mr, nv, value_mr, value_nv;
} ec_attention_tiles;

/* Queries first .. first + count - 1 of one head, and how far the softmax of each got. */
typedef struct {
    const float *q, *k, *v, *bias;
    float *y;
    size_t first, count;
    float top[EC_ATTENTION_QUERIES], total[EC_ATTENTION_QUERIES];
    float shown[EC_ATTENTION_QUERIES];                               /* the largest bias, where that matters */
    float before[EC_ATTENTION_QUERIES], after[EC_ATTENTION_QUERIES]; /* factors of results so far, of the last ones */
} ec_attention_rows;

EC_INLINE size_t ec_attention_f32_tasks(const ec_attention_shape *s)
{
    return s->batch * s->heads * ec_ceil_div(s->queries, s->rows);
}

/* Points to the task's operands; `count` and `first` are to be set. */
EC_INLINE void ec_attention_point(ec_attention_rows *r, const float *q, const float *k, const float *v,
                                  const float *bias, float *y, const ec_attention_shape *s, size_t head)
{
    const ptrdiff_t b = (ptrdiff_t)(head / s->heads), h = (ptrdiff_t)(head % s->heads), g = h / (ptrdiff_t)s->sharing;
    r->q = q + b * s->q_b + h * s->q_h;
    r->k = k + b * s->k_b + g * s->k_h;
    r->v = v + b * s->v_b + g * s->v_h;
    r->bias = bias ? bias + b * s->bias_b + h * s->bias_h : NULL;
    r->y = y + b * s->y_b + h * s->y_h;
}

/* What a causal mask leaves of the keys for queries before `end`; one even where none is seen. */
EC_INLINE size_t ec_attention_seen(const ec_attention_shape *s, size_t end)
{
    if (!s->causal)
        return s->keys;
    const size_t seen = end + s->keys > s->queries ? end + s->keys - s->queries : 0;
    return seen > 0 ? ec_min_size(seen, s->keys) : 1;
}

EC_INLINE ec_f32 ec_attention_places(float first)
{
    float lanes[EC_LANES];
    for (int i = 0; i < EC_LANES; i++)
        lanes[i] = (float)i;
    return ec_f32_add(ec_f32_load(lanes), ec_f32_set(first));
}

/* Whether scores need more than their maximum. */
EC_INLINE int ec_attention_changes(const ec_attention_shape *s, const float *bias)
{
    return s->cap != 0.0f || bias != NULL || s->causal;
}

/* A score with its bound and bias. */
EC_INLINE ec_f32 ec_attention_score(ec_f32 score, const ec_attention_shape *s, const float *bias, ec_f32 other)
{
    if (s->cap != 0.0f)
        score = ec_f32_mul(ec_f32_tanh(ec_f32_mul(score, ec_f32_set(1.0f / s->cap))), ec_f32_set(s->cap));
    if (!bias)
        return score;
    return s->replaces ? ec_f32_select(ec_f32_eq(other, ec_f32_set(0.0f)), score, other) : ec_f32_add(score, other);
}

/* Lanes of the bias that are `stride` apart: side by side, the same for all, or in any distance. */
EC_INLINE ec_f32 ec_attention_bias(const float *bias, ptrdiff_t stride, size_t lanes)
{
    if (stride == 0)
        return ec_f32_load_same(bias);
    if (stride == 1)
        return lanes == EC_LANES ? ec_f32_load(bias) : ec_f32_load_tail(bias, lanes);
    return ec_f32_load_strided_tail(bias, stride, lanes);
}

/* exp(x) for x from minus infinity to 0; below -86 it is 0. Otherwise as ec_f32_exp. */
EC_INLINE ec_f32 ec_attention_exp(ec_f32 x)
{
    /* 1.5 * 2^23 + 127 pushes the fraction out and leaves the exponent of the power of two in the lowest bits. */
    const ec_f32 shift = ec_f32_set(12583039.0f), least = ec_f32_set(-86.0f);
    ec_f32 inside = ec_f32_max(least, x), shifted = ec_f32_fma(inside, ec_f32_set(1.44269504f), shift);
    ec_f32 n = ec_f32_sub(shifted, shift);
    ec_f32 r = ec_f32_fma(n, ec_f32_set(-0.693359375f), inside);
    r = ec_f32_fma(n, ec_f32_set(2.12194440e-4f), r);
    ec_f32 p = EC_POLYNOMIAL(r, 0.00139447034f, 0.00833349768f, 0.0416662954f, 0.166666657f, 0.5f);
    p = ec_f32_add(ec_f32_fma(ec_f32_mul(r, r), p, r), ec_f32_set(1.0f));
    p = ec_f32_mul(p, ec_i32_as_f32(ec_i32_shl(ec_f32_bits(shifted), 23)));
    return ec_f32_select(ec_f32_lt(x, least), ec_f32_set(0.0f), p);
}

/* What exponents are taken relative to: the maximum, but 0 where everything is hidden. */
EC_INLINE ec_f32 ec_attention_reference(ec_f32 top)
{
    return ec_f32_select(ec_f32_eq(top, ec_f32_set(-INFINITY)), ec_f32_set(0.0f), top);
}

/* One over a sum; 0 for rows that are to become 0. */
EC_INLINE ec_f32 ec_attention_inverse(const ec_attention_shape *s, ec_f32 total, ec_f32 shown)
{
    const ec_f32 zero = ec_f32_set(0.0f), inverse = ec_f32_div(ec_f32_set(1.0f), total);
    if (s->unseen)
        return ec_f32_select(ec_f32_eq(shown, ec_f32_set(-INFINITY)), zero, inverse);
    return s->blank ? ec_f32_select(ec_f32_gt(total, zero), inverse, zero) : inverse;
}

/* The product of rows of `depth` elements with a panel, as a convolution has it. */
EC_INLINE ec_conv_shape ec_attention_product(const ec_attention_shape *s, size_t rows, ptrdiff_t from, ptrdiff_t to,
                                             int open)
{
    const ec_conv_shape product = {.batch = 1,
                                   .groups = 1,
                                   .out_h = 1,
                                   .out_w = rows,
                                   .out_c = EC_LANES,
                                   .in_c = s->depth,
                                   .kernel_h = 1,
                                   .kernel_w = 1,
                                   .stride_h = 1,
                                   .stride_w = 1,
                                   .dilation_h = 1,
                                   .dilation_w = 1,
                                   .x_w = from,
                                   .y_w = to,
                                   .block_h = 1,
                                   .block_c = 1,
                                   .open = open};
    return product;
}

/* The sum over keys of parts[row * p_m + key * p_n] * v[key] for mr rows and nv vectors, on top of y * before. */
EC_INLINE void ec_attention_tile(float *y, ptrdiff_t y_m, const float *parts, ptrdiff_t p_m, ptrdiff_t p_n,
                                 const float *v, ptrdiff_t v_n, size_t keys, const float *before, const float *after,
                                 int blank, int mr, int nv, int split, size_t tail)
{
    ec_f32 acc[EC_CONV_ACCUMULATORS];
    EC_UNROLL
    for (int i = 0; i < split * mr * nv; i++)
        acc[i] = ec_f32_set(0.0f);
    size_t key = 0;
    for (int j = split; j > 0; j = j > 1 ? 1 : 0) {
        EC_ROLLED
        for (; key + (size_t)j <= keys; key += (size_t)j) {
            EC_UNROLL
            for (int part = 0; part < split; part++) {
                if (part >= j)
                    continue;
                ec_f32 columns[8];
                const float *from = v + (ptrdiff_t)(key + (size_t)part) * v_n;
                EC_UNROLL
                for (int c = 0; c < 8; c++) {
                    columns[c] = c < nv ? ec_f32_load_lanes(from + c * EC_LANES, c == nv - 1 ? tail : EC_LANES)
                                        : ec_f32_set(0.0f);
                    if (c < nv && mr > 1)
                        EC_F32_KEEP(columns[c]);
                }
                EC_UNROLL
                for (int i = 0; i < mr; i++) {
                    ec_f32 value = ec_f32_load_same(parts + i * p_m + (ptrdiff_t)(key + (size_t)part) * p_n);
                    EC_UNROLL
                    for (int c = 0; c < nv; c++) {
                        const int at = (part * mr + i) * nv + c;
                        acc[at] = ec_f32_fma(value, columns[c], acc[at]);
                    }
                }
            }
        }
    }
    EC_UNROLL
    for (int i = 0; i < mr; i++) {
        EC_UNROLL
        for (int c = 0; c < nv; c++) {
            const size_t lanes = c == nv - 1 ? tail : EC_LANES;
            float *to = y + i * y_m + c * EC_LANES;
            ec_f32 sum = acc[i * nv + c];
            EC_UNROLL
            for (int part = 1; part < split; part++)
                sum = ec_f32_add(sum, acc[(part * mr + i) * nv + c]);
            if (before)
                sum = ec_f32_fma(ec_f32_load_lanes(to, lanes), ec_f32_load_same(before + i), sum);
            if (after) {
                const ec_f32 factor = ec_f32_load_same(after + i), zero = ec_f32_set(0.0f);
                sum = ec_f32_mul(sum, factor);
                sum = blank ? ec_f32_select(ec_f32_eq(factor, zero), zero, sum) : sum;
            }
            ec_f32_store_lanes(to, sum, lanes);
        }
    }
}

/* The same for nv vectors of the rows row .. end - 1, mr at a time; gives the row behind the last whole tile. */
EC_INLINE size_t ec_attention_tile_rows(ec_attention_rows *r, const ec_attention_shape *s, const float *parts,
                                        ptrdiff_t p_m, ptrdiff_t p_n, const float *v, float *y, size_t keys, int begins,
                                        int ends, int mr, int nv, size_t tail, size_t row)
{
    EC_ROLLED
    for (; row + (size_t)mr <= r->count; row += (size_t)mr)
        ec_attention_tile(y + (ptrdiff_t)row * s->y_m, s->y_m, parts + (ptrdiff_t)row * p_m, p_m, p_n, v, s->v_n, keys,
                          begins ? NULL : r->before + row, ends ? r->after + row : NULL, s->blank || s->unseen, mr, nv,
                          mr * nv >= 4 ? 1 : 4 / (mr * nv), tail);
    return row;
}

/* The same for nv vectors of all rows. */
EC_INLINE void ec_attention_panel(ec_attention_rows *r, const ec_attention_shape *s, const float *parts, ptrdiff_t p_m,
                                  ptrdiff_t p_n, const float *v, float *y, size_t keys, int begins, int ends, int mr,
                                  int nv, size_t tail)
{
    size_t row = ec_attention_tile_rows(r, s, parts, p_m, p_n, v, y, keys, begins, ends, mr, nv, tail, 0);
    if (mr >= 4)
        row = ec_attention_tile_rows(r, s, parts, p_m, p_n, v, y, keys, begins, ends, mr / 2, nv, tail, row);
    if (mr > 1)
        ec_attention_tile_rows(r, s, parts, p_m, p_n, v, y, keys, begins, ends, 1, nv, tail, row);
}

/* Adds the part of keys first .. first + keys - 1 to the results of all rows. */
EC_INLINE void ec_attention_results(ec_attention_rows *r, const ec_attention_shape *s, const float *parts,
                                    ptrdiff_t p_m, ptrdiff_t p_n, size_t first, size_t keys, int ends,
                                    ec_attention_tiles t)
{
    const size_t panel = (size_t)t.value_nv * EC_LANES, whole = s->width / panel * panel, left = s->width - whole;
    const float *v = r->v + (ptrdiff_t)first * s->v_n;
    float *y = r->y + (ptrdiff_t)r->first * s->y_m;
    EC_ROLLED
    for (size_t c = 0; c < whole; c += panel)
        ec_attention_panel(r, s, parts, p_m, p_n, v + c, y + c, keys, first == 0, ends, t.value_mr, t.value_nv,
                           EC_LANES);
    if (left) {
        const int vectors = (int)ec_ceil_div(left, EC_LANES);
        ec_attention_panel(r, s, parts, p_m, p_n, v + whole, y + whole, keys, first == 0, ends, t.value_mr, vectors,
                           left - (size_t)(vectors - 1) * EC_LANES);
    }
}

#endif
