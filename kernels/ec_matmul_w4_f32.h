/*
 * A product of float rows with a matrix of 4-bit weights: y[m][n] = bias[n] + sum over k of x[m][k] * w[k][n].
 *
 * w[k][n] = scale[k / 32][n] * (q - 8) with q = 0 .. 15; two k share a byte, the even one in its low half.
 * Weights: [panel][ceil(k / 32)][16][nv * EC_LANES] bytes, scales: [panel][ceil(k / 32)][nv * EC_LANES], bias:
 * [panel][nv * EC_LANES]. A tile is mr rows by nv vectors of columns; a task is one panel. The shape, mr, nv and the
 * epilogue, which gets the row as w and the column as c, must be compile-time constants.
 */
#ifndef EC_MATMUL_W4_F32_H
#define EC_MATMUL_W4_F32_H

#include "ec_shape.h"
#include "ec_simd_i8.h"

#define EC_W4_GROUP 32        /* k that share a scale */
#define EC_W4_ACCUMULATORS 32 /* a bound on mr * nv */

typedef struct {
    size_t m, k, n;
    ptrdiff_t x_m, y_m; /* elements from one row to the next */
} ec_matmul_w4_shape;

EC_INLINE size_t ec_matmul_w4_tasks(const ec_matmul_w4_shape *s, int nv)
{
    return ec_ceil_div(s->n, (size_t)nv * EC_LANES);
}

/* q - 8 for the q in the masked bits: in the significand of `base` they count from one, or from 1/16 for the high half. */
EC_INLINE ec_f32 ec_w4_value(ec_i32 bytes, int32_t mask, float base)
{
    const ec_i32 bits = ec_i32_and(bytes, ec_i32_set(mask));
    const ec_f32 shifted = ec_i32_as_f32(ec_i32_or(bits, ec_f32_bits(ec_f32_set(base))));
    return ec_f32_sub(shifted, ec_f32_set(base + 8.0f));
}

/* even += x[k] * q, odd += x[k + 1] * q for one byte of each column; without `both` there is no k + 1. */
EC_INLINE void ec_matmul_w4_step(ec_f32 *even, ec_f32 *odd, const float *x, ptrdiff_t x_m, const uint8_t *w, int mr,
                                 int nv, int both)
{
    EC_UNROLL
    for (int v = 0; v < nv; v++) {
        const ec_i32 bytes = ec_i32_load_lanes(w + v * EC_LANES, EC_U8, EC_LANES);
        const ec_f32 low = ec_w4_value(bytes, 0x0f, 8388608.0f), high = ec_w4_value(bytes, 0xf0, 524288.0f);
        EC_UNROLL
        for (int i = 0; i < mr; i++) {
            even[i * nv + v] = ec_f32_fma(ec_f32_load_same(x + i * x_m), low, even[i * nv + v]);
            if (both)
                odd[i * nv + v] = ec_f32_fma(ec_f32_load_same(x + i * x_m + 1), high, odd[i * nv + v]);
        }
    }
}

/* acc += scale * the sum over the `size` k of one group. */
EC_INLINE void ec_matmul_w4_group(ec_f32 *acc, const float *x, ptrdiff_t x_m, const uint8_t *w, const float *scale,
                                  size_t panel, size_t size, int mr, int nv)
{
    ec_f32 even[EC_W4_ACCUMULATORS], odd[EC_W4_ACCUMULATORS];
    EC_UNROLL
    for (int i = 0; i < mr * nv; i++)
        even[i] = odd[i] = ec_f32_set(0.0f);
    EC_ROLLED
    for (size_t k = 0; k + 2 <= size; k += 2)
        ec_matmul_w4_step(even, odd, x + k, x_m, w + k / 2 * panel, mr, nv, 1);
    if (size % 2)
        ec_matmul_w4_step(even, odd, x + size - 1, x_m, w + size / 2 * panel, mr, nv, 0);
    EC_UNROLL
    for (int v = 0; v < nv; v++) {
        const ec_f32 factor = ec_f32_load(scale + v * EC_LANES);
        EC_UNROLL
        for (int i = 0; i < mr; i++) {
            ec_f32 *sum = acc + i * nv + v;
            *sum = ec_f32_fma(ec_f32_add(even[i * nv + v], odd[i * nv + v]), factor, *sum);
        }
    }
}

/* x and y: the first row of the tile, w, scale and bias: its panel; tail: the lanes that count in the last vector. */
EC_INLINE void ec_matmul_w4_tile(const float *x, const uint8_t *w, const float *scale, const float *bias, float *y,
                                 const ec_matmul_w4_shape *s, int mr, int nv, size_t panel, size_t tail,
                                 ec_epilogue epilogue, const void *context, size_t row, size_t c)
{
    ec_f32 acc[EC_W4_ACCUMULATORS];
    EC_UNROLL
    for (int i = 0; i < mr * nv; i++)
        acc[i] = bias ? ec_f32_load(bias + i % nv * EC_LANES) : ec_f32_set(0.0f);
    const size_t whole = s->k / EC_W4_GROUP;
    EC_ROLLED
    for (size_t g = 0; g < whole; g++)
        ec_matmul_w4_group(acc, x + g * EC_W4_GROUP, s->x_m, w + g * (EC_W4_GROUP / 2) * panel, scale + g * panel,
                           panel, EC_W4_GROUP, mr, nv);
    if (s->k % EC_W4_GROUP)
        ec_matmul_w4_group(acc, x + whole * EC_W4_GROUP, s->x_m, w + whole * (EC_W4_GROUP / 2) * panel,
                           scale + whole * panel, panel, s->k % EC_W4_GROUP, mr, nv);
    EC_UNROLL
    for (int i = 0; i < mr; i++) {
        EC_UNROLL
        for (int v = 0; v < nv; v++) {
            const size_t lanes = v == nv - 1 ? tail : EC_LANES;
            ec_f32 value = epilogue(acc[i * nv + v], context, 0, 0, row + (size_t)i, c + (size_t)v * EC_LANES, lanes);
            ec_f32_store_lanes(y + i * s->y_m + v * EC_LANES, value, lanes);
        }
    }
}

/* All rows of one panel of nv vectors, of which the first columns of its weights are used. */
EC_INLINE void ec_matmul_w4_panel(const float *x, const uint8_t *w, const float *scale, const float *bias, float *y,
                                  const ec_matmul_w4_shape *s, int mr, int nv, size_t panel, size_t tail,
                                  ec_epilogue epilogue, const void *context, size_t c)
{
    const size_t whole = s->m / (size_t)mr * (size_t)mr;
    EC_ROLLED
    for (size_t row = 0; row < whole; row += (size_t)mr)
        ec_matmul_w4_tile(x + (ptrdiff_t)row * s->x_m, w, scale, bias, y + (ptrdiff_t)row * s->y_m, s, mr, nv, panel,
                          tail, epilogue, context, row, c);
    if (s->m > whole)
        ec_matmul_w4_tile(x + (ptrdiff_t)whole * s->x_m, w, scale, bias, y + (ptrdiff_t)whole * s->y_m, s,
                          (int)(s->m - whole), nv, panel, tail, epilogue, context, whole, c);
}

/* Computes the panels begin .. end - 1. bias may be NULL. */
EC_INLINE void ec_matmul_w4_f32(const float *x, const uint8_t *w, const float *scale, const float *bias, float *y,
                                const ec_matmul_w4_shape *s, int mr, int nv, ec_epilogue epilogue, const void *context,
                                size_t begin, size_t end)
{
    const size_t panel = (size_t)nv * EC_LANES, groups = ec_ceil_div(s->k, EC_W4_GROUP);
    const size_t left = s->n % panel, vectors = ec_ceil_div(left, EC_LANES);
    EC_ROLLED
    for (size_t p = begin; p < end; p++) {
        const uint8_t *w_panel = w + p * groups * (EC_W4_GROUP / 2) * panel;
        const float *scale_panel = scale + p * groups * panel, *bias_panel = bias ? bias + p * panel : NULL;
        if (p < s->n / panel)
            ec_matmul_w4_panel(x, w_panel, scale_panel, bias_panel, y + p * panel, s, mr, nv, panel, EC_LANES, epilogue,
                               context, p * panel);
        else if (left)
            ec_matmul_w4_panel(x, w_panel, scale_panel, bias_panel, y + p * panel, s, mr, (int)vectors, panel,
                               left - (vectors - 1) * EC_LANES, epilogue, context, p * panel);
    }
}

#endif
