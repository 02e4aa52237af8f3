/*
 * softmax(scale * q k^T + bias) v without the matrix of scores: a task computes a few queries of one head, block by block
 * of the keys, and keeps the scores of a block in L1. Between blocks the results so far are scaled to the new maximum
 * (Milakov and Gimelshein, 2018; Dao et al., 2022).
 *
 * ec_attention_f32 holds queries in the lanes: scores lie as [key][query], so that neither keys nor values are packed and
 * no reduction crosses lanes. ec_attention_few_f32 holds keys in the lanes, for a decoder's one query.
 * The elements of one query, key, value and result lie side by side. The shape and the tiles must be constants.
 */
#ifndef EC_ATTENTION_F32_H
#define EC_ATTENTION_F32_H

#include "ec_attention_rows.h"
#include "ec_pack_f32.h"

#define EC_ATTENTION_FLOATS 10240 /* of a task: queries and scores */

/* --- queries in the lanes ------------------------------------------------------------------------------------------ */

/* Scaled queries in panels [panel][depth][nv * EC_LANES], with zeros behind the last. */
EC_INLINE void ec_attention_pack(const float *q, float *packed, const ec_attention_shape *s, size_t count, int nv)
{
    const size_t panel = (size_t)nv * EC_LANES;
    const ec_f32 scale = ec_f32_set(s->scale);
    ec_pack_panels_f32(q, packed, s->depth, count, 1, s->q_m, nv);
    if (s->scale != 1.0f) {
        EC_ROLLED
        for (size_t i = 0; i < ec_ceil_div(count, panel) * panel * s->depth; i += EC_LANES)
            ec_f32_store(packed + i, ec_f32_mul(ec_f32_load(packed + i), scale));
    }
}

/* Scores [keys][stride] of the keys from `first` on. */
EC_INLINE void ec_attention_scores(const ec_attention_rows *r, const float *packed, float *scores,
                                   const ec_attention_shape *s, size_t first, size_t keys, size_t stride,
                                   ec_attention_tiles t)
{
    const size_t panel = (size_t)t.nv * EC_LANES;
    const int even = !s->causal && !(s->open & EC_OPEN_ATTENTION_KEYS) && s->keys % s->block == 0;
    const ec_conv_shape product =
        ec_attention_product(s, even ? s->block : keys, s->k_n, (ptrdiff_t)stride, even ? 0 : EC_OPEN_W);
    const ec_conv_place at = {0, 0, 0, 0};
    const float *k = r->k + (ptrdiff_t)first * s->k_n;
    EC_ROLLED
    for (size_t p = 0; p < r->count; p += panel) {
        const ec_weights queries = ec_weights_f32(packed + p * s->depth);
        if (t.nv > 1 && r->count - p <= EC_LANES)
            ec_conv_f32_rows(k, queries, NULL, scores + p, &product, t.mr, 1, panel, EC_LANES, ec_epilogue_none, NULL,
                             at, 1);
        else
            ec_conv_f32_rows(k, queries, NULL, scores + p, &product, t.mr, t.nv, panel, EC_LANES, ec_epilogue_none,
                             NULL, at, 1);
    }
}

/* One vector of queries: bias, maximum, exponentials and their sum, in place. */
EC_INLINE void ec_attention_soften(ec_attention_rows *r, float *scores, const ec_attention_shape *s, size_t first,
                                   size_t keys, size_t stride, size_t at, int masks)
{
    const size_t lanes = ec_min_size(EC_LANES, r->count - at), query = r->first + at;
    const ec_f32 last = ec_attention_places((float)(query + s->keys) - (float)s->queries);
    const ec_f32 old = first ? ec_f32_load(r->top + at) : ec_f32_set(-INFINITY);
    const float *bias = r->bias ? r->bias + (ptrdiff_t)query * s->bias_m + (ptrdiff_t)first * s->bias_n : NULL;
    ec_f32 top = old, shown = first ? ec_f32_load(r->shown + at) : ec_f32_set(-INFINITY);
    EC_ROLLED
    for (size_t key = 0; key < keys; key++) {
        float *place = scores + key * stride + at;
        ec_f32 score = ec_f32_load(place);
        if (ec_attention_changes(s, bias)) {
            const ec_f32 other =
                bias ? ec_attention_bias(bias + (ptrdiff_t)key * s->bias_n, s->bias_m, lanes) : ec_f32_set(0.0f);
            score = ec_attention_score(score, s, bias, other);
            shown = s->unseen ? ec_f32_max_nan(other, shown) : shown;
            if (masks)
                score = ec_f32_select(ec_f32_le(ec_f32_set((float)(first + key)), last), score, ec_f32_set(-INFINITY));
            ec_f32_store(place, score);
        }
        top = ec_f32_max(score, top);
    }
    const ec_f32 reference = ec_attention_reference(top), before = ec_attention_exp(ec_f32_sub(old, reference));
    ec_f32 total = ec_f32_set(0.0f);
    EC_ROLLED
    for (size_t key = 0; key < keys; key++) {
        float *place = scores + key * stride + at;
        const ec_f32 part = ec_attention_exp(ec_f32_sub(ec_f32_load(place), reference));
        ec_f32_store(place, part);
        total = ec_f32_add(total, part);
    }
    total = first ? ec_f32_fma(ec_f32_load(r->total + at), before, total) : total;
    ec_f32_store(r->top + at, top);
    ec_f32_store(r->shown + at, shown);
    ec_f32_store(r->total + at, total);
    ec_f32_store(r->before + at, before);
    ec_f32_store(r->after + at, ec_attention_inverse(s, total, shown));
}

/* All blocks of keys for the rows of a task. */
EC_INLINE void ec_attention_task(ec_attention_rows *r, float *work, const ec_attention_shape *s, ec_attention_tiles t)
{
    const size_t panel = (size_t)t.nv * EC_LANES, stride = ec_ceil_div(s->rows, panel) * panel;
    const size_t seen = ec_attention_seen(s, r->first + r->count);
    float *scores = work + stride * s->depth;
    ec_attention_pack(r->q + (ptrdiff_t)r->first * s->q_m, work, s, r->count, t.nv);
    EC_ROLLED
    for (size_t first = 0; first < seen; first += s->block) {
        const size_t keys = ec_min_size(s->block, seen - first);
        const int masks = s->causal && first + keys + s->queries > r->first + 1 + s->keys;
        ec_attention_scores(r, work, scores, s, first, keys, stride, t);
        EC_ROLLED
        for (size_t at = 0; at < r->count; at += EC_LANES)
            ec_attention_soften(r, scores, s, first, keys, stride, at, masks);
        ec_attention_results(r, s, scores, 1, (ptrdiff_t)stride, first, keys, first + keys == seen, t);
    }
}

/* Computes the tasks begin .. end - 1 of ec_attention_f32_tasks; bias may be NULL. */
EC_INLINE void ec_attention_f32(const float *q, const float *k, const float *v, const float *bias, float *y,
                                const ec_attention_shape *s, ec_attention_tiles t, size_t begin, size_t end)
{
    _Alignas(64) float work[EC_ATTENTION_FLOATS];
    ec_attention_rows r;
    const size_t blocks = ec_ceil_div(s->queries, s->rows);
    EC_ROLLED
    for (size_t task = begin; task < end; task++) {
        ec_attention_point(&r, q, k, v, bias, y, s, task / blocks);
        r.first = task % blocks * s->rows;
        r.count = ec_min_size(s->rows, s->queries - r.first);
        ec_attention_task(&r, work, s, t);
    }
}

/* --- keys in the lanes --------------------------------------------------------------------------------------------- */

/* Scores [count][block] of the keys from `first` on, minus infinity behind the last. */
EC_INLINE void ec_attention_few_scores(const ec_attention_rows *r, const float *queries, float *panel, float *scores,
                                       const ec_attention_shape *s, size_t first, size_t keys, ec_attention_tiles t)
{
    const size_t width = (size_t)t.nv * EC_LANES;
    const ec_conv_place at = {0, 0, 0, 0};
    const int open = s->open & EC_OPEN_ATTENTION_QUERIES ? EC_OPEN_W : 0;
    const ec_conv_shape product = ec_attention_product(s, s->queries, (ptrdiff_t)s->depth, (ptrdiff_t)s->block, open);
    EC_ROLLED
    for (size_t key = 0; key < keys; key += width) {
        ec_pack_panel_f32(r->k + (ptrdiff_t)(first + key) * s->k_n, panel, s->depth, ec_min_size(width, keys - key), 1,
                          s->k_n, width);
        ec_conv_f32_rows(queries, ec_weights_f32(panel), NULL, scores + key, &product, t.mr, t.nv, width, EC_LANES,
                         ec_epilogue_none, NULL, at, 1);
    }
}

/* The largest lane, NaN if there is one. */
EC_INLINE float ec_attention_largest(ec_f32 v)
{
    const ec_f32 number = ec_f32_select(ec_f32_eq(v, v), ec_f32_set(-0.0f), v);
    return ec_f32_reduce_max(v) + ec_f32_reduce_add(number);
}

/* One row: bias, maximum, exponentials and their sum, in place. */
EC_INLINE void ec_attention_few_soften(ec_attention_rows *r, float *scores, const ec_attention_shape *s, size_t first,
                                       size_t keys, size_t row)
{
    const ec_f32 hidden = ec_f32_set(-INFINITY);
    const size_t seen = ec_attention_seen(s, r->first + row + 1);
    const int none = s->causal && r->first + row + 1 + s->keys <= s->queries;
    const size_t inside = none || seen <= first ? 0 : ec_min_size(keys, seen - first);
    const float *bias =
        r->bias ? r->bias + (ptrdiff_t)(r->first + row) * s->bias_m + (ptrdiff_t)first * s->bias_n : NULL;
    const float old = first ? r->top[row] : -INFINITY;
    ec_f32 most = ec_f32_set(old), shown = ec_f32_set(first ? r->shown[row] : -INFINITY), sum = ec_f32_set(0.0f);
    EC_ROLLED
    for (size_t key = 0; key < keys; key += EC_LANES) {
        const size_t lanes = ec_min_size(EC_LANES, keys - key);
        ec_f32 score = ec_f32_load(scores + key);
        const ec_f32 other =
            bias ? ec_attention_bias(bias + (ptrdiff_t)key * s->bias_n, s->bias_n, lanes) : ec_f32_set(0.0f);
        score = ec_attention_score(score, s, bias, other);
        if (s->unseen)
            shown = ec_f32_select(ec_f32_lt(ec_attention_places(0.0f), ec_f32_set((float)lanes)),
                                  ec_f32_max_nan(other, shown), shown);
        if (key + EC_LANES > inside)
            score = ec_f32_select(ec_f32_lt(ec_attention_places((float)key), ec_f32_set((float)inside)), score, hidden);
        ec_f32_store(scores + key, score);
        most = ec_f32_max(score, most);
    }
    const float top = ec_f32_reduce_max(most), reference = top == -INFINITY ? 0.0f : top;
    EC_ROLLED
    for (size_t key = 0; key < keys; key += EC_LANES) {
        const ec_f32 part = ec_attention_exp(ec_f32_sub(ec_f32_load(scores + key), ec_f32_set(reference)));
        ec_f32_store(scores + key, part);
        sum = ec_f32_add(sum, part);
    }
    float factors[EC_LANES];
    ec_f32_store(factors, ec_attention_exp(ec_f32_set(old - reference)));
    r->before[row] = factors[0];
    r->total[row] = ec_f32_reduce_add(sum) + (first ? r->total[row] * factors[0] : 0.0f);
    r->top[row] = top;
    r->shown[row] = ec_attention_largest(shown);
    ec_f32_store(factors, ec_attention_inverse(s, ec_f32_set(r->total[row]), ec_f32_set(r->shown[row])));
    r->after[row] = factors[0];
}

/* As ec_attention_f32, for few queries: s->rows holds all of them, and s->block is a multiple of t.nv * EC_LANES. */
EC_INLINE void ec_attention_few_f32(const float *q, const float *k, const float *v, const float *bias, float *y,
                                    const ec_attention_shape *s, ec_attention_tiles t, size_t begin, size_t end)
{
    _Alignas(64) float work[EC_ATTENTION_FLOATS];
    float *panel = work, *scores = panel + (size_t)t.nv * EC_LANES * s->depth, *queries = scores + s->rows * s->block;
    ec_attention_rows r;
    r.first = 0;
    r.count = s->queries;
    EC_ROLLED
    for (size_t head = begin; head < end; head++) {
        ec_attention_point(&r, q, k, v, bias, y, s, head);
        for (size_t row = 0; row < r.count; row++)
            for (size_t d = 0; d < s->depth; d++)
                queries[row * s->depth + d] = r.q[(ptrdiff_t)row * s->q_m + (ptrdiff_t)d] * s->scale;
        const size_t seen = ec_attention_seen(s, s->queries);
        EC_ROLLED
        for (size_t first = 0; first < seen; first += s->block) {
            const size_t keys = ec_min_size(s->block, seen - first);
            ec_attention_few_scores(&r, queries, panel, scores, s, first, keys, t);
            EC_ROLLED
            for (size_t row = 0; row < r.count; row++)
                ec_attention_few_soften(&r, scores + row * s->block, s, first, keys, row);
            ec_attention_results(&r, s, scores, (ptrdiff_t)s->block, 1, first, keys, first + keys == seen, t);
        }
    }
}

#endif
